"""Background work: a table of jobs, and the loop that runs what is due on whichever worker comes first."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.jobs import alerts, cleaning, erasures, heatmaps, reports, retention, sealing, store
from analytics_app.jobs.logic import slot_of

LOOK_EVERY_S = 15.0
CLOCKS_AGREE_WITHIN = timedelta(minutes=5)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Work that is done once in every stretch of `every`, however many workers there are. May be begun twice."""

    name: str
    every: timedelta
    run: Callable[[datetime], Awaitable[None]]


JOBS = (
    Job("partitions", timedelta(hours=6), cleaning.partitions_ahead),
    Job("salts", timedelta(hours=1), cleaning.old_salts),
    Job("ids", timedelta(hours=1), cleaning.old_ids),
    Job("removals", timedelta(hours=1), cleaning.old_removals),
    Job("detections", timedelta(hours=1), cleaning.old_detections),
    Job("deleted-websites", timedelta(minutes=5), cleaning.deleted_websites),
    Job("seals", timedelta(minutes=10), sealing.seal_past_days),
    Job("retention", timedelta(hours=6), retention.retention),
    Job("texts", timedelta(days=1), erasures.old_texts),
    Job("replays", timedelta(hours=6), cleaning.old_replays),
    Job("heatmaps", timedelta(hours=1), heatmaps.tidy),
)
PROMPT_JOBS = (
    Job("email-reports", timedelta(minutes=1), reports.plan_due),
    Job("alerts", timedelta(minutes=1), alerts.check_all),
    Job("erasures", timedelta(minutes=1), erasures.finish_erasures),
)
"""Jobs that wait for none of the others."""


async def agreed_time() -> datetime | None:
    """The time, where this machine's clock and Postgres' agree on it; None where one of them is wrong.

    Jobs delete what is old. A clock that was set days ahead would delete what is in use. Raises what the database
    raises.
    """
    async with transaction() as db:
        theirs = await store.time(db)
    ours = clock.now()
    if abs(ours - theirs) > CLOCKS_AGREE_WITHIN:
        log.error("no job is run: the clocks of this machine and of Postgres differ", ours=ours, theirs=theirs)
        return None
    return min(ours, theirs)


async def run_due(now: datetime, jobs: Sequence[Job] = JOBS) -> list[str]:
    """Run what of `jobs` is due at `now` and nobody has run; returns the names. Raises what the database raises."""
    ran = []
    for job in jobs:
        slot = slot_of(now, job.every)
        async with transaction() as db:
            if not await store.claim(db, job.name, slot):
                continue
        error = None
        try:
            await job.run(now)
        except Exception as raised:
            if is_away(raised):
                raise
            log.exception("a job failed", job=job.name, slot=slot)
            error = f"{type(raised).__name__}: {raised}"[:1000]
        async with transaction() as db:
            await store.finish(db, job.name, slot, error)
        ran.append(job.name)
    return ran


async def keep_running(jobs: Sequence[Job]) -> None:
    """Run what is due of `jobs`, again and again, until cancelled. Where Postgres is away, it waits."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            if now := await agreed_time():
                await run_due(now, jobs)
        except Exception as error:
            if is_away(error):
                log.warning("jobs wait for Postgres")
            else:
                log.exception("jobs could not be run")
