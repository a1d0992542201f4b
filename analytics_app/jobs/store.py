"""SQL of background work: whose run it is, and what the cleaning jobs delete."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.jobs.models import JobRunRow
from analytics_app.sessions.models import ClientIdRow, TermRow, VisitorRow
from analytics_app.stats.models import SealedSumRow, SealRow, TrafficRollupRow
from analytics_app.stream.models import WriterRow
from analytics_app.websites.models import WebsiteRow


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


async def remove_sessions(
    db: AsyncConnection, website_id: int, before: datetime | None, most: int
) -> tuple[int, list[int]]:
    """Delete up to `most` sessions of a website that ended before `before` (None: any), and their events.

    Rollups lose what they counted of them, in rows of partition -1, so that a recount stays equal. Returns how many,
    and the days (numbered since 1970) they were under way on, whose seals must be taken off in this transaction.
    """
    answer = await db.execute(text(_REMOVE_SESSIONS), {"website_id": website_id, "before": before, "most": most})
    removed, days = answer.one()
    return int(removed), days


async def remove_rest(db: AsyncConnection, website_id: int) -> None:
    """Delete what is left of a website without sessions: rollups, visitors, terms, and the website itself."""
    rows: tuple[Any, ...] = (TrafficRollupRow, SealedSumRow, SealRow, VisitorRow, TermRow, ClientIdRow)
    for row in rows:
        await db.execute(delete(row).where(row.website_id == website_id))
    await db.execute(text("DELETE FROM live_views WHERE website_id = :id"), {"id": website_id})
    await db.execute(delete(WebsiteRow).where(WebsiteRow.id == website_id))


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


_QUARTER = "date_bin('15 minutes', {}, 'epoch')"

_REMOVE_SESSIONS = f"""
WITH gone AS (
    DELETE FROM sessions WHERE (id, started_at) IN (
        SELECT id, started_at FROM sessions
        WHERE website_id = :website_id AND (CAST(:before AS timestamptz) IS NULL OR last_at < :before)
        LIMIT :most)
    RETURNING id, started_at, last_at, is_bounce, duration_s, pageviews
), lost AS (
    DELETE FROM events WHERE session_id IN (SELECT id FROM gone) RETURNING at, kind
), sums AS (
    SELECT {_QUARTER.format("started_at")} AS bucket, 0 AS pageviews, 0 AS events, 1 AS sessions,
           is_bounce::int AS bounces, duration_s, pageviews AS session_pageviews FROM gone
    UNION ALL
    SELECT {_QUARTER.format("at")}, (kind = 1)::int, (kind <> 1)::int, 0, 0, 0, 0 FROM lost
), subtracted AS (
    INSERT INTO traffic_rollups AS r
        (website_id, bucket, partition, pageviews, events, sessions, bounces, duration_s, session_pageviews)
    SELECT :website_id, bucket, -1, -sum(pageviews), -sum(events), -sum(sessions), -sum(bounces), -sum(duration_s),
           -sum(session_pageviews)
    FROM sums GROUP BY bucket ORDER BY bucket
    ON CONFLICT (website_id, bucket, partition) DO UPDATE SET
        pageviews = r.pageviews + excluded.pageviews, events = r.events + excluded.events,
        sessions = r.sessions + excluded.sessions, bounces = r.bounces + excluded.bounces,
        duration_s = r.duration_s + excluded.duration_s,
        session_pageviews = r.session_pageviews + excluded.session_pageviews
)
SELECT count(*), ARRAY(SELECT DISTINCT day FROM gone, generate_series(
    floor(extract(epoch FROM started_at) / 86400)::int, floor(extract(epoch FROM last_at) / 86400)::int) AS day)
FROM gone
"""
