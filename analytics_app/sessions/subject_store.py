"""SQL of everything that sessions tell of one visitor."""

from typing import Any

from psycopg.rows import dict_row

from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Subject
from analytics_app.sessions.kinds import SESSION_TERMS, EventKind

_TERMS = ("entry_path", "exit_path", *SESSION_TERMS)
_SESSIONS = f"""
SELECT s.id AS session_id, s.started_at, s.last_at, s.duration_s, s.pageviews, s.events, s.engaged_s, s.is_bounce,
    {", ".join(f"(SELECT text FROM terms WHERE terms.id = s.{column}) AS {column}" for column in _TERMS)}
FROM sessions s WHERE s.website_id = %s AND s.visitor = %s ORDER BY s.started_at, s.id
"""
_EVENTS = """
SELECT e.id AS event_id, e.at AS timestamp, e.session_id, e.kind,
    (SELECT text FROM terms WHERE terms.id = e.path) AS path,
    (SELECT text FROM terms WHERE terms.id = e.title) AS title,
    (SELECT text FROM terms WHERE terms.id = e.name) AS name,
    e.value::float AS value, e.currency, e.properties, e.interactive,
    e.time_on_page_s AS time_on_page, e.scroll_depth
FROM events e WHERE e.session_id = ANY(ARRAY(SELECT id FROM sessions WHERE website_id = %s AND visitor = %s))
ORDER BY e.at, e.id
"""


async def sessions_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The visitor's sessions, with their dimensions."""
    return await _rows(db, _SESSIONS, subject)


async def events_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """Everything tracked of the visitor, pageviews included."""
    rows = await _rows(db, _EVENTS, subject)
    return [{**row, "type": EventKind(row.pop("kind")).name.lower()} for row in rows]


async def pageviews_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The pageviews among the events."""
    return [row for row in await events_of(db, subject) if row["type"] == "pageview"]


async def _rows(db: AsyncDriver, query: str, subject: Subject) -> list[dict[str, Any]]:
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, (subject.website_id, subject.number))
        return await cursor.fetchall()
