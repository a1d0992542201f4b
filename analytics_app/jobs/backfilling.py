"""The loop that computes definitions over stored history: on every worker, a step at a time, whoever comes first."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from analytics_app import clock
from analytics_app.backfills import store
from analytics_app.backfills.logic import Backfill, Step, Take
from analytics_app.db import AsyncDriver, batch_transaction, is_away
from analytics_app.definitions import DEFINITIONS
from analytics_app.funnels.backfill_store import take_step as funnels
from analytics_app.goals import backfill_store as goals

LOOK_EVERY_S = 1.0
BATCHES_END_WITHIN_S = 30.0
"""A batch is over much sooner, or Postgres ends its transaction."""

FILLERS: dict[str, Take] = {"funnels": funnels, "goals": goals.take}
"""By kind of definition, what takes one step of its backfill."""

TOGETHER = frozenset({"funnels"})
"""Kinds of which a backfill goes through everything for all of its website that were asked for before it, too."""

log = structlog.get_logger(__name__)


class Overtaken(Exception):
    """Raised to undo a step of a backfill that was asked for anew meanwhile."""


async def keep_running() -> None:
    """Take steps of what is due, again and again, until cancelled: looked for at once when a definition changes."""
    changed = asyncio.Event()
    DEFINITIONS.on_renewal(changed.set)
    while True:
        changed.clear()
        try:
            worked = await run_once()
        except Exception as error:
            worked = False
            if is_away(error):
                log.warning("backfills wait for Postgres")
            else:
                log.exception("backfills could not be run")
        if not worked:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), LOOK_EVERY_S)


async def run_once(fillers: Mapping[str, Take] = FILLERS) -> bool:
    """Take one step of every backfill that is due; returns whether any was taken. Raises where Postgres is away."""
    async with batch_transaction() as db:
        jobs = _turns([job for job in await store.due(db) if job.kind in fillers])
    if any(job.state == "waiting" for job in jobs) and not await _batches_ended():
        jobs = [job for job in jobs if job.state != "waiting"]
    return any([await _advance(job, fillers[job.kind]) for job in jobs])


def _turns(jobs: Sequence[Backfill]) -> list[Backfill]:
    """Whose turn it is: where one does the work of others, the last that was asked for, and they when it is done."""
    last = {(job.kind, job.website_id): job for job in jobs}
    return [job for job in jobs if job.kind not in TOGETHER or job is last[job.kind, job.website_id]]


async def _batches_ended() -> bool:
    """Wait until the batches under way now, which may know an older definition, have ended; whether they have."""
    until = clock.monotonic() + BATCHES_END_WITHIN_S
    before: set[str] | None = None
    while clock.monotonic() < until:
        async with batch_transaction() as db:
            now = await store.batches_under_way(db)
        before = now if before is None else before & now
        if not before:
            return True
        await asyncio.sleep(0.05)
    return False


async def _advance(job: Backfill, take: Take) -> bool:
    """Take one step of `job` in a transaction of its own; returns whether it was taken."""
    try:
        async with batch_transaction() as db:
            held = await store.taken(db, job)
            if held is None:
                return False
            step = await take(db, held)
            await _note(db, held, step)
    except Overtaken:
        return True
    except Exception as error:
        if is_away(error):
            raise
        log.exception("a step of a backfill failed", kind=job.kind, definition=job.definition_id)
        async with batch_transaction() as db:
            await store.note_failure(db, job, f"{type(error).__name__}: {error}")
        return False
    if step.cursor is None:
        log.info("a backfill is done", kind=job.kind, definition=job.definition_id, website_id=job.website_id)
    return True


async def _note(db: AsyncDriver, job: Backfill, step: Step) -> None:
    if not await store.note(db, job, step):
        raise Overtaken
