"""What funnels hold of one visitor: shown, and deleted."""

from typing import Any

from psycopg.rows import dict_row

from analytics_app.db import AsyncDriver
from analytics_app.funnels.progress_store import forget_visitors
from analytics_app.gdpr.logic import Subject


async def progress_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The visitor's attempts at funnels, by time: how far each came, and when it took which step."""
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT r.funnel_id, f.name AS funnel, r.started_at, r.session_id, r.taken AS steps_taken, "
            "r.required >= (SELECT count(*) FROM funnel_steps s WHERE s.funnel_id = f.id AND NOT s.is_optional) "
            "AS completed, ARRAY(SELECT r.started_at + o * interval '1 millisecond' FROM unnest(r.offsets_ms) "
            "WITH ORDINALITY AS t (o, place) ORDER BY place) AS steps_at "
            "FROM funnel_runs r JOIN funnels f ON f.id = r.funnel_id AND f.revision = r.revision "
            "WHERE r.visitor = %s AND f.website_id = %s ORDER BY r.started_at, r.funnel_id, r.event_id",
            (subject.number, subject.website_id),
        )
        return await cursor.fetchall()


async def remove_progress(db: AsyncDriver, subject: Subject) -> None:
    """Delete what is left of the visitor, also of funnels that are gone."""
    if subject.number is not None:
        await forget_visitors(db, [subject.number])
