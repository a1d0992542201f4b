"""The questions and orders of alerts and their firings."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.alerts.models import AlertRow, FiringRow
from analytics_app.goals.models import ConversionRow, GoalRow
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.models import EventRow
from analytics_app.websites.models import WebsiteRow

_ALERT = AlertRow.__table__


async def alerts_of(db: AsyncConnection, website_id: int, *, after: int, limit: int) -> list[Row[Any]]:
    """The website's alerts with ids beyond `after`, by id."""
    query = select(_ALERT).where(AlertRow.website_id == website_id, AlertRow.id > after)
    return list(await db.execute(query.order_by(AlertRow.id).limit(limit)))


async def alert_of(db: AsyncConnection, website_id: int, alert_id: int) -> Row[Any] | None:
    """The website's alert of that id; None where it has none."""
    query = select(_ALERT).where(AlertRow.website_id == website_id, AlertRow.id == alert_id)
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def add_alert(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Make an alert."""
    made: Row[Any] = (
        await db.execute(insert(AlertRow).values(website_id=website_id, **values).returning(_ALERT))
    ).one()
    return made


async def change_alert(
    db: AsyncConnection, website_id: int, alert_id: int, values: Mapping[str, Any]
) -> Row[Any] | None:
    """Change the named fields; None where there is no such alert. It begins anew, as one that does not fire."""
    query = (
        update(AlertRow)
        .where(AlertRow.website_id == website_id, AlertRow.id == alert_id)
        .values(**values, firing_since=None, updated_at=func.now())
        .returning(_ALERT)
    )
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def delete_alert(db: AsyncConnection, website_id: int, alert_id: int) -> bool:
    """Delete an alert with its firings; returns whether there was such an alert."""
    query = delete(AlertRow).where(AlertRow.website_id == website_id, AlertRow.id == alert_id)
    return (await db.execute(query)).rowcount > 0


async def enabled(db: AsyncConnection) -> list[Row[Any]]:
    """Every alert that watches, with when its website was made."""
    query = (
        select(_ALERT, WebsiteRow.created_at.label("website_created_at"))
        .join(WebsiteRow, WebsiteRow.id == AlertRow.website_id)
        .where(AlertRow.is_enabled, WebsiteRow.deleted_at.is_(None))
        .order_by(AlertRow.id)
    )
    return list(await db.execute(query))


async def first_event_at(db: AsyncConnection, website_id: int) -> datetime | None:
    """When the website's first event happened; None where there is none."""
    query = select(EventRow.at).where(EventRow.website_id == website_id).order_by(EventRow.at).limit(1)
    found: datetime | None = (await db.execute(query)).scalar_one_or_none()
    return found


async def counts(
    db: AsyncConnection, website_id: int, metric: str, windows: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """Pageviews, or different visitors, in each window."""
    what = func.count(EventRow.visitor.distinct()) if metric == "visitors" else func.count()
    found = []
    for start, end in windows:
        query = select(what).where(EventRow.website_id == website_id, EventRow.at >= start, EventRow.at < end)
        if metric == "pageviews":
            query = query.where(EventRow.kind == int(EventKind.PAGEVIEW))
        found.append(int((await db.execute(query)).scalar_one()))
    return found


async def conversions(
    db: AsyncConnection, website_id: int, goal_id: int | None, windows: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """Conversions of the goal (None: of all goals together), as it is now, in each window."""
    query = (
        select(func.count())
        .select_from(ConversionRow)
        .join(GoalRow, and_(GoalRow.id == ConversionRow.goal_id, GoalRow.revision == ConversionRow.revision))
        .where(GoalRow.website_id == website_id)
    )
    if goal_id is not None:
        query = query.where(GoalRow.id == goal_id)
    return [
        int((await db.execute(query.where(ConversionRow.at >= start, ConversionRow.at < end))).scalar_one())
        for start, end in windows
    ]


# Firings.


async def fire(
    db: AsyncConnection, alert_id: int, now: datetime, before: datetime, value: int, usual: float
) -> int | None:
    """Note that an alert fires; returns the firing's id.

    None where it fires already, or last did after `before`: whoever comes first tells.
    """
    mine = await db.execute(
        update(AlertRow)
        .where(
            AlertRow.id == alert_id,
            AlertRow.firing_since.is_(None),
            func.coalesce(AlertRow.last_fired_at, before) <= before,
        )
        .values(firing_since=now, last_fired_at=now)
    )
    if not mine.rowcount:
        return None
    return await add_firing(db, alert_id, now, value, usual)


async def add_firing(
    db: AsyncConnection, alert_id: int, now: datetime, value: int, usual: float, *, is_test: bool = False
) -> int:
    """Note a firing; returns its id."""
    query = (
        insert(FiringRow)
        .values(alert_id=alert_id, at=now, value=value, usual=usual, is_test=is_test)
        .returning(FiringRow.id)
    )
    return int((await db.execute(query)).scalar_one())


async def resolve(db: AsyncConnection, alert_id: int, now: datetime) -> None:
    """Note that all is well again, where the alert was firing."""
    was = await db.execute(
        update(AlertRow).where(AlertRow.id == alert_id, AlertRow.firing_since.is_not(None)).values(firing_since=None)
    )
    if was.rowcount:
        await db.execute(
            update(FiringRow)
            .where(FiringRow.alert_id == alert_id, FiringRow.resolved_at.is_(None), ~FiringRow.is_test)
            .values(resolved_at=now)
        )


async def firings_of(db: AsyncConnection, alert_id: int, *, before: int | None, limit: int) -> list[Row[Any]]:
    """The alert's firings with ids below `before`, the latest first."""
    query = select(FiringRow.__table__).where(FiringRow.alert_id == alert_id)
    if before is not None:
        query = query.where(FiringRow.id < before)
    return list(await db.execute(query.order_by(FiringRow.id.desc()).limit(limit)))


async def firing_with_alert(db: AsyncConnection, firing_id: int) -> Row[Any] | None:
    """A firing, its alert and its website; None where any is gone."""
    query = (
        select(
            FiringRow.at.label("fired_at"),
            FiringRow.value,
            FiringRow.usual,
            FiringRow.is_test,
            _ALERT,
            WebsiteRow.name.label("website_name"),
            WebsiteRow.host.label("website_host"),
        )
        .join(AlertRow, AlertRow.id == FiringRow.alert_id)
        .join(WebsiteRow, WebsiteRow.id == AlertRow.website_id)
        .where(FiringRow.id == firing_id, WebsiteRow.deleted_at.is_(None))
    )
    found: Row[Any] | None = (await db.execute(query)).first()
    return found
