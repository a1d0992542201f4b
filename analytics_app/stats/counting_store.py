"""The sums of a day, or of a part of it, that are to be sealed.

Of every value of every dimension, counted from rows in a few passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import driver_of
from analytics_app.stats.filters import DIMENSIONS
from analytics_app.stats.periods import Buckets
from analytics_app.stats.selection_store import EVERYTHING
from analytics_app.stats.spans import DIMENSION_NUMBERS, EVERYTHING_DIMENSION, SHORTER, Piece, block_of
from analytics_app.stats.store import series_from_rows
from analytics_app.stats.tallies import SEALED_SUMS, Tally
from analytics_app.stats.visitors import visitors_of, written

_DIMENSIONS = [(number, DIMENSIONS[name]) for name, number in DIMENSION_NUMBERS.items()]
_OF_SESSIONS = {number: dimension.column for number, dimension in _DIMENSIONS if not dimension.of_event}
_OF_EVENTS = {number: dimension.column for number, dimension in _DIMENSIONS if dimension.of_event}


def _values(columns: Mapping[int, str]) -> str:
    """Each row once for every dimension: its number and the row's value of it, 0 where missing."""
    pairs = ", ".join(f"({number}, coalesce({column}, 0))" for number, column in columns.items())
    return f"LATERAL (VALUES {pairs}) AS d (dimension, value)"


# The same that `sums_store` counts by one dimension, of all of them in a pass: columns as `SEALED_SUMS` has them.

_BY_SESSION = f"""
WITH seen AS MATERIALIZED (
    SELECT session_id, count(*) FILTER (WHERE kind = 1) AS pageviews, count(*) FILTER (WHERE kind <> 1) AS events,
        sum(time_on_page_s) FILTER (WHERE kind = 1) AS time_s, sum(scroll_depth) FILTER (WHERE kind = 1) AS scroll
    FROM events WHERE website_id = %(website_id)s AND at >= %(start)s AND at < %(end)s GROUP BY session_id
), under_way AS MATERIALIZED (
    SELECT s.*, seen.pageviews AS seen_pageviews, seen.events AS seen_events, seen.time_s, seen.scroll,
        started_at >= %(start)s AS begun
    FROM sessions s LEFT JOIN seen ON seen.session_id = s.id
    WHERE website_id = %(website_id)s AND started_at >= %(start)s - interval '24 hours' AND started_at < %(end)s
        AND last_at >= %(start)s
)
SELECT d.dimension, d.value, array_agg(u.visitor), sum(seen_pageviews)::bigint, sum(seen_events)::bigint,
    count(*) FILTER (WHERE begun), count(*) FILTER (WHERE begun AND is_bounce),
    sum(duration_s) FILTER (WHERE begun)::bigint, sum(pageviews) FILTER (WHERE begun)::bigint,
    sum(time_s)::bigint, sum(scroll)::bigint
FROM under_way u, {_values({EVERYTHING_DIMENSION: "0", **_OF_SESSIONS})}
GROUP BY d.dimension, d.value
"""

_BY_EVENT = f"""
SELECT d.dimension, d.value, array_agg(e.visitor), count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind <> 1),
    0::bigint, 0::bigint, 0::bigint, 0::bigint, sum(time_on_page_s) FILTER (WHERE kind = 1)::bigint,
    sum(scroll_depth) FILTER (WHERE kind = 1)::bigint
FROM events e, {_values(_OF_EVENTS)}
WHERE website_id = %(website_id)s AND at >= %(start)s AND at < %(end)s
GROUP BY d.dimension, d.value
"""

_SESSIONS_HAVING = f"""
WITH holding AS MATERIALIZED (
    SELECT DISTINCT e.session_id, d.dimension, d.value FROM events e, {_values(_OF_EVENTS)}
    WHERE website_id = %(website_id)s AND at >= %(start)s AND at < %(end)s + interval '24 hours'
)
SELECT h.dimension, h.value, NULL::bigint[], 0::bigint, 0::bigint, count(*), count(*) FILTER (WHERE is_bounce),
    sum(duration_s)::bigint, sum(pageviews)::bigint, 0::bigint, 0::bigint
FROM sessions s JOIN holding h ON h.session_id = s.id
WHERE s.website_id = %(website_id)s AND started_at >= %(start)s AND started_at < %(end)s
GROUP BY h.dimension, h.value
"""


@dataclass(frozen=True, slots=True)
class Sum:
    """A sealed sum: of a value of a dimension, in a piece of time."""

    dimension: int
    piece: Piece
    value: int
    tally: Tally

    def row(self, website_id: int) -> tuple[Any, ...]:
        """As it is stored."""
        sums_ = (self.tally.sums[name] for name in SEALED_SUMS)
        visitors = written(self.tally.seen())
        return (website_id, self.dimension, self.piece.span, self.piece.start, self.value, *sums_, visitors)


async def counted(db: AsyncConnection, website_id: int, piece: Piece) -> list[Sum]:
    """Every sum of a day or a part of it, from rows.

    `db` must be one snapshot (`db.snapshot()`), begun after `begin` committed.
    """
    driver = await driver_of(db)
    given = {"website_id": website_id, "start": piece.start, "end": piece.end}
    found: dict[tuple[int, int], Tally] = {}
    async with driver.cursor(binary=True) as cursor:
        for query in (_BY_SESSION, _BY_EVENT, _SESSIONS_HAVING):
            await cursor.execute(query, given)
            for dimension, value, who, *sums in await cursor.fetchall():
                tally = found.setdefault((dimension, value), Tally())
                tally.add(dict(zip(SEALED_SUMS, sums, strict=True)), [visitors_of(who)] if who else ())
    within = await _within(db, website_id, piece) if found else []
    return within + [Sum(dimension, piece, value, tally) for (dimension, value), tally in found.items()]


async def _within(db: AsyncConnection, website_id: int, piece: Piece) -> list[Sum]:
    """Everything, by the shorter pieces that `piece` holds."""
    buckets = Buckets([], [Piece(1, piece.at + number).start for number in range(piece.span)], piece.end)
    everything = frozenset({"visitors", *SEALED_SUMS})
    rows = await series_from_rows(db, website_id, buckets, EVERYTHING, everything, who=True)
    held: dict[Piece, Tally] = {}
    for number, row in sorted(rows.items()):
        quarter = Tally()
        quarter.add_row(row)
        for span in SHORTER:
            if span < piece.span:
                shorter = block_of(piece.at + number - 1, span)
                held.setdefault(shorter, Tally()).add(quarter.sums, quarter.visitors)
    return [Sum(EVERYTHING_DIMENSION, one, 0, tally) for one, tally in held.items()]
