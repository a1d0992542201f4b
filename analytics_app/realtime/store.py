"""SQL of the live views."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.realtime.models import LiveViewRow
from analytics_app.records import Active
from analytics_app.sessions.models import SessionRow, TermRow

LONGEST_SESSION = timedelta(hours=24)


async def put_views(
    db: AsyncConnection, views: Mapping[int, tuple[dict[str, Any], datetime | None]], now: datetime
) -> None:
    """Write the views of websites as (view, when it changes next); one written later by another worker stays."""
    if not views:
        return
    new = insert(LiveViewRow).values(
        [
            {"website_id": website_id, "view": view, "written_at": now, "changes_at": changes_at}
            for website_id, (view, changes_at) in sorted(views.items())
        ]
    )
    excluded = new.excluded
    await db.execute(
        new.on_conflict_do_update(
            index_elements=[LiveViewRow.website_id],
            set_={"view": excluded.view, "written_at": excluded.written_at, "changes_at": excluded.changes_at},
            where=LiveViewRow.written_at <= excluded.written_at,
        )
    )


async def views_of(
    db: AsyncConnection, website_ids: Iterable[int]
) -> dict[int, tuple[dict[str, Any], datetime | None]]:
    """The views written of those websites, as (view, when it changes next); one never seen is missing."""
    rows = await db.execute(
        select(LiveViewRow.website_id, LiveViewRow.view, LiveViewRow.changes_at).where(
            LiveViewRow.website_id.in_(list(website_ids))
        )
    )
    return {row.website_id: (row.view, row.changes_at) for row in rows}


async def active_from_rows(db: AsyncConnection, website_id: int, since: datetime) -> list[Active]:
    """The visitors of a website with activity at or after `since`, each by its latest session; from the rows alone."""
    path, country = TermRow.__table__.alias("path"), TermRow.__table__.alias("country")
    rows = await db.execute(
        select(
            SessionRow.visitor,
            SessionRow.last_at,
            func.coalesce(path.c.text, "").label("path"),
            func.coalesce(country.c.text, "").label("country"),
        )
        .ext(distinct_on(SessionRow.visitor))
        .outerjoin(path, path.c.id == SessionRow.exit_path)
        .outerjoin(country, country.c.id == SessionRow.country)
        .where(
            SessionRow.website_id == website_id,
            SessionRow.started_at >= since - LONGEST_SESSION,
            SessionRow.last_at >= since,
        )
        .order_by(SessionRow.visitor, SessionRow.last_at.desc())
    )
    return [Active(row.visitor, round(row.last_at.timestamp() * 1000), row.path, row.country) for row in rows]
