"""SQL of the recordings of one visitor."""

from typing import Any

from psycopg.rows import dict_row

from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Subject
from analytics_app.replays.logic import WHOLE
from analytics_app.replays.packing import unpacked

_REPLAYS = """
SELECT id AS replay_id, started_at, duration_ms, chunks, events, clicks, rage_clicks, errors, entry_page, pages,
    country, device_type, browser, os
FROM replays WHERE website_id = %s AND visitor = %s::uuid ORDER BY started_at, id
"""

_REMOVE = """
WITH gone AS (
    DELETE FROM replays WHERE website_id = %(website_id)s AND visitor = %(visitor)s::uuid RETURNING session_key, tab
)
INSERT INTO replay_tombstones (website_id, key, before)
SELECT DISTINCT %(website_id)s, coalesce(nullif(tab, %(whole)s::uuid), session_key) AS key, timestamptz 'infinity'
FROM gone ORDER BY key
ON CONFLICT (website_id, key) DO UPDATE SET before = excluded.before, created_at = now()
"""


async def replays_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The visitor's recordings, each with what was recorded."""
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_REPLAYS, (subject.website_id, subject.visitor))
        replays = await cursor.fetchall()
    for replay in replays:
        rows = await db.execute(
            "SELECT data FROM replay_chunks WHERE replay_id = %s ORDER BY sequence", (replay["replay_id"],)
        )
        replay["recording"] = [event async for (data,) in rows for event in unpacked(data)]
    return replays


async def remove_replays(db: AsyncDriver, subject: Subject) -> None:
    """Delete the visitor's recordings, the website being held alone; recorders that go on with them are told to stop.

    Recordings show the visitor, so they go where all else is only made to lead to nobody, too.
    """
    await db.execute(_REMOVE, {"website_id": subject.website_id, "visitor": subject.visitor, "whole": WHOLE})
