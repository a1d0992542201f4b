"""Rows in memory: what the worker would have written, batch by batch, and a recount of it from the events alone.

The recount is plain Python by what the words mean and shares no code with the fold.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from analytics_app.records import AnyHit, Hit
from analytics_app.sessions.logic import Folded, fold, lost_views, restore, rollup_of
from analytics_app.sessions.state import Rules, View, decode_state, encode_state

QUARTER_MS = 15 * 60 * 1000
Rollups = dict[tuple[int, int], dict[str, int]]


@dataclass
class EventRow:
    """An event as stored."""

    hit: Hit
    session_id: int
    time_s: int = 0
    scroll: int = 0


@dataclass
class SessionRow:
    """A session as stored."""

    website_id: int
    visitor: str
    started_ms: int
    last_ms: int
    pageviews: int
    events: int
    engaged_s: int
    is_bounce: bool
    entry_path: str | None
    exit_path: str | None
    source: str
    country: str


@dataclass
class Ledger:
    """The rows, and what the fold goes on from. `rules` may differ by website; None is a website that is gone."""

    rules: Callable[[int], Rules | None] = lambda website_id: Rules()
    states: dict[str, bytes] = field(default_factory=dict)
    events: dict[int, EventRow] = field(default_factory=dict)
    sessions: dict[int, SessionRow] = field(default_factory=dict)
    rollups: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    claims: dict[tuple[int, str], int] = field(default_factory=dict)
    received: int = 0
    stored: int = 0
    duplicates: int = 0

    def batch(self, hits: Sequence[AnyHit]) -> Folded:
        """Store one batch, its states read from bytes and written back to bytes, as row and table keep them."""
        repeats = self._claim(hits)
        keys = {hit.session_key for hit in hits} & self.states.keys()
        states = {key: decode_state(self.states[key]) for key in keys}
        found = [
            (i, self.events[i])
            for i in lost_views(states, hits, repeats)
            if i in self.events and self.events[i].hit.kind == 1
        ]
        restore(states, [(row.session_id, View(i, row.hit.at_ms, row.time_s, row.scroll)) for i, row in found])
        folded = fold(states, hits, self.rules, repeats)
        self._write(folded)
        self.received += len(hits)
        self.duplicates += len(repeats)
        return folded

    def batch_all(self, hits: Sequence[AnyHit]) -> "Ledger":
        """Store `hits` in one batch."""
        self.batch(hits)
        return self

    def batches(self, hits: Sequence[AnyHit], cuts: Iterable[int] = ()) -> "Ledger":
        """Store `hits`, cut into batches before each index of `cuts`."""
        bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(hits)}), len(hits)]
        for first, last in pairwise(bounds):
            self.batch(hits[first:last])
        return self

    def _claim(self, hits: Sequence[AnyHit]) -> dict[int, int]:
        repeats = {}
        for hit in hits:
            if isinstance(hit, Hit) and hit.client_id:
                kept = self.claims.setdefault((hit.website_id, hit.client_id), hit.event_id)
                if kept != hit.event_id:
                    repeats[hit.event_id] = kept
        return repeats

    def _write(self, folded: Folded) -> None:
        self.stored += folded.stored
        self.ignored.update(folded.ignored)
        for hit, visit in folded.events:
            assert hit.event_id not in self.events, "an event is written once"
            self.events[hit.event_id] = EventRow(hit, visit.id)
        for event_id, view in folded.engagement.items():
            self.events[event_id].time_s, self.events[event_id].scroll = view.time_s, view.scroll
        for change in folded.changes.values():
            visit, row = change.visit, self.sessions.get(change.visit.id)
            assert (row is None) == (change.opened_by is not None), "a session is opened once"
            assert row is None or row.started_ms == change.was_started_ms, "rows are found by where they were"
            origin = change.origin
            self.sessions[visit.id] = SessionRow(
                visit.website_id,
                row.visitor if row else change.opened_by.visitor,
                visit.started_ms,
                visit.last_ms,
                visit.pageviews,
                visit.events,
                visit.engaged_s,
                visit.counted_bounce,
                change.entry_path if change.entry_path is not None else row and row.entry_path,
                change.exit_path if change.exit_path is not None else row and row.exit_path,
                origin.source if origin else row.source,
                origin.country if origin else row.country,
            )
        for (website_id, bucket_ms), row in rollup_of(folded).items():
            self.rollups.update({(website_id, bucket_ms, name): number for name, number in row.items()})
        self.states |= {key: encode_state(state) for key, state in folded.states.items()}

    # What two ledgers are compared by.

    def counted(self) -> dict[str, Any]:
        """Sessions without their ids, rollups and engagement: what must be the same however it came."""
        return {
            "sessions": sorted((vars(row) for row in self.sessions.values()), key=str),
            "rollups": {key: number for key, number in self.rollups.items() if number},
            "engagement": {i: (row.time_s, row.scroll) for i, row in self.events.items()},
        }

    def recounted_sessions(self, bounce_engaged_s: int = 10) -> dict[int, dict[str, Any]]:
        """Every session from its events alone, but for its end, which engagement may have moved."""
        of: dict[int, list[EventRow]] = {}
        for row in self.events.values():
            of.setdefault(row.session_id, []).append(row)
        return {
            session_id: self._recounted(session_id, sorted(rows, key=lambda r: (r.hit.at_ms, r.hit.event_id)))
            | {"is_bounce": is_bounce(rows, bounce_engaged_s)}
            for session_id, rows in of.items()
        }

    def _recounted(self, session_id: int, rows: list[EventRow]) -> dict[str, Any]:
        paths = [row.hit.path for row in rows if row.hit.kind == 1]
        return {
            "website_id": rows[0].hit.website_id,
            "visitor": self.sessions[session_id].visitor,
            "started_ms": rows[0].hit.at_ms,
            "last_ms": max(rows[-1].hit.at_ms, self.sessions[session_id].last_ms),
            "pageviews": len(paths),
            "events": len(rows) - len(paths),
            "engaged_s": sum(row.time_s for row in rows),
            "entry_path": paths[0] if paths else None,
            "exit_path": paths[-1] if paths else None,
            "source": rows[0].hit.source,
            "country": rows[0].hit.country,
        }

    def recounted_rollups(self) -> dict[tuple[int, int, str], int]:
        """The rollups from the rows."""
        sums: Counter[tuple[int, int, str]] = Counter()
        for event in self.events.values():
            bucket_ms = event.hit.at_ms // QUARTER_MS * QUARTER_MS
            sums[event.hit.website_id, bucket_ms, "pageviews" if event.hit.kind == 1 else "events"] += 1
        for row in self.sessions.values():
            key = row.website_id, row.started_ms // QUARTER_MS * QUARTER_MS
            sums[*key, "sessions"] += 1
            sums[*key, "bounces"] += row.is_bounce
            sums[*key, "duration_s"] += (row.last_ms - row.started_ms) // 1000
            sums[*key, "session_pageviews"] += row.pageviews
        return {key: number for key, number in sums.items() if number}

    def check(self, bounce_engaged_s: int = 10) -> None:
        """Rows, rollups and outcomes agree with a recount."""
        assert {i: vars(row) for i, row in self.sessions.items()} == self.recounted_sessions(bounce_engaged_s)
        assert {key: number for key, number in self.rollups.items() if number} == self.recounted_rollups()
        assert self.received == self.stored + self.duplicates + self.ignored.total()


def is_bounce(rows: Sequence[EventRow], bounce_engaged_s: int) -> bool:
    """Fewer than two pageviews, nothing done that counts as doing something, and hardly any time spent."""
    if sum(row.hit.kind == 1 for row in rows) >= 2:
        return False
    if any(row.hit.kind != 1 and row.hit.interactive for row in rows):
        return False
    return bounce_engaged_s == 0 or sum(row.time_s for row in rows) < bounce_engaged_s
