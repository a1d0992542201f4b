"""SQL of the conversions of one visitor."""

from typing import Any

from psycopg.rows import dict_row

from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Subject

_CONVERSIONS = """
SELECT c.goal_id, g.name AS goal, c.session_id, nullif(c.event_id, 0) AS event_id, c.at, c.value::float AS value,
    c.currency
FROM conversions c JOIN goals g ON g.id = c.goal_id AND g.revision = c.revision
WHERE c.session_id = ANY(ARRAY(SELECT id FROM sessions WHERE website_id = %s AND visitor = %s))
ORDER BY c.at, c.session_id, c.goal_id, c.key
"""


async def conversions_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """What the visitor converted, by the goals as they are now. Conversions go with their sessions."""
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_CONVERSIONS, (subject.website_id, subject.number))
        return await cursor.fetchall()
