"""The recount of conversions: each goal against the raw rows, by SQL of its own."""

from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.goals.goal import OPS, Goal
from analytics_app.goals.models import GoalRow
from analytics_app.goals.store import goal_in
from analytics_app.sessions.kinds import TermKind
from analytics_app.sessions.models import TermRow
from analytics_app.stats.filters import MATCHERS
from analytics_app.verify.logic import Difference

# What of a session converts, as (session_id, visitor, key, at, event_id, value, currency).

_ONCE = """
SELECT DISTINCT ON (session_id) session_id, visitor, 0::bigint AS key, at, id AS event_id, value, currency
FROM events WHERE website_id = :website_id AND {met} ORDER BY session_id, at, id"""

_EVERY = """
SELECT session_id, visitor, id AS key, at, id AS event_id, value, currency
FROM events WHERE website_id = :website_id AND {met}"""

_DURATION = """
SELECT id AS session_id, visitor, 0::bigint AS key, started_at + :threshold * interval '1 second' AS at,
    0::bigint AS event_id, NULL::numeric AS value, NULL AS currency
FROM sessions WHERE website_id = :website_id AND last_at - started_at >= :threshold * interval '1 second'"""

_PAGES = """
SELECT session_id, visitor, 0::bigint AS key, at, id AS event_id, NULL::numeric AS value, NULL AS currency
FROM (SELECT *, row_number() OVER (PARTITION BY session_id ORDER BY at, id) AS place
    FROM events WHERE website_id = :website_id AND kind = 1) AS views
WHERE place = :threshold"""

_COMPARED = """
WITH counted AS ({counted}), stored AS (
    SELECT session_id, visitor, key, at, event_id, value, currency FROM conversions
    WHERE goal_id = :goal_id AND revision = :revision
)
SELECT format('goal %s, session %s', :goal_id, session_id) AS place, field, coalesce(pairs.s, '-') AS stored,
    coalesce(pairs.c, '-') AS counted
FROM stored s FULL JOIN counted c USING (session_id, key), LATERAL (VALUES
    ('conversion', CASE WHEN s.at IS NOT NULL THEN 'there' END, CASE WHEN c.at IS NOT NULL THEN 'there' END),
    ('at', s.at::text, c.at::text), ('event_id', s.event_id::text, c.event_id::text),
    ('visitor', s.visitor::text, c.visitor::text), ('value', s.value::text, c.value::text),
    ('currency', s.currency, c.currency)
) AS pairs (field, s, c)
WHERE pairs.s IS DISTINCT FROM pairs.c AND (field = 'conversion' OR (s.at IS NOT NULL AND c.at IS NOT NULL))
ORDER BY session_id, key, field LIMIT :most"""

_NOBODYS = """
SELECT format('goal %s, session %s', c.goal_id, c.session_id) AS place
FROM conversions c LEFT JOIN goals g ON g.id = c.goal_id AND g.revision = c.revision
WHERE c.website_id = :website_id AND g.id IS NULL AND NOT EXISTS (
    SELECT FROM backfills b WHERE b.kind = 'goals' AND b.definition_id = c.goal_id AND b.state <> 'done')
ORDER BY c.session_id LIMIT :most"""

_SETTLED = """
SELECT id FROM goals g WHERE website_id = :website_id AND is_enabled AND NOT EXISTS (
    SELECT FROM backfills b WHERE b.kind = 'goals' AND b.definition_id = g.id AND b.state <> 'done')"""


async def differences(db: AsyncConnection, website_id: int, most: int) -> list[Difference]:
    """At most `most` conversions of a website that are not what its rows say.

    Of goals that are enabled and computed over all that is stored.
    """
    settled = set((await db.execute(text(_SETTLED), {"website_id": website_id})).scalars())
    rows = await db.execute(select(GoalRow.__table__).where(GoalRow.website_id == website_id).order_by(GoalRow.id))
    found: list[Difference] = []
    for row in rows.all():
        if row.id in settled and len(found) < most:
            found += await _of_goal(db, website_id, goal_in(row), most)
    nobodys = await db.execute(text(_NOBODYS), {"website_id": website_id, "most": most})
    found += [
        Difference("conversions", website_id, place, "goal", "there", "no such goal") for place in nobodys.scalars()
    ]
    return found[:most]


async def _of_goal(db: AsyncConnection, website_id: int, goal: Goal, most: int) -> list[Difference]:
    given: dict[str, Any] = {
        "website_id": website_id,
        "goal_id": goal.id,
        "revision": goal.revision,
        "most": most,
    }
    if goal.type in ("duration", "pages_per_session"):
        query = _DURATION if goal.type == "duration" else _PAGES
        given["threshold"] = goal.threshold
    else:
        is_page = goal.type == "pageview"
        given["terms"] = await _terms(db, website_id, TermKind.PATH if is_page else TermKind.EVENT_NAME, goal)
        met = "kind = 1 AND path = ANY(:terms)" if is_page else "kind <> 1 AND name = ANY(:terms)"
        query = (_EVERY if goal.every else _ONCE).format(met=met)
    rows = await db.execute(text(_COMPARED.format(counted=query)), given)
    return [Difference("conversions", website_id, row.place, row.field, row.stored, row.counted) for row in rows]


async def _terms(db: AsyncConnection, website_id: int, kind: TermKind, goal: Goal) -> list[int]:
    """The numbers of the paths or names that the goal asks for: compared by Postgres, where it can."""
    assert goal.match_type is not None
    matcher = MATCHERS[OPS[goal.match_type]]
    terms = select(TermRow.id, TermRow.text).where(TermRow.website_id == website_id, TermRow.kind == int(kind))
    if matcher.sql is not None:
        terms = terms.where(matcher.sql(TermRow.text, goal.match_value))
        return [row.id for row in await db.execute(terms)]
    return [row.id for row in await db.execute(terms) if matcher.python(row.text, goal.match_value)]
