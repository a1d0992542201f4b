"""SQL of background work: whose run it is, and what the cleaning jobs delete."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.backfills.models import DefinitionVersionRow
from analytics_app.bots import api_store as bots
from analytics_app.experiments.models import ExposureRow
from analytics_app.funnels.models import FunnelProgressRow, FunnelRow, FunnelRunRow, FunnelSetRow
from analytics_app.jobs.models import JobRunRow
from analytics_app.sessions.models import ClientIdRow, TermRow, VisitorRow
from analytics_app.stats.models import SealedColumnRow, SealedSumRow, SealRow, TrafficRollupRow
from analytics_app.stream.models import WriterRow
from analytics_app.websites.models import WebsiteRow


async def time(db: AsyncConnection) -> datetime:
    """The time by Postgres' clock."""
    found: datetime = (await db.execute(select(func.clock_timestamp()))).scalar_one()
    return found


async def claim(db: AsyncConnection, job: str, slot: str) -> bool:
    """Whether this run of `job` is ours: whoever notes the slot first. One left unfinished may be taken again."""
    mine = await db.execute(text("SELECT pg_try_advisory_xact_lock(hashtext(:job))"), {"job": f"job:{job}"})
    if not mine.scalar_one():
        return False
    noted = await db.execute(
        insert(JobRunRow)
        .values(job=job, slot=slot)
        .on_conflict_do_update(
            index_elements=[JobRunRow.job, JobRunRow.slot],
            set_={"started_at": func.now()},
            where=JobRunRow.finished_at.is_(None),
        )
        .returning(JobRunRow.job)
    )
    return noted.first() is not None


async def finish(db: AsyncConnection, job: str, slot: str, error: str | None) -> None:
    """Note that a run is over, and how; runs of more than a month ago are forgotten."""
    await db.execute(
        update(JobRunRow)
        .where(JobRunRow.job == job, JobRunRow.slot == slot)
        .values(finished_at=func.now(), error=error)
    )
    await db.execute(
        delete(JobRunRow).where(JobRunRow.job == job, JobRunRow.started_at < func.now() - text("interval '31 days'"))
    )


async def forget_client_ids(db: AsyncConnection, before: datetime, most: int) -> int:
    """Delete up to `most` clients' ids of hits from before `before`; returns how many."""
    old = select(ClientIdRow.website_id, ClientIdRow.id).where(ClientIdRow.at < before).limit(most).subquery()
    return (
        await db.execute(
            delete(ClientIdRow).where(ClientIdRow.website_id == old.c.website_id, ClientIdRow.id == old.c.id)
        )
    ).rowcount


async def forget_writers(db: AsyncConnection, before: datetime) -> int:
    """Delete the writers not heard of since `before`: nothing of theirs can arrive any more."""
    return (await db.execute(delete(WriterRow).where(WriterRow.seen_at < before))).rowcount


async def deleted_websites(db: AsyncConnection, before: datetime) -> list[int]:
    """The websites deleted before `before`: hits that were under way then have arrived by now."""
    return list(
        (
            await db.execute(select(WebsiteRow.id).where(WebsiteRow.deleted_at < before).order_by(WebsiteRow.id))
        ).scalars()
    )


async def retentions(db: AsyncConnection) -> dict[int, int | None]:
    """By website, the days its events are kept; None where the setting decides."""
    rows = await db.execute(select(WebsiteRow.id, WebsiteRow.events_retention_days))
    return {row.id: row.events_retention_days for row in rows}


async def replay_retentions(db: AsyncConnection) -> dict[int, int | None]:
    """By website, the days its recordings are kept; None where the setting decides."""
    rows = await db.execute(select(WebsiteRow.id, WebsiteRow.replays_retention_days))
    return {row.id: row.replays_retention_days for row in rows}


async def remove_rest(db: AsyncConnection, website_id: int) -> None:
    """Delete what is left of a website without sessions: rollups, visitors, terms, and the website itself."""
    rows: tuple[Any, ...] = (TrafficRollupRow, SealedSumRow, SealedColumnRow, SealRow, ExposureRow, VisitorRow, TermRow)
    rows = (*rows, ClientIdRow)
    for row in rows:
        await db.execute(delete(row).where(row.website_id == website_id))
    for table in ("live_views", "live_removals"):
        await db.execute(text(f"DELETE FROM {table} WHERE website_id = :id"), {"id": website_id})
    funnels = select(FunnelRow.id).where(FunnelRow.website_id == website_id)
    await db.execute(delete(FunnelRunRow).where(FunnelRunRow.funnel_id.in_(funnels)))
    for row in (FunnelProgressRow, FunnelRow, FunnelSetRow):
        await db.execute(delete(row).where(row.website_id == website_id))
    await bots.forget_website(db, website_id)
    await db.execute(delete(WebsiteRow).where(WebsiteRow.id == website_id))
    # At last: each definition that goes counts its version up once more.
    await db.execute(delete(DefinitionVersionRow).where(DefinitionVersionRow.website_id == website_id))


async def tidy_rollups(db: AsyncConnection, website_id: int, before: datetime) -> None:
    """Delete the rollups of buckets before `before` whose sums have come to nothing."""
    await db.execute(
        text(
            "DELETE FROM traffic_rollups WHERE website_id = :website_id AND bucket IN ("
            "SELECT bucket FROM traffic_rollups WHERE website_id = :website_id AND bucket < :before GROUP BY bucket "
            "HAVING sum(pageviews) = 0 AND sum(events) = 0 AND sum(sessions) = 0)"
        ),
        {"website_id": website_id, "before": before},
    )
