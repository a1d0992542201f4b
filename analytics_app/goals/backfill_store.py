"""A goal over the stored history, a stretch of events at a time; all in the transaction of the backfill's step."""

from datetime import datetime, timedelta
from typing import Any

from analytics_app.backfills.logic import Backfill, Step
from analytics_app.db import AsyncDriver
from analytics_app.goals.goal import Goal
from analytics_app.goals.live import Wanted
from analytics_app.goals.logic import Conversion, Who, Worth, of_duration, of_event
from analytics_app.goals.writes_store import milliseconds, of_wanted, write

EVENTS_A_STEP = 10_000
CLEARED_A_STEP = 10_000
_TICK = timedelta(microseconds=1)  # as fine as Postgres keeps time

_TEXT_COLUMNS = {"pageview": ("path", "kind = 1"), "event": ("name", "kind <> 1")}


async def take(db: AsyncDriver, job: Backfill) -> Step:
    """One step of a goal's backfill: where it begins, a stretch of events, or some conversions that are none any more.

    Conversions of an earlier revision are removed at the end, those of a goal that is gone altogether.
    """
    goal, enabled = await _goal(db, job.definition_id)
    if goal is None or (job.cursor and job.cursor.get("clear")):
        return await _clear(db, job.definition_id, goal)
    if job.cursor is None:
        if not enabled or (span := await _span(db, job.website_id)) is None:
            return Step({"clear": True}, total=0)
        first, last, events = span
        return Step({"from": first.isoformat(), "to": last.isoformat()}, total=events)
    first, last = (datetime.fromisoformat(job.cursor[name]) for name in ("from", "to"))
    until, events = await _stretch(db, job.website_id, first, last)
    if until is None:
        return Step({"clear": True})
    await write(db, await _conversions(db, job.website_id, goal, first, until))
    going_on = {"from": (until + _TICK).isoformat(), "to": job.cursor["to"]}
    return Step(going_on if events == EVENTS_A_STEP else {"clear": True}, done=events)


async def _goal(db: AsyncDriver, goal_id: int) -> tuple[Goal | None, bool]:
    rows = await db.execute(
        "SELECT id, revision, type, match_value, match_type, count = 'every', is_enabled FROM goals WHERE id = %s",
        (goal_id,),
    )
    row = await rows.fetchone()
    return (Goal(*row[:6]), row[6]) if row else (None, False)


async def _span(db: AsyncDriver, website_id: int) -> tuple[datetime, datetime, int] | None:
    """The time of the first stored event and of the last, and how many there are; None where there is none.

    Whatever is stored later is counted live, by a batch that knows the goal.
    """
    rows = await db.execute("SELECT min(at), max(at) FROM events WHERE website_id = %s", (website_id,))
    row = await rows.fetchone()
    assert row is not None
    if row[0] is None:
        return None
    sums = await db.execute(
        "SELECT coalesce(sum(pageviews + events), 0)::bigint FROM traffic_rollups WHERE website_id = %s", (website_id,)
    )
    total = await sums.fetchone()
    assert total is not None
    return row[0], row[1], total[0]


async def _stretch(db: AsyncDriver, website_id: int, first: datetime, last: datetime) -> tuple[datetime | None, int]:
    """Until when (itself included) the next events reach, and how many they are."""
    rows = await db.execute(
        "SELECT max(at), count(*) FROM (SELECT at FROM events WHERE website_id = %s AND at >= %s AND at <= %s "
        "ORDER BY at LIMIT %s) AS next",
        (website_id, first, last, EVENTS_A_STEP),
    )
    row = await rows.fetchone()
    assert row is not None
    return row[0], row[1]


async def _conversions(
    db: AsyncDriver, website_id: int, goal: Goal, first: datetime, until: datetime
) -> list[Conversion]:
    if goal.type in _TEXT_COLUMNS:
        return await _of_events(db, website_id, goal, first, until)
    sessions = await _sessions(db, website_id, goal, first, until)
    if goal.type == "duration":
        return [of_duration(who, goal, started_ms) for who, started_ms in sessions]
    return await of_wanted(db, [Wanted(who, goal, started_ms) for who, started_ms in sessions])


async def _of_events(
    db: AsyncDriver, website_id: int, goal: Goal, first: datetime, until: datetime
) -> list[Conversion]:
    """The conversions among the events of a stretch: each of their texts is compared once."""
    column, of_kind = _TEXT_COLUMNS[goal.type]
    within = f"website_id = %s AND at >= %s AND at <= %s AND {of_kind}"
    terms = await db.execute(
        f"SELECT id, text FROM terms WHERE id IN (SELECT DISTINCT {column} FROM events WHERE {within})",
        (website_id, first, until),
    )
    met = [number async for number, text in terms if goal.matches(text)]
    if not met:
        return []
    rows = await db.execute(
        f"SELECT id, at, session_id, visitor, value::text, currency FROM events "
        f"WHERE {within} AND {column} = ANY(%s::int[])",
        (website_id, first, until, met),
    )
    found: list[Conversion] = []
    async for event_id, at, session_id, visitor, value, currency in rows:
        who = Who(session_id, website_id, visitor)
        found += of_event(who, [goal], (milliseconds(at), event_id), Worth(value, currency))
    return found


async def _sessions(
    db: AsyncDriver, website_id: int, goal: Goal, first: datetime, until: datetime
) -> list[tuple[Who, int]]:
    """The sessions started in a stretch that reach the goal's threshold, and when they started."""
    column = "duration_s" if goal.type == "duration" else "pageviews"
    rows = await db.execute(
        "SELECT id, visitor, started_at FROM sessions "
        f"WHERE website_id = %s AND started_at >= %s AND started_at <= %s AND {column} >= %s",
        (website_id, first, until, goal.threshold),
    )
    return [
        (Who(session_id, website_id, visitor), milliseconds(started_at))
        async for session_id, visitor, started_at in rows
    ]


async def _clear(db: AsyncDriver, goal_id: int, goal: Goal | None) -> Step:
    """Remove some conversions of earlier revisions; of all revisions where the goal is gone."""
    below: Any = 2**31 - 1 if goal is None else goal.revision
    cleared = await db.execute(
        "DELETE FROM conversions WHERE (session_id, goal_id, revision, key) IN (SELECT session_id, goal_id, revision, "
        "key FROM conversions WHERE goal_id = %s AND revision < %s LIMIT %s)",
        (goal_id, below, CLEARED_A_STEP),
    )
    more = cleared.rowcount == CLEARED_A_STEP
    return Step({"clear": True} if more else None, forget=goal is None)
