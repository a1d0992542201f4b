"""SQL of what bot detection holds of a visitor."""

from typing import Any

from analytics_app.bots.logic import Action
from analytics_app.clock import iso
from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Subject


async def detections_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """The detections of hits of the visitor, the earliest first."""
    rows = await db.execute(
        "SELECT at, action, score, reasons, type, name, path, country, pageviews, events FROM bot_detections "
        "WHERE website_id = %s AND visitor = %s::uuid ORDER BY at, id",
        (subject.website_id, subject.visitor),
    )
    return [
        {
            "at": iso(at),
            "action": Action(action).name.lower(),
            "score": score,
            "reasons": reasons,
            "type": type_,
            "name": name,
            "path": path,
            "country": country,
            "pageviews": pageviews,
            "events": events,
        }
        async for at, action, score, reasons, type_, name, path, country, pageviews, events in rows
    ]


async def remove_detections(db: AsyncDriver, subject: Subject) -> None:
    """Delete the detections of hits of the visitor."""
    await db.execute(
        "DELETE FROM bot_detections WHERE website_id = %s AND visitor = %s::uuid", (subject.website_id, subject.visitor)
    )


async def anonymise_detections(db: AsyncDriver, subject: Subject) -> None:
    """Cut what leads from detections to the visitor; what they count stays."""
    await db.execute(
        "UPDATE bot_detections SET visitor = NULL, sender = '' WHERE website_id = %s AND visitor = %s::uuid",
        (subject.website_id, subject.visitor),
    )
