"""The questions and orders of email reports and their sends."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.reports.models import ReportRow, SendRow
from analytics_app.stats.periods import Period
from analytics_app.websites.models import WebsiteRow

_REPORT = ReportRow.__table__
_WEBSITE = (
    WebsiteRow.name.label("website_name"),
    WebsiteRow.host.label("website_host"),
    WebsiteRow.timezone.label("website_timezone"),
)


async def reports_of(db: AsyncConnection, website_id: int, *, after: int, limit: int) -> list[Row[Any]]:
    """The website's reports with ids beyond `after`, by id."""
    query = select(_REPORT).where(ReportRow.website_id == website_id, ReportRow.id > after)
    return list(await db.execute(query.order_by(ReportRow.id).limit(limit)))


async def report_of(db: AsyncConnection, website_id: int, report_id: int) -> Row[Any] | None:
    """The website's report of that id; None where it has none."""
    query = select(_REPORT).where(ReportRow.website_id == website_id, ReportRow.id == report_id)
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def report_with_website(db: AsyncConnection, website_id: int, report_id: int) -> Row[Any] | None:
    """The same, with the website's name, host and time zone."""
    query = (
        select(_REPORT, *_WEBSITE)
        .join(WebsiteRow, WebsiteRow.id == ReportRow.website_id)
        .where(ReportRow.website_id == website_id, ReportRow.id == report_id)
    )
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def add_report(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Make a report."""
    query = insert(ReportRow).values(website_id=website_id, **values).returning(_REPORT)
    made: Row[Any] = (await db.execute(query)).one()
    return made


async def change_report(
    db: AsyncConnection, website_id: int, report_id: int, values: Mapping[str, Any]
) -> Row[Any] | None:
    """Change the named fields; None where there is no such report.

    What fell due while it was disabled, or before its frequency changed, is not sent afterwards.
    """
    begins = values.get("is_enabled", False) or "frequency" in values
    query = (
        update(ReportRow)
        .where(ReportRow.website_id == website_id, ReportRow.id == report_id)
        .values(**values, updated_at=func.now(), **({"active_since": func.now()} if begins else {}))
        .returning(_REPORT)
    )
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def delete_report(db: AsyncConnection, website_id: int, report_id: int) -> bool:
    """Delete a report with its sends; returns whether there was such a report."""
    query = delete(ReportRow).where(ReportRow.website_id == website_id, ReportRow.id == report_id)
    return (await db.execute(query)).rowcount > 0


async def unsubscribe(db: AsyncConnection, report_id: int, recipient: str) -> bool:
    """Take a recipient off a report; returns whether there is such a report. One without recipients is disabled."""
    rest = func.array_remove(ReportRow.recipients, recipient)
    answer = await db.execute(
        update(ReportRow)
        .where(ReportRow.id == report_id)
        .values(
            recipients=rest,
            is_enabled=ReportRow.is_enabled & (func.cardinality(rest) > 0),
            updated_at=func.now(),
        )
    )
    return answer.rowcount > 0


# Sends.


async def enabled(db: AsyncConnection) -> list[Row[Any]]:
    """Every report that is sent by itself, with the time zone of its website."""
    query = (
        select(_REPORT, *_WEBSITE)
        .join(WebsiteRow, WebsiteRow.id == ReportRow.website_id)
        .where(ReportRow.is_enabled, WebsiteRow.deleted_at.is_(None))
        .order_by(ReportRow.id)
    )
    return list(await db.execute(query))


async def add_send(db: AsyncConnection, report_id: int, period: Period, slot: str | None) -> int | None:
    """Note a send; returns its id, None where the slot had one already: whoever comes first sends."""
    query = (
        upsert(SendRow)
        .values(report_id=report_id, slot=slot, period_start=period.start, period_end=period.end)
        .on_conflict_do_nothing(index_elements=[SendRow.report_id, SendRow.slot])
        .returning(SendRow.id)
    )
    found: int | None = (await db.execute(query)).scalar_one_or_none()
    return found


async def sends_of(db: AsyncConnection, report_id: int, *, before: int | None, limit: int) -> list[Row[Any]]:
    """The report's sends with ids below `before`, the latest first."""
    query = select(SendRow.__table__).where(SendRow.report_id == report_id)
    if before is not None:
        query = query.where(SendRow.id < before)
    return list(await db.execute(query.order_by(SendRow.id.desc()).limit(limit)))


async def send_with_report(db: AsyncConnection, send_id: int) -> Row[Any] | None:
    """A send's period, its report and its website; None where any is gone."""
    query = (
        select(SendRow.period_start, SendRow.period_end, _REPORT, *_WEBSITE)
        .join(ReportRow, ReportRow.id == SendRow.report_id)
        .join(WebsiteRow, WebsiteRow.id == ReportRow.website_id)
        .where(SendRow.id == send_id, WebsiteRow.deleted_at.is_(None))
    )
    found: Row[Any] | None = (await db.execute(query)).first()
    return found
