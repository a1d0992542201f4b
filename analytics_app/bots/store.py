"""SQL of detections and verdicts: what the workers write, in their batch's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from analytics_app.arrays import hexes, numbers, texts
from analytics_app.bots.logic import Action
from analytics_app.db import AsyncDriver
from analytics_app.records import Detection, Hit
from analytics_app.sessions.kinds import EventKind

_COLUMNS = {
    "event_id": "bigint",
    "late": "boolean",
    "website_id": "integer",
    "at": "timestamptz",
    "action": "smallint",
    "score": "smallint",
    "reasons": "text[]",
    "type": "text",
    "name": "text",
    "verified": "boolean",
    "rule_id": "integer",
    "sender": "text",
    "visitor": "uuid",
    "path": "text",
    "country": "text",
    "pageviews": "integer",
    "events": "integer",
}
_INSERT = (
    f"INSERT INTO bot_detections ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f'%s::{kind}' for kind in _COLUMNS.values())}) ON CONFLICT (event_id, late) DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A session that a verdict is about, as its rows have it."""

    id: int
    started_at: datetime
    engaged_s: int
    pageviews: int
    events: int
    interactions: int
    visitor: str
    path: str
    country: str


async def add_detections(db: AsyncDriver, detections: Sequence[Detection]) -> int:
    """Store detections, each once: one of an event known, or with a client's id known, is left. Returns how many."""
    repeats = await _repeats(db, detections)
    new = [one for one in detections if one.event_id not in repeats]
    return await _insert(db, [_row(one) for one in new])


async def add_late(
    db: AsyncDriver, website_id: int, sender: str, score: int, reason: str, sessions: Iterable[Watched]
) -> int:
    """Store that a verdict took sessions out of the numbers, each with what it had counted."""
    return await _insert(
        db,
        [
            (one.id, True, website_id, one.started_at, int(Action.LEFT_OUT), score, [reason], "scraper", "", None, None,
             sender, one.visitor, one.path, one.country, one.pageviews, one.events)
            for one in sessions
        ],
    )  # fmt: skip


async def _insert(db: AsyncDriver, rows: list[tuple[Any, ...]]) -> int:
    if not rows:
        return 0
    async with db.cursor() as cursor:
        await cursor.executemany(_INSERT, sorted(rows, key=itemgetter(0)))
        return cursor.rowcount


def _row(one: Detection) -> tuple[Any, ...]:
    view, at = one.kind == EventKind.PAGEVIEW, datetime.fromtimestamp(one.at_ms / 1000, UTC)
    return (
        one.event_id, False, one.website_id, at, one.action, one.score, one.reasons, one.type, one.name,
        one.verified, one.rule_id, one.sender, one.visitor, one.path, one.country, int(view), int(not view),
    )  # fmt: skip


async def _repeats(db: AsyncDriver, detections: Sequence[Detection]) -> set[int]:
    """The events among those of bots that a client sent again under its own id. Logged ones are counted elsewhere."""
    first: dict[tuple[int, str], int] = {}
    repeats: set[int] = set()
    for one in detections:
        if one.client_id and one.action != Action.LOGGED:
            kept = first.setdefault((one.website_id, one.client_id), one.event_id)
            if kept != one.event_id:
                repeats.add(one.event_id)
    if not first:
        return repeats
    claims = sorted(first)
    rows = await db.execute(
        "INSERT INTO client_ids (website_id, id, event_id) SELECT * FROM unnest(%s::int[], %s::uuid[], %s::bigint[]) "
        "ON CONFLICT (website_id, id) DO UPDATE SET event_id = client_ids.event_id RETURNING event_id",
        (
            numbers(website for website, _ in claims),
            hexes(id_ for _, id_ in claims),
            numbers(first[one] for one in claims),
        ),
    )
    known = {event_id async for (event_id,) in rows}
    return repeats | {event_id for event_id in first.values() if event_id not in known}


# Verdicts.


async def leave_out_condemned(db: AsyncDriver, hits: Sequence[Any]) -> dict[int, str]:
    """The hits, by their place, of sources that a verdict of this moment is about; they are noted as detected.

    The same is asked about samples and chunks of recordings, which are left out and not noted: their hits are.
    """
    places: dict[tuple[int, str], list[int]] = {}
    for place, hit in enumerate(hits):
        if source := getattr(hit, "sent_by", ""):
            places.setdefault((hit.website_id, source), []).append(place)
    if not places:
        return {}
    sources = sorted(places)
    rows = await db.execute(
        "SELECT v.website_id, v.source, v.reason FROM bot_verdicts v "
        "JOIN unnest(%s::int[], %s::text[]) AS sent (w, s) ON v.website_id = w AND v.source = s "
        "WHERE v.holds_until > now()",
        (numbers(website for website, _ in sources), texts(source for _, source in sources)),
    )
    left: dict[int, str] = {}
    found: list[Detection] = []
    async for website_id, source, reason in rows:
        for place in places[website_id, source]:
            left[place] = "bot"
            if isinstance(hits[place], Hit):
                found.append(detected(hits[place], reason))
    await add_detections(db, found)
    return left


def detected(hit: Hit, reason: str, score: int = 60) -> Detection:
    """What is noted of a hit that its sender's behaviour keeps out."""
    return Detection(
        event_id=hit.event_id, at_ms=hit.at_ms, website_id=hit.website_id, action=int(Action.LEFT_OUT), score=score,
        client_id=hit.client_id, kind=hit.kind, reasons=[reason], type="scraper", sender=hit.sender,
        visitor=hit.visitor, path=hit.path, country=hit.country,
    )  # fmt: skip


async def condemn(
    db: AsyncDriver, website_id: int, sources: Sequence[str], reason: str, now: datetime, until: datetime
) -> None:
    """Note a verdict about sources; a newer one replaces it."""
    await db.execute(
        "INSERT INTO bot_verdicts (website_id, source, reason, decided_at, holds_until) "
        "SELECT %s, s, %s, %s, %s FROM unnest(%s::text[]) AS s ORDER BY s "
        "ON CONFLICT (website_id, source) DO UPDATE SET reason = excluded.reason, decided_at = excluded.decided_at, "
        "holds_until = greatest(bot_verdicts.holds_until, excluded.holds_until)",
        (website_id, reason, now, until, sorted(sources)),
    )


async def watched(db: AsyncDriver, website_id: int, session_ids: Sequence[int]) -> list[Watched]:
    """Those sessions of a website, as their rows have them."""
    rows = await db.execute(
        "SELECT s.id, s.started_at, s.engaged_s, s.pageviews, s.events, (SELECT count(*)::int FROM events e "
        "WHERE e.session_id = s.id AND e.kind <> 1 AND e.interactive), v.hash, "
        "(SELECT text FROM terms WHERE id = s.entry_path), (SELECT text FROM terms WHERE id = s.country) "
        "FROM sessions s JOIN visitors v ON v.number = s.visitor AND v.website_id = s.website_id "
        "WHERE s.website_id = %s AND s.id = ANY(%s::bigint[]) ORDER BY s.id",
        (website_id, numbers(session_ids)),
    )
    return [
        Watched(id_, at, engaged_s, pageviews, events, interactions, visitor.hex, path or "", country or "")
        for id_, at, engaged_s, pageviews, events, interactions, visitor, path, country in await rows.fetchall()
    ]
