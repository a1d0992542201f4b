"""SQL of conversions as they are found: live in the transaction of their batch, and step by step in a backfill."""

from collections.abc import Callable, Sequence
from datetime import datetime

from analytics_app.arrays import numbers
from analytics_app.db import AsyncDriver
from analytics_app.goals.live import Wanted, found_in
from analytics_app.goals.logic import Conversion, GoalSet, Moment, earliest, of_pages
from analytics_app.sessions.logic import Folded


def _time(ms: str) -> str:
    return f"timestamptz 'epoch' + {ms} * interval '1 millisecond'"


_WRITE = f"""
INSERT INTO conversions AS c
    (session_id, goal_id, revision, key, at, event_id, website_id, visitor, value, currency)
SELECT n.* FROM (
    SELECT s, g, r, k, {_time("ms")} AS at, e, w, v, amount, cur FROM unnest(
        %s::bigint[], %s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::bigint[],
        %s::numeric[], %s::text[]) AS a (s, g, r, k, ms, e, w, v, amount, cur)
) AS n
-- What is there already is met here, by reading alone: a conflict below would write to its row.
WHERE NOT EXISTS (SELECT FROM conversions h WHERE h.session_id = n.s AND h.goal_id = n.g AND h.revision = n.r
    AND h.key = n.k AND (h.at, h.event_id) <= (n.at, n.e))
ON CONFLICT (session_id, goal_id, revision, key) DO UPDATE SET at = excluded.at, event_id = excluded.event_id,
    value = excluded.value, currency = excluded.currency
WHERE (excluded.at, excluded.event_id) < (c.at, c.event_id)
"""

_NTH_VIEW = f"""
SELECT place, (extract(epoch FROM at) * 1000)::bigint, id
FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) WITH ORDINALITY AS w (session, ms, n, place), LATERAL (
    SELECT at, id FROM events WHERE session_id = w.session AND kind = 1 AND at >= {_time("ms")}
        AND at <= {_time("ms")} + interval '25 hours'
    ORDER BY at, id OFFSET n - 1 LIMIT 1) AS v
"""


async def convert(db: AsyncDriver, folded: Folded, goals_of: Callable[[int], GoalSet | None]) -> int:
    """Write the conversions in what a batch came to, after its events and sessions; returns how many it found."""
    found = found_in(folded, goals_of)
    found.conversions += await of_wanted(db, found.wanted)
    return await write(db, found.conversions)


async def of_wanted(db: AsyncDriver, wanted: Sequence[Wanted]) -> list[Conversion]:
    """The conversions of sessions whose deciding pageview is to be read from rows."""
    views = await _views_of(db, wanted)
    return [of_pages(one.who, one.goal, views[place]) for place, one in enumerate(wanted, 1) if place in views]


async def _views_of(db: AsyncDriver, wanted: Sequence[Wanted]) -> dict[int, Moment]:
    if not wanted:
        return {}
    rows = await db.execute(
        _NTH_VIEW,
        (
            numbers(one.who.session_id for one in wanted),
            numbers(one.started_ms for one in wanted),
            numbers(one.goal.threshold for one in wanted),
        ),
    )
    return {place: (at_ms, event_id) async for place, at_ms, event_id in rows}


async def write(db: AsyncDriver, found: Sequence[Conversion]) -> int:
    """Record conversions; of those recorded before the earlier stays. Returns how many were found."""
    if not found:
        return 0
    rows = earliest(found)
    await db.execute(
        _WRITE,
        (
            numbers(row.session_id for row in rows),
            numbers(row.goal_id for row in rows),
            numbers(row.revision for row in rows),
            numbers(row.key for row in rows),
            numbers(row.at_ms for row in rows),
            numbers(row.event_id for row in rows),
            numbers(row.website_id for row in rows),
            numbers(row.visitor for row in rows),
            [row.value for row in rows],
            [row.currency for row in rows],
        ),
    )
    return len(rows)


def milliseconds(at: datetime) -> int:
    """A stored time as conversions carry it."""
    return round(at.timestamp() * 1000)


async def remove_conversions(db: AsyncDriver, _: int, session_ids: Sequence[int], *__: Sequence[int]) -> None:
    """Delete the conversions of sessions that are removed: a part of `analytics_app.removal`."""
    await db.execute("DELETE FROM conversions WHERE session_id = ANY(%s::bigint[])", (numbers(session_ids),))
