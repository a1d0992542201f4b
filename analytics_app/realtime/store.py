"""SQL of the live views."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ARRAY, Integer, bindparam, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import instants, numbers, texts
from analytics_app.db import Time, driver_of
from analytics_app.realtime.models import LiveRemovalRow, LiveViewRow
from analytics_app.records import Active
from analytics_app.sessions.models import SessionRow, TermRow

LONGEST_SESSION = timedelta(hours=24)
FROM_THE_FUTURE = timedelta(minutes=1)
"""A view later than ours by more than that was written by a clock that was wrong: it would stay until that time."""


async def put_views(
    db: AsyncConnection, views: Mapping[int, tuple[dict[str, Any], datetime | None]], now: datetime
) -> None:
    """Write the views of websites as (view, when it changes next); one written later by another worker stays."""
    if not views:
        return
    some = sorted(views.items())
    await (await driver_of(db)).execute(
        "INSERT INTO live_views AS held (website_id, view, written_at, changes_at) "
        "SELECT website_id, view, %s, changes_at "
        "FROM unnest(%s::int[], %s::jsonb[], %s::timestamptz[]) AS n (website_id, view, changes_at) "
        "ON CONFLICT (website_id) DO UPDATE "
        "SET view = excluded.view, written_at = excluded.written_at, changes_at = excluded.changes_at "
        "WHERE held.written_at <= excluded.written_at OR held.written_at > excluded.written_at + %s",
        (
            now,
            numbers(website_id for website_id, _ in some),
            texts(orjson.dumps(view).decode() for _, (view, _) in some),
            instants(changes_at for _, (_, changes_at) in some),
            FROM_THE_FUTURE,
        ),
    )


_VIEWS = select(LiveViewRow.website_id, LiveViewRow.view, LiveViewRow.changes_at).where(
    LiveViewRow.website_id == func.any(bindparam("website_ids", type_=ARRAY(Integer)))
)


async def views_of(
    db: AsyncConnection, website_ids: Iterable[int]
) -> dict[int, tuple[dict[str, Any], datetime | None]]:
    """The views written of those websites, as (view, when it changes next); one never seen is missing."""
    rows = await db.execute(_VIEWS, {"website_ids": list(website_ids)})
    return {row.website_id: (row.view, row.changes_at) for row in rows}


def _active() -> Any:
    path, country = TermRow.__table__.alias("path"), TermRow.__table__.alias("country")
    since = bindparam("since", type_=Time)
    return (
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
            SessionRow.website_id == bindparam("website_id"),
            SessionRow.started_at >= since - LONGEST_SESSION,
            SessionRow.last_at >= since,
        )
        .order_by(SessionRow.visitor, SessionRow.last_at.desc())
    )


_ACTIVE = _active()


async def active_from_rows(db: AsyncConnection, website_id: int, since: datetime) -> list[Active]:
    """The visitors of a website with activity at or after `since`, each by its latest session; from the rows alone."""
    rows = await db.execute(_ACTIVE, {"website_id": website_id, "since": since})
    return [Active(row.visitor, round(row.last_at.timestamp() * 1000), row.path, row.country) for row in rows]


async def removals_since(db: AsyncConnection, since: datetime) -> list[tuple[int, int, int]]:
    """Who was taken out of which website at or after `since`, as (website, visitor, when in milliseconds)."""
    rows = await db.execute(
        select(LiveRemovalRow.website_id, LiveRemovalRow.visitor, LiveRemovalRow.removed_at).where(
            LiveRemovalRow.removed_at >= since
        )
    )
    return [(row.website_id, row.visitor, round(row.removed_at.timestamp() * 1000)) for row in rows]
