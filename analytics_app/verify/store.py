"""The recount: each question answers what is stored, what the raw rows give instead, and where."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.kinds import SESSION_TERMS
from analytics_app.sessions.state import Visit, decode_state
from analytics_app.verify import conversions_store, funnels_store, heatmaps_store, seals_store
from analytics_app.verify.logic import Check, Difference

MOST = 1_000
"""Most differences told of one check of a website."""

_ROLLUPS = """
WITH counted AS (
    SELECT bucket, sum(pageviews) AS pageviews, sum(events) AS events, sum(sessions) AS sessions,
        sum(bounces) AS bounces, sum(duration_s) AS duration_s, sum(session_pageviews) AS session_pageviews
    FROM (
        SELECT date_bin('15 minutes', at, 'epoch') AS bucket, count(*) FILTER (WHERE kind = 1) AS pageviews,
            count(*) FILTER (WHERE kind <> 1) AS events, 0 AS sessions, 0 AS bounces, 0 AS duration_s,
            0 AS session_pageviews
        FROM events WHERE website_id = :website_id GROUP BY 1
        UNION ALL
        SELECT date_bin('15 minutes', started_at, 'epoch'), 0, 0, count(*), count(*) FILTER (WHERE is_bounce),
            sum(duration_s), sum(pageviews)
        FROM sessions WHERE website_id = :website_id GROUP BY 1
    ) AS parts GROUP BY bucket
), stored AS (
    SELECT bucket, sum(pageviews) AS pageviews, sum(events) AS events, sum(sessions) AS sessions,
        sum(bounces) AS bounces, sum(duration_s) AS duration_s, sum(session_pageviews) AS session_pageviews
    FROM traffic_rollups WHERE website_id = :website_id GROUP BY bucket
)
SELECT to_char(bucket, 'YYYY-MM-DD"T"HH24:MI"Z"') AS place, field, coalesce(s, 0)::text AS stored,
    coalesce(c, 0)::text AS counted
FROM stored FULL JOIN counted USING (bucket), LATERAL (VALUES
    ('pageviews', stored.pageviews, counted.pageviews), ('events', stored.events, counted.events),
    ('sessions', stored.sessions, counted.sessions), ('bounces', stored.bounces, counted.bounces),
    ('duration_s', stored.duration_s, counted.duration_s),
    ('session_pageviews', stored.session_pageviews, counted.session_pageviews)
) AS pairs (field, s, c)
WHERE coalesce(s, 0) <> coalesce(c, 0) ORDER BY bucket, field LIMIT :most
"""

_SESSIONS = """
WITH counted AS (
    SELECT session_id, count(*) FILTER (WHERE kind = 1) AS pageviews, count(*) FILTER (WHERE kind <> 1) AS events,
        coalesce(sum(time_on_page_s), 0) AS engaged_s, min(at) AS first_at, max(at) AS last_at,
        count(*) FILTER (WHERE kind <> 1 AND interactive) AS interactions,
        (array_agg(path ORDER BY at, id) FILTER (WHERE kind = 1))[1] AS entry_path,
        (array_agg(path ORDER BY at DESC, id DESC) FILTER (WHERE kind = 1))[1] AS exit_path
    FROM events WHERE website_id = :website_id GROUP BY session_id
), sessions_of AS (
    SELECT * FROM sessions WHERE website_id = :website_id
)
SELECT 'session ' || s.id AS place, field, coalesce(stored, '-') AS stored, coalesce(pairs.counted, '-') AS counted
FROM sessions_of s LEFT JOIN counted c ON c.session_id = s.id, LATERAL (VALUES
    ('pageviews', s.pageviews::text, coalesce(c.pageviews, 0)::text),
    ('events', s.events::text, coalesce(c.events, 0)::text),
    ('engaged_s', s.engaged_s::text, coalesce(c.engaged_s, 0)::text),
    ('started_at', s.started_at::text, coalesce(c.first_at, s.started_at)::text),
    ('last_at', s.last_at::text, greatest(c.last_at, s.last_at)::text),
    ('duration_s', s.duration_s::text, floor(extract(epoch FROM s.last_at - s.started_at))::int::text),
    ('is_bounce', s.is_bounce::text, (coalesce(c.pageviews, 0) < 2 AND coalesce(c.interactions, 0) = 0
        AND (:bounce_engaged_s = 0 OR coalesce(c.engaged_s, 0) < :bounce_engaged_s))::text),
    ('entry_path', s.entry_path::text, c.entry_path::text), ('exit_path', s.exit_path::text, c.exit_path::text),
    ('longest', '24 h at most', CASE WHEN s.last_at - s.started_at <= interval '24 h' THEN '24 h at most'
        ELSE (s.last_at - s.started_at)::text END)
) AS pairs (field, stored, counted)
WHERE stored IS DISTINCT FROM pairs.counted ORDER BY s.id, field LIMIT :most
"""

_EVENTS = """
SELECT 'event ' || e.id AS place, CASE WHEN s.id IS NULL THEN 'session_id' ELSE 'visitor' END AS field,
    CASE WHEN s.id IS NULL THEN e.session_id ELSE e.visitor END::text AS stored,
    CASE WHEN s.id IS NULL THEN 'no such session' ELSE s.visitor::text END AS counted
FROM events e LEFT JOIN sessions s ON s.id = e.session_id AND s.website_id = e.website_id
WHERE e.website_id = :website_id AND (s.id IS NULL OR s.visitor <> e.visitor) ORDER BY e.id LIMIT :most
"""

_VISITORS = """
SELECT 'session ' || s.id AS place, 'visitor' AS field, s.visitor::text AS stored, 'no such visitor' AS counted
FROM sessions s LEFT JOIN visitors v ON v.number = s.visitor AND v.website_id = s.website_id
WHERE s.website_id = :website_id AND v.number IS NULL ORDER BY s.id LIMIT :most
"""

_TERMS = f"""
SELECT 'rows' AS place, field, number::text AS stored, 'no such text' AS counted FROM (
    SELECT DISTINCT field, number FROM sessions s, LATERAL (VALUES
        {", ".join(f"('{name}', s.{name})" for name in ("entry_path", "exit_path", *SESSION_TERMS))}
    ) AS named (field, number) WHERE s.website_id = :website_id
    UNION
    SELECT DISTINCT field, number FROM events e, LATERAL (VALUES
        ('path', e.path), ('name', e.name), ('title', e.title)
    ) AS named (field, number) WHERE e.website_id = :website_id
    UNION
    SELECT 'page of heatmaps', page FROM heatmap_pages WHERE website_id = :website_id
) AS used WHERE number IS NOT NULL
    AND NOT EXISTS (SELECT FROM terms t WHERE t.id = number AND t.website_id = :website_id)
ORDER BY field, number LIMIT :most
"""

_EXPOSURES = """
SELECT 'experiment ' || x.experiment_id || ', visitor ' || x.visitor AS place, field, stored, counted
FROM exposures x LEFT JOIN experiments e ON e.id = x.experiment_id AND e.website_id = x.website_id
    LEFT JOIN variants a ON a.id = x.variant_id AND a.experiment_id = x.experiment_id
    LEFT JOIN visitors v ON v.number = x.visitor AND v.website_id = x.website_id, LATERAL (VALUES
    ('experiment', x.experiment_id::text, coalesce(e.id::text, 'no such experiment')),
    ('variant', x.variant_id::text, coalesce(a.id::text, 'no such variant')),
    ('visitor', x.visitor::text, coalesce(v.number::text, 'no such visitor')),
    ('first_at', 'after the start', CASE WHEN x.first_at < e.started_at - interval '1 minute'
        THEN 'before the start' ELSE 'after the start' END)
) AS pairs (field, stored, counted)
WHERE x.website_id = :website_id AND stored <> counted ORDER BY x.experiment_id, x.visitor, field LIMIT :most
"""

_OUTCOMES = """
SELECT topic || '/' || partition AS place, 'received' AS field,
    coalesce(sum(hits) FILTER (WHERE outcome = 'received'), 0)::text AS stored,
    coalesce(sum(hits) FILTER (WHERE outcome <> 'received'), 0)::text AS counted
FROM stream_outcomes WHERE topic <> 'edge' GROUP BY topic, partition  -- the edge counts answers alone
HAVING coalesce(sum(hits) FILTER (WHERE outcome = 'received'), 0)
    <> coalesce(sum(hits) FILTER (WHERE outcome <> 'received'), 0)
ORDER BY 1 LIMIT :most
"""

OF_A_WEBSITE: dict[Check, str] = {
    "rollups": _ROLLUPS,
    "sessions": _SESSIONS,
    "events": _EVENTS,
    "visitors": _VISITORS,
    "terms": _TERMS,
    "exposures": _EXPOSURES,
}

COUNTED_APART: dict[Check, Callable[[AsyncConnection, int, int], Awaitable[list[Difference]]]] = {
    "seals": seals_store.differences,
    "conversions": conversions_store.differences,
    "funnels": funnels_store.differences,
    "heatmaps": heatmaps_store.differences,
}

Told = Callable[[Check, int, int], None]


async def recount(
    db: AsyncConnection,
    *,
    bounce_engaged_s: int,
    website_ids: Iterable[int] | None = None,
    told: Told | None = None,
) -> list[Difference]:
    """What differs between what is added up or derived and a recount of the raw rows; empty where all agree.

    Of all websites that are not deleted, or of `website_ids`. `db` must be one snapshot (`db.snapshot()`), or what is
    written meanwhile would look like a difference. `told` hears of each check that is done, and of how many.
    """
    every = website_ids is None
    websites = await _websites(db) if website_ids is None else sorted(website_ids)
    steps = len(websites) * (len(OF_A_WEBSITE) + len(COUNTED_APART)) + 2
    found: list[Difference] = []
    done = 0
    for website_id in websites:
        for check, query in OF_A_WEBSITE.items():
            given = {"website_id": website_id, "most": MOST}
            if ":bounce_engaged_s" in query:
                given["bounce_engaged_s"] = bounce_engaged_s
            found += await _differences(db, check, website_id, query, given)
            done += 1
            if told:
                told(check, done, steps)
        for check, differences in COUNTED_APART.items():
            found += await differences(db, website_id, MOST)
            done += 1
            if told:
                told(check, done, steps)
    found += await _of_states(db, set(websites))
    if told:
        told("states", done + 1, steps)
    if every:
        found += await _differences(db, "outcomes", 0, _OUTCOMES, {"most": MOST})
    if told:
        told("outcomes", steps, steps)
    return found


async def _websites(db: AsyncConnection) -> list[int]:
    """Ids of the websites that are not deleted, or that hold rollups without being known at all."""
    rows = await db.execute(
        text(
            "SELECT id FROM websites WHERE deleted_at IS NULL UNION SELECT DISTINCT website_id FROM traffic_rollups"
            " WHERE website_id NOT IN (SELECT id FROM websites) ORDER BY 1"
        )
    )
    return list(rows.scalars())


async def _differences(
    db: AsyncConnection, check: Check, website_id: int, query: str, given: dict[str, int]
) -> list[Difference]:
    rows = await db.execute(text(query), given)
    return [Difference(check, website_id, row.place, row.field, row.stored, row.counted) for row in rows]


async def _of_states(db: AsyncConnection, websites: set[int]) -> list[Difference]:
    """Live sessions whose state and row disagree."""
    found: list[Difference] = []
    after = "00000000-0000-0000-0000-000000000000"
    while len(found) < MOST:
        rows = (
            await db.execute(
                text("SELECT key, state FROM session_states WHERE key > CAST(:after AS uuid) ORDER BY key LIMIT 5000"),
                {"after": after},
            )
        ).all()
        if not rows:
            break
        visits = [visit for row in rows for visit in decode_state(row.state).visits if visit.website_id in websites]
        held = await _rows_of(db, visits)
        for visit in visits:
            found += _state_differences(visit, held.get(visit.id))
        after = str(rows[-1].key)
    return found[:MOST]


async def _rows_of(db: AsyncConnection, visits: Sequence[Visit]) -> dict[int, Any]:
    if not visits:
        return {}
    rows = await db.execute(
        text(
            "SELECT s.id, s.website_id, s.visitor, s.pageviews, s.events, s.engaged_s,"
            " (extract(epoch FROM s.started_at) * 1000)::bigint AS started_ms,"
            " (extract(epoch FROM s.last_at) * 1000)::bigint AS last_ms"
            " FROM sessions s JOIN unnest(CAST(:ids AS bigint[]), CAST(:starts AS bigint[])) AS held (id, started_ms)"
            " ON s.id = held.id AND s.started_at BETWEEN to_timestamp(held.started_ms / 1000.0) - interval '25 h'"
            " AND to_timestamp(held.started_ms / 1000.0) + interval '25 h'"
        ),
        {"ids": [visit.id for visit in visits], "starts": [visit.started_ms for visit in visits]},
    )
    return {row.id: row for row in rows}


def _state_differences(visit: Visit, row: Any) -> list[Difference]:
    where = f"session {visit.id}"
    if row is None:
        return [Difference("states", visit.website_id, where, "session", "no row", "live")]
    fields = ("visitor", "pageviews", "events", "engaged_s", "started_ms", "last_ms")
    return [
        Difference("states", visit.website_id, where, name, str(getattr(row, name)), str(getattr(visit, name)))
        for name in fields
        if getattr(row, name) != getattr(visit, name)
    ]
