"""The job that has reports sent when they are due, and sends asked for by hand."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import transaction
from analytics_app.deliveries import store as deliveries
from analytics_app.reports import store
from analytics_app.reports.logic import last_period, latest_due
from analytics_app.stats.periods import Period
from analytics_app.stats.zones import zone_named


async def plan_due(now: datetime) -> None:
    """Note the sends that have fallen due. Of two processes that do so at once, one notes each."""
    async with transaction() as db:
        reports = await store.enabled(db)
    for report in reports:
        due = latest_due(report.frequency, zone_named(report.website_timezone), now)
        if due.at <= report.active_since:
            continue
        async with transaction() as db:
            await _add(db, report, due.period, due.slot)


async def send_now(db: AsyncConnection, report: Any, timezone: str, now: datetime) -> int:
    """Have `report` sent to all its recipients, of the latest period that is over; returns the send's id."""
    send_id = await _add(db, report, last_period(report.frequency, zone_named(timezone), now), None)
    assert send_id is not None, "only slots are taken"
    return send_id


async def _add(db: AsyncConnection, report: Any, period: Period, slot: str | None) -> int | None:
    send_id = await store.add_send(db, report.id, period, slot)
    if send_id is not None:
        await deliveries.add(db, [("email", recipient) for recipient in report.recipients], send_id=send_id)
    return send_id
