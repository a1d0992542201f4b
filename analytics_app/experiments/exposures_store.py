"""SQL of exposures: who saw which variant first, who saw two, and who converted after it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import numbers, truths
from analytics_app.db import AsyncDriver
from analytics_app.experiments.logic import First, like_pattern
from analytics_app.gdpr.logic import Subject
from analytics_app.sessions.kinds import EventKind, TermKind


async def known(db: AsyncDriver, experiment_ids: Iterable[int]) -> dict[int, int]:
    """The website of each of those experiments that exist; they stay until the transaction ends."""
    rows = await db.execute(
        "SELECT id, website_id FROM experiments WHERE id = ANY(%s::int[]) ORDER BY id FOR KEY SHARE",
        (numbers(sorted(experiment_ids)),),
    )
    return {experiment_id: website_id async for experiment_id, website_id in rows}


async def add_exposures(db: AsyncDriver, firsts: Mapping[tuple[int, int], First]) -> None:
    """Note who saw what first, by experiment and visitor.

    In whatever order they come, and however often, the earliest stays and two variants show. One that a lagging clock
    puts before the experiment's start is of the start: only a running one shows variants.
    """
    keys = sorted(firsts)
    rows = [firsts[key] for key in keys]
    await db.execute(
        "INSERT INTO exposures AS held (experiment_id, visitor, website_id, variant_id, first_at, multiple) "
        "SELECT e, v, w, a, greatest(timestamptz 'epoch' + t * interval '1 millisecond', x.started_at), m "
        "FROM unnest(%s::int[], %s::bigint[], %s::int[], %s::int[], %s::bigint[], %s::bool[]) "
        "AS given (e, v, w, a, t, m) LEFT JOIN experiments x ON x.id = e "
        "ON CONFLICT (experiment_id, visitor) DO UPDATE SET first_at = least(held.first_at, excluded.first_at), "
        "multiple = held.multiple OR excluded.multiple OR held.variant_id <> excluded.variant_id, "
        "variant_id = CASE WHEN (excluded.first_at, excluded.variant_id) < (held.first_at, held.variant_id) "
        "THEN excluded.variant_id ELSE held.variant_id END "
        "WHERE held.first_at > excluded.first_at OR NOT held.multiple "
        "AND (excluded.multiple OR held.variant_id <> excluded.variant_id)",
        (
            numbers(experiment_id for experiment_id, _ in keys),
            numbers(visitor for _, visitor in keys),
            numbers(one.website_id for one in rows),
            numbers(one.variant_id for one in rows),
            numbers(one.at_ms for one in rows),
            truths(one.multiple for one in rows),
        ),
    )


async def remove_visitors(db: AsyncDriver, website_id: int, visitors: Collection[int]) -> int:
    """Forget what those visitors (their numbers) of the website were shown; returns how many exposures that were.

    The results, which are counted at each asking, are without them from the commit on.
    """
    gone = await db.execute(
        "DELETE FROM exposures WHERE visitor = ANY(%s::bigint[]) AND website_id = %s",
        (numbers(sorted(visitors)), website_id),
    )
    return gone.rowcount


async def remove_visitor(db: AsyncDriver, subject: Subject) -> None:
    """The same for one visitor, at its own wish."""
    if subject.number is not None:
        await remove_visitors(db, subject.website_id, [subject.number])


async def take_out(db: AsyncDriver, website_id: int, _: Sequence[int], visitors: Sequence[int]) -> None:
    """Forget what visitors were shown of whom no session is left since: they are out of every other number, too."""
    rows = await db.execute(
        "SELECT min(first_at) FROM exposures WHERE visitor = ANY(%s::bigint[]) AND website_id = %s",
        (numbers(sorted(visitors)), website_id),
    )
    since = await rows.fetchone()
    if since is None or since[0] is None:
        return
    await db.execute(
        "DELETE FROM exposures x WHERE visitor = ANY(%s::bigint[]) AND website_id = %s AND NOT EXISTS ("
        "SELECT FROM sessions s WHERE s.website_id = x.website_id AND s.visitor = x.visitor "
        "AND s.started_at >= %s - interval '25 hours' AND s.last_at >= x.first_at)",
        (numbers(sorted(visitors)), website_id, since[0]),
    )


async def exposures_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """What a visitor was shown, for whoever has a right to know."""
    if subject.number is None:
        return []
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_OF_VISITOR, (subject.website_id, subject.number))
        return await cursor.fetchall()


async def tally(
    db: AsyncConnection,
    website_id: int,
    experiment_id: int,
    goal: tuple[str, str],
    since: datetime | None,
    until: datetime | None,
) -> dict[int, tuple[int, int, int]]:
    """By variant: visitors, how many of them reached `goal` (its type and value) after they saw it, and excluded ones.

    Visitors who saw two variants are excluded, and counted apart. A goal counts that was reached from `since` to just
    before `until`, at the visitor's first exposure or later. To be asked in a `db.snapshot()`.
    """
    if since is None:
        return {}
    given = {"website_id": website_id, "experiment_id": experiment_id, "since": since, "until": until}
    of_kind, term = _GOALS[goal[0]]
    terms = await _terms_of(db, website_id, *goal)
    rows = await db.execute(text(_TALLY.format(of_kind=of_kind, term=term)), {**given, "terms": terms})
    return {row.variant_id: (row.visitors, row.conversions, row.multiple) for row in rows}


async def course(
    db: AsyncConnection,
    website_id: int,
    experiment_id: int,
    goal: tuple[str, str],
    until: datetime | None,
    starts: Sequence[datetime],
) -> dict[tuple[int, int], tuple[int, int]]:
    """By variant and place in `starts`: visitors first exposed from then to just before the next, and first converted.

    As `tally` counts them, without those who saw two variants; what lies outside of all is in the first or the last.
    """
    of_kind, term = _GOALS[goal[0]]
    given = {
        "website_id": website_id,
        "experiment_id": experiment_id,
        "since": starts[0],
        "until": until,
        "terms": await _terms_of(db, website_id, *goal),
        "starts": list(starts),
    }
    rows = await db.execute(text(_COURSE.format(of_kind=of_kind, term=term)), given)
    return {(row.variant_id, row.place): (row.visitors, row.conversions) for row in rows}


async def _terms_of(db: AsyncConnection, website_id: int, goal_type: str, goal_value: str) -> Sequence[int]:
    kind = TermKind.PATH if goal_type == "pageview" else TermKind.EVENT_NAME
    exact = "*" not in goal_value
    said = goal_value if exact else like_pattern(goal_value)
    found = await db.execute(
        text(_TERMS_EXACT if exact else _TERMS_LIKE), {"website_id": website_id, "kind": int(kind), "value": said}
    )
    return list(found.scalars())


_GOALS = {
    "pageview": (f"kind = {int(EventKind.PAGEVIEW)}", "path"),
    "event": (f"kind <> {int(EventKind.PAGEVIEW)}", "name"),
}
"""What an event must be, and the column of its text."""

_TERMS_EXACT = (
    "SELECT id FROM terms WHERE website_id = :website_id AND kind = :kind AND digest = md5(:value)::uuid "
    "AND text = :value"
)
_TERMS_LIKE = "SELECT id FROM terms WHERE website_id = :website_id AND kind = :kind AND text LIKE :value"

# A visitor converted if the last time they reached the goal was not before they saw the variant.
_TALLY = """
WITH reached AS (
    SELECT visitor, max(at) AS last_at FROM events
    WHERE website_id = :website_id AND at >= :since AND (CAST(:until AS timestamptz) IS NULL OR at < :until)
    AND {of_kind} AND {term} IN (SELECT unnest(CAST(:terms AS int[]))) GROUP BY visitor
)
SELECT x.variant_id, count(*) FILTER (WHERE NOT x.multiple) AS visitors,
    count(*) FILTER (WHERE NOT x.multiple AND r.last_at >= x.first_at) AS conversions,
    count(*) FILTER (WHERE x.multiple) AS multiple
FROM exposures x LEFT JOIN reached r ON r.visitor = x.visitor
WHERE x.experiment_id = :experiment_id GROUP BY x.variant_id
"""

# A visitor converted when the goal was reached for the first time at or after the exposure.
_COURSE = """
WITH shown AS (
    SELECT visitor, variant_id, first_at FROM exposures WHERE experiment_id = :experiment_id AND NOT multiple
), converted AS (
    SELECT x.visitor, x.variant_id, min(e.at) AS at FROM shown x JOIN events e ON e.visitor = x.visitor
    AND e.at >= x.first_at WHERE e.website_id = :website_id AND e.at >= :since
    AND (CAST(:until AS timestamptz) IS NULL OR e.at < :until)
    AND {of_kind} AND {term} IN (SELECT unnest(CAST(:terms AS int[]))) GROUP BY x.visitor, x.variant_id
), happened AS (
    SELECT variant_id, first_at AS at, 1 AS visitors, 0 AS conversions FROM shown
    UNION ALL SELECT variant_id, at, 0, 1 FROM converted
)
SELECT variant_id, greatest(width_bucket(at, CAST(:starts AS timestamptz[])), 1) - 1 AS place,
    sum(visitors)::bigint AS visitors, sum(conversions)::bigint AS conversions
FROM happened GROUP BY 1, 2
"""

_OF_VISITOR = """
SELECT x.experiment_id, e.name AS experiment, x.variant_id, v.name AS variant, x.first_at, x.multiple
FROM exposures x JOIN experiments e ON e.id = x.experiment_id LEFT JOIN variants v ON v.id = x.variant_id
WHERE x.website_id = %s AND x.visitor = %s ORDER BY x.experiment_id
"""
