"""Background work: a table of jobs, and the loop that runs what is due on whichever worker comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.jobs import cleaning, sealing, store
from analytics_app.jobs.logic import slot_of

LOOK_EVERY_S = 15.0

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
    Job("deleted-websites", timedelta(minutes=5), cleaning.deleted_websites),
    Job("seals", timedelta(minutes=10), sealing.seal_past_days),
    Job("retention", timedelta(hours=6), cleaning.retention),
)


async def run_due(now: datetime) -> list[str]:
    """Run what is due at `now` and nobody has run; returns the names. Raises what the database raises."""
    ran = []
    for job in JOBS:
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


async def keep_running() -> None:
    """Run what is due, again and again, until cancelled. Where Postgres is away, it waits."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await run_due(clock.now())
        except Exception as error:
            if is_away(error):
                log.warning("jobs wait for Postgres")
            else:
                log.exception("jobs could not be run")
