"""Figures of the whole service, whichever process is asked: what all edges and workers counted, and how far behind."""

import asyncio
from contextlib import suppress

import structlog
from aiokafka.errors import KafkaError

from analytics_app import figures
from analytics_app.db import batch_transaction, is_away, transaction
from analytics_app.stream import outcomes_store, store
from analytics_app.stream.lag import hits_topic, standings
from web.metrics import on_scrape

WRITTEN_EVERY_S = 1.0
EDGE_TOPIC = "edge"
"""Under this name the outcomes of all web processes stand beside those of the topics."""

FAMILIES = {EDGE_TOPIC: figures.ALL_EDGES, hits_topic(): figures.STREAM}

log = structlog.get_logger(__name__)


@on_scrape
async def read_outcomes() -> None:
    """What edges and workers counted, what failed, and what was lost."""
    async with transaction() as db:
        for row in await outcomes_store.outcomes(db):
            if row.topic in FAMILIES:
                FAMILIES[row.topic].labels(row.outcome).set(row.hits)
        figures.FAILED_WAITING.set(await outcomes_store.failures_waiting(db))
        figures.LOSSES.set(await outcomes_store.losses(db))


@on_scrape
async def read_lag() -> None:
    """How many records of each partition wait to be stored."""
    with suppress(KafkaError, TimeoutError):
        for partition, standing in (await standings()).items():
            figures.LAG.labels(hits_topic(), str(partition)).set(standing.behind)


async def write_counts() -> None:
    """Add what this edge counted to what all of them did. Where Postgres is away it waits for the next time."""
    counted = figures.take_unwritten()
    if not counted:
        return
    try:
        async with batch_transaction() as db:
            await store.add_outcomes(db, EDGE_TOPIC, 0, counted)
    except Exception as error:
        for outcome, hits in counted.items():
            figures.give_back(outcome, hits)
        if not is_away(error):
            raise


async def keep_writing() -> None:
    """Write the counts every second, until cancelled, and once more then."""
    try:
        while True:
            await asyncio.sleep(WRITTEN_EVERY_S)
            try:
                await write_counts()
            except Exception:
                log.exception("the edge's counts could not be written")
    finally:
        with suppress(Exception):
            await write_counts()
