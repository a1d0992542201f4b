"""Generated traffic: sessions and events as the pipeline stores them, for tests that count them in another way.

Everything here is plain Python by the definitions of docs/numbers.md and shares no code with what it is to check.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg

KINDS = {"path": 1, "name": 2, "title": 3}
DIMENSIONS = {
    "host": 4,
    "referrer": 5,
    "source": 6,
    "channel": 7,
    "utm_source": 8,
    "utm_medium": 9,
    "utm_campaign": 10,
    "utm_term": 11,
    "utm_content": 12,
    "country": 13,
    "device_type": 14,
    "browser": 15,
    "browser_version": 16,
    "os": 17,
    "os_version": 18,
    "language": 19,
    "screen": 20,
}
BOUNCE_ENGAGED_S = 10


@dataclass(slots=True)
class Event:
    id: int
    at: datetime
    kind: int
    path: str | None = None
    name: str | None = None
    title: str | None = None
    time_on_page_s: int = 0
    scroll_depth: int = 0
    interactive: bool = True
    value: str | None = None
    currency: str | None = None
    properties: dict[str, Any] | None = None

    @property
    def is_pageview(self) -> bool:
        return self.kind == 1


@dataclass(slots=True)
class Session:
    id: int
    visitor: int
    started_at: datetime
    last_at: datetime
    events: list[Event]
    dimensions: dict[str, str | None]

    @property
    def views(self) -> list[Event]:
        return [event for event in self.events if event.is_pageview]

    @property
    def duration_s(self) -> int:
        return (self.last_at - self.started_at) // timedelta(seconds=1)

    @property
    def engaged_s(self) -> int:
        return sum(event.time_on_page_s for event in self.events)

    @property
    def is_bounce(self) -> bool:
        interactive = any(event.interactive for event in self.events if not event.is_pageview)
        return len(self.views) < 2 and not interactive and self.engaged_s < BOUNCE_ENGAGED_S

    def path_of(self, pick: Any) -> str | None:
        views = self.views
        return pick(views, key=lambda event: (event.at, event.id)).path if views else None


@dataclass(slots=True)
class Traffic:
    website_id: int
    sessions: list[Session] = field(default_factory=list)

    def pairs(self) -> Iterator[tuple[Session, Event]]:
        for session in self.sessions:
            for event in session.events:
                yield session, event

    def rollups(self) -> dict[datetime, Counter[str]]:
        sums: dict[datetime, Counter[str]] = defaultdict(Counter)
        for session in self.sessions:
            begun = sums[quarter(session.started_at)]
            begun["sessions"] += 1
            begun["bounces"] += session.is_bounce
            begun["duration_s"] += session.duration_s
            begun["session_pageviews"] += len(session.views)
            for event in session.events:
                sums[quarter(event.at)]["pageviews" if event.is_pageview else "events"] += 1
        return sums


def quarter(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def make_traffic(
    seed: int, *, sessions: int, start: datetime, end: datetime, website_id: int = 1, visitors: int = 0, pages: int = 40
) -> Traffic:
    """Sessions that start between `start` and `end`, some of them close to its edges and to full hours."""
    rng = random.Random(seed)
    traffic = Traffic(website_id)
    ids = iter(range(1 + website_id * 10_000_000, 10_000_000_000))
    paths = [f"/{name}" for name in ("", "pricing", "a%b_c", "(none)", "docs/é", *(f"p/{n}" for n in range(pages)))]
    span_ms = (end - start) // timedelta(milliseconds=1)
    for _ in range(sessions):
        at = start + timedelta(milliseconds=rng.randrange(span_ms))
        if rng.random() < 0.15:
            at = at.replace(minute=rng.choice((0, 15, 30, 45)), second=0, microsecond=0)
        traffic.sessions.append(_session(rng, ids, at, rng.randrange(visitors or sessions // 2 or 1) + 1, paths))
    return traffic


def _session(rng: random.Random, ids: Iterator[int], at: datetime, visitor: int, paths: list[str]) -> Session:
    events, moment = [], at
    for _ in range(min(200, int(rng.expovariate(0.35)) + 1)):
        events.append(_event(rng, next(ids), moment, paths))
        moment += timedelta(milliseconds=rng.choice((0, 900, 30_000, 400_000, 1_790_000)) + rng.randrange(9_000))
        if moment - at > timedelta(hours=23):
            break
    last = max(event.at for event in events) + timedelta(milliseconds=rng.choice((0, 0, 15_000, 1_500_000)))
    return Session(events[0].id, visitor, at, last, events, _dimensions(rng))


def _event(rng: random.Random, number: int, at: datetime, paths: list[str]) -> Event:
    path = paths[min(int(rng.paretovariate(0.8)) - 1, len(paths) - 1)]
    if rng.random() < 0.75:
        time_s = rng.choice((0, 0, 3, 12, 90))
        return Event(number, at, 1, path, None, f"Title of {path}", time_s, rng.choice((0, 25, 100)))
    return Event(
        number,
        at,
        rng.choice((2, 2, 2, 3, 5, 7)),
        path if rng.random() < 0.8 else None,
        rng.choice(("signup", "button_click", "Kauf: fertig", "=cmd|' /C calc'!A0")),
        interactive=rng.random() < 0.7,
        value=rng.choice((None, "12.5000")),
        currency=rng.choice((None, "EUR")),
        properties=rng.choice((None, {"plan": "pro", "size": 3}, {"plan": "free", "a:b": True}, {"size": 12})),
    )


def _dimensions(rng: random.Random) -> dict[str, str | None]:
    some = dict.fromkeys(DIMENSIONS)
    return some | {
        "host": "example.com",
        "source": rng.choice(("Direct", "Google", "Bing", "news.example")),
        "channel": rng.choice(("Direct", "Organic Search", "Referral")),
        "referrer": rng.choice((None, "https://www.google.com/", "https://news.example/a")),
        "utm_source": rng.choice((None, None, "google", "newsletter")),
        "utm_medium": rng.choice((None, "cpc", "(none)")),
        "country": rng.choice(("GB", "US", "NP", "CA", None)),
        "device_type": rng.choice(("desktop", "mobile", "tablet")),
        "browser": rng.choice(("Chrome", "Firefox", "Safari")),
        "os": rng.choice(("Windows", "macOS", "Android")),
        "language": rng.choice(("en-GB", "de", None)),
        "screen": rng.choice(("1920x1080", "390x844", None)),
    }


def load(db: psycopg.Connection[Any], traffic: Traffic, *, partitions: int = 4) -> None:
    """Store `traffic`: terms, visitors, sessions, events and their rollups."""
    terms = _store_terms(db, traffic)
    numbers = _store_visitors(db, traffic)
    columns = ("host", *[name for name in DIMENSIONS if name != "host"])
    with db.cursor().copy(
        "COPY sessions (id, started_at, last_at, visitor, website_id, duration_s, pageviews, events, engaged_s,"
        f" is_bounce, entry_path, exit_path, {', '.join(columns)}) FROM STDIN"
    ) as copy:
        for s in traffic.sessions:
            entry, exit_ = terms.get((1, s.path_of(min))), terms.get((1, s.path_of(max)))
            copy.write_row((
                s.id, s.started_at, s.last_at, numbers[s.visitor], traffic.website_id, s.duration_s, len(s.views),
                len(s.events) - len(s.views), s.engaged_s, s.is_bounce, entry, exit_,
                *(terms.get((DIMENSIONS[name], s.dimensions[name])) for name in columns),
            ))  # fmt: skip
    with db.cursor().copy(
        "COPY events (id, at, session_id, visitor, website_id, path, name, title, time_on_page_s, kind, scroll_depth,"
        " interactive, currency, value, properties) FROM STDIN"
    ) as copy:
        for s, e in sorted(traffic.pairs(), key=lambda pair: pair[1].at):
            copy.write_row((
                e.id, e.at, s.id, numbers[s.visitor], traffic.website_id, terms.get((1, e.path)),
                terms.get((2, e.name)), terms.get((3, e.title)), e.time_on_page_s, e.kind, e.scroll_depth,
                e.interactive, e.currency, e.value, orjson.dumps(e.properties).decode() if e.properties else None,
            ))  # fmt: skip
    _store_rollups(db, traffic, partitions)


def _store_terms(db: psycopg.Connection[Any], traffic: Traffic) -> dict[tuple[int, str | None], int]:
    wanted = {
        (kind, text) for _, e in traffic.pairs() for kind, text in ((1, e.path), (2, e.name), (3, e.title)) if text
    }
    wanted |= {(DIMENSIONS[name], text) for s in traffic.sessions for name, text in s.dimensions.items() if text}
    db.cursor().executemany(
        "INSERT INTO terms (website_id, kind, text) VALUES (%s, %s, %s)",
        [(traffic.website_id, kind, text) for kind, text in sorted(wanted)],
    )
    rows = db.execute("SELECT kind, text, id FROM terms WHERE website_id = %s", (traffic.website_id,))
    return {(kind, text): number for kind, text, number in rows}


def _store_visitors(db: psycopg.Connection[Any], traffic: Traffic) -> dict[int, int]:
    first: dict[int, datetime] = {}
    for session in traffic.sessions:
        first[session.visitor] = min(first.get(session.visitor, session.started_at), session.started_at)
    numbers = {}
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO visitors (website_id, hash, first_seen_at) VALUES (%s, md5(%s)::uuid, %s) RETURNING number",
            [(traffic.website_id, f"{traffic.website_id}/{visitor}", at) for visitor, at in first.items()],
            returning=True,
        )
        for visitor in first:
            row = cursor.fetchone()
            assert row is not None
            numbers[visitor] = row[0]
            cursor.nextset()
    return numbers


def _store_rollups(db: psycopg.Connection[Any], traffic: Traffic, partitions: int) -> None:
    names = ("pageviews", "events", "sessions", "bounces", "duration_s", "session_pageviews")
    with db.cursor().copy(
        f"COPY traffic_rollups (website_id, bucket, partition, {', '.join(names)}) FROM STDIN"
    ) as copy:
        for number, (at, sums) in enumerate(sorted(traffic.rollups().items())):
            # A total is the sum over partitions: some of each lies in one, the rest in another.
            part = {name: sums[name] // 3 for name in names}
            first, second = number % partitions, (number + 1) % partitions
            copy.write_row((traffic.website_id, at, first, *part.values()))
            copy.write_row((traffic.website_id, at, second, *(sums[name] - part[name] for name in names)))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
