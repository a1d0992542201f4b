"""SQL that takes sessions out again: rows, rollups, and the states they would be folded on from; in one transaction.

Whoever removes what may still be on its way (a verdict, an erasure) holds the website `alone` first: every batch of
hits holds it shared to its end, so none is under way meanwhile, and each later one sees what was decided.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics_app.arrays import hexes, numbers
from analytics_app.db import AsyncDriver
from analytics_app.sessions.state import decode_state, encode_state
from analytics_app.sessions.store import instant, new_version
from analytics_app.stats.spans import PART

_LOCK = 7_203_119  # the first of the two keys of a website's advisory lock; the second is the website's id


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken out of a website: its sessions, whose they were, what they had counted, and when."""

    session_ids: tuple[int, ...] = ()
    visitors: tuple[int, ...] = ()
    pageviews: int = 0
    events: int = 0
    parts: tuple[int, ...] = ()
    """Parts of days, numbered since 1970 in UTC, in which they were under way: their seals are to be taken off."""


# Who waits for whom.


async def hold(db: AsyncDriver, website_ids: Iterable[int]) -> None:
    """Hold websites, shared, to the end of the transaction: nothing of theirs is removed meanwhile, but by age."""
    await db.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, w) FROM (SELECT unnest(%s::int[]) AS w ORDER BY 1) AS wanted",
        (_LOCK, numbers(sorted(website_ids))),
    )


async def hold_alone(db: AsyncDriver, website_id: int) -> None:
    """Hold a website alone to the end of the transaction: returns once no batch with hits of it is under way."""
    await db.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK, website_id))


# Which sessions.


async def sessions_of_visitors(db: AsyncDriver, website_id: int, visitors: Iterable[int]) -> list[int]:
    """The ids of all sessions of those visitors, given by number."""
    rows = await db.execute(
        "SELECT id FROM sessions WHERE website_id = %s AND visitor = ANY(%s::bigint[]) ORDER BY id",
        (website_id, numbers(sorted(visitors))),
    )
    return [session_id async for (session_id,) in rows]


async def sessions_under(db: AsyncDriver, website_id: int, keys: Iterable[str]) -> dict[int, str]:
    """The website's sessions that lie under those session keys and may still change: by id, the key of each."""
    rows = await db.execute(
        "SELECT key, state FROM session_states WHERE key = ANY(%s::uuid[]) ORDER BY key FOR UPDATE",
        (hexes(sorted(keys)),),
    )
    return {
        visit.id: key.hex
        async for key, state in rows
        for visit in decode_state(state).visits
        if visit.website_id == website_id
    }


async def sessions_before(db: AsyncDriver, website_id: int, before: datetime | None, most: int) -> list[int]:
    """The ids of up to `most` sessions that ended before `before` (None: of any)."""
    rows = await db.execute(
        "SELECT id FROM sessions WHERE website_id = %s AND (%s::timestamptz IS NULL OR last_at < %s) LIMIT %s",
        (website_id, before, before, most),
    )
    return [session_id async for (session_id,) in rows]


# Taking them out.


async def remove_sessions(db: AsyncDriver, website_id: int, session_ids: Collection[int]) -> Removed:
    """Delete sessions of a website and their events; no later hit goes on with them.

    Rollups lose what they counted of them, in rows of partition -1, so that a recount stays equal. Seals stay as they
    are: see `analytics_app.removal`, which is what to call.
    """
    if not session_ids:
        return Removed()
    ids = sorted(session_ids)
    await _forget_visits(db, website_id, ids)
    answer = await db.execute(_REMOVE, {"website_id": website_id, "ids": numbers(ids)})
    row = await answer.fetchone()
    assert row is not None
    removed = Removed(tuple(row[0]), tuple(row[1]), row[2], row[3], tuple(row[4]))
    if removed.session_ids and row[5]:
        await db.execute(_LEAVE_LIVE_VIEW, {"website_id": website_id, "visitors": numbers(removed.visitors)})
    return removed


async def close_sessions(db: AsyncDriver, website_id: int, session_ids: Collection[int]) -> None:
    """Let no later hit go on with those sessions, whose rows stay. The website must be held alone."""
    if session_ids:
        await _forget_visits(db, website_id, sorted(session_ids))


async def forget_visitors(db: AsyncDriver, website_id: int, visitors: Sequence[int]) -> int:
    """Delete those visitors that no session names any more; returns how many. The website must be held alone."""
    deleted = await db.execute(
        "DELETE FROM visitors v WHERE website_id = %(website_id)s AND number = ANY(%(visitors)s::bigint[]) "
        "AND NOT EXISTS (SELECT FROM sessions s WHERE s.website_id = %(website_id)s AND s.visitor = v.number)",
        {"website_id": website_id, "visitors": numbers(visitors)},
    )
    return deleted.rowcount


async def forget_removals(db: AsyncDriver, before: datetime) -> int:
    """Forget who left the live views before `before`; returns how many."""
    return (await db.execute("DELETE FROM live_removals WHERE removed_at < %s", (before,))).rowcount


async def _forget_visits(db: AsyncDriver, website_id: int, ids: Sequence[int]) -> None:
    """Take sessions out of the states that hold them; copies of these states are out of date then.

    A state that is left empty stays: whoever deletes it when it is over also drops its copy.
    """
    gone = frozenset(ids)
    rows = await db.execute(_STATES_HOLDING, {"website_id": website_id, "ids": numbers(ids)})
    for key, value in await rows.fetchall():
        state = decode_state(value)
        state.visits = [visit for visit in state.visits if visit.id not in gone]
        if not state.visits:
            state.repeats = []
        await db.execute(
            "UPDATE session_states SET version = %s, state = %s, first_at = %s WHERE key = %s",
            (new_version(), encode_state(state), instant(state.first_ms), key),
        )


# A state holds a visit for 48 hours after it at most, and begins with the last one's start: nearly all are passed by.
_STATES_HOLDING = """
SELECT key, state FROM session_states WHERE key IN (
    SELECT key FROM session_states, (
        SELECT min(started_at) AS began, max(last_at) + interval '49 hours' AS ended
        FROM sessions WHERE website_id = %(website_id)s AND id = ANY(%(ids)s::bigint[])) AS bounds
    WHERE last_at >= began AND first_at <= ended AND EXISTS (
        SELECT FROM jsonb_array_elements(convert_from(state, 'UTF8')::jsonb -> 0) AS visit
        WHERE (visit ->> 0)::bigint = ANY(%(ids)s::bigint[])))
ORDER BY key FOR UPDATE
"""

_PART_S = PART * 15 * 60
_QUARTER = "date_bin('15 minutes', {}, 'epoch')"

_REMOVE = f"""
WITH gone AS (
    DELETE FROM sessions WHERE website_id = %(website_id)s AND id = ANY(%(ids)s::bigint[])
    RETURNING id, visitor, started_at, last_at, is_bounce, duration_s, pageviews
), lost AS (
    DELETE FROM events WHERE session_id IN (SELECT id FROM gone) RETURNING at, kind
), sums AS (
    SELECT {_QUARTER.format("started_at")} AS bucket, 0 AS pageviews, 0 AS events, 1 AS sessions,
           is_bounce::int AS bounces, duration_s, pageviews AS session_pageviews FROM gone
    UNION ALL
    SELECT {_QUARTER.format("at")}, (kind = 1)::int, (kind <> 1)::int, 0, 0, 0, 0 FROM lost
), subtracted AS (
    INSERT INTO traffic_rollups AS r
        (website_id, bucket, partition, pageviews, events, sessions, bounces, duration_s, session_pageviews)
    SELECT %(website_id)s, bucket, -1, -sum(pageviews), -sum(events), -sum(sessions), -sum(bounces),
           -sum(duration_s), -sum(session_pageviews)
    FROM sums GROUP BY bucket ORDER BY bucket
    ON CONFLICT (website_id, bucket, partition) DO UPDATE SET
        pageviews = r.pageviews + excluded.pageviews, events = r.events + excluded.events,
        sessions = r.sessions + excluded.sessions, bounces = r.bounces + excluded.bounces,
        duration_s = r.duration_s + excluded.duration_s,
        session_pageviews = r.session_pageviews + excluded.session_pageviews
)
SELECT ARRAY(SELECT id FROM gone ORDER BY id), ARRAY(SELECT DISTINCT visitor FROM gone ORDER BY visitor),
    (SELECT count(*) FILTER (WHERE kind = 1) FROM lost)::int, (SELECT count(*) FILTER (WHERE kind <> 1) FROM lost)::int,
    ARRAY(SELECT DISTINCT part FROM gone, generate_series(
        floor(extract(epoch FROM started_at) / {_PART_S})::int, floor(extract(epoch FROM last_at) / {_PART_S})::int
        ) AS part ORDER BY part),
    EXISTS (SELECT FROM gone WHERE last_at >= now() - interval '1 hour')
"""

# A moment that is surely after whatever this process' clock, or another's, said of their last activity so far.
_LEAVE_LIVE_VIEW = """
INSERT INTO live_removals (website_id, visitor, removed_at)
SELECT %(website_id)s, number, clock_timestamp() FROM unnest(%(visitors)s::bigint[]) AS gone (number)
WHERE NOT EXISTS (
    SELECT FROM sessions s WHERE s.website_id = %(website_id)s AND s.visitor = number
    AND s.started_at >= now() - interval '25 hours' AND s.last_at >= now() - interval '1 hour')
ON CONFLICT (website_id, visitor) DO UPDATE SET removed_at = excluded.removed_at
"""
