"""Faust's Kafka transport with one change: on every assignment the consumer seeks to where Postgres says it stands.

Kafka's committed offset is only a figure. Topics whose agents keep no rows are read again from a moment ago.
"""

import asyncio
import os
from collections.abc import Collection, Mapping

import psycopg
import structlog
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from analytics_app import clock, figures
from analytics_app.db import batch_transaction
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.lag import hits_topic
from analytics_app.stream.log import Log, kafka_log
from analytics_app.stream.logic import Restart, digest_of, restart_of
from analytics_app.stream.store import Position
from analytics_app.watchdog import WATCHDOG

ASK_WITHIN_S = 5.0

log = structlog.get_logger(__name__)


class Consumer(driver.Consumer):
    """A consumer that starts where Postgres says."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to Postgres' positions, and for live topics to a moment ago; returns where each partition starts.

        A process that cannot find out in time ends: a seek that hangs or raises would end Faust's recovery for good.
        """
        offsets = dict(await super().seek_to_committed())
        assigned = self.assignment()
        WATCHDOG.owned = {tp.partition for tp in assigned if tp.topic == hits_topic()}
        try:
            ours = await self._ours(assigned)
        except (psycopg.OperationalError, KafkaError, TimeoutError) as error:
            log.critical("positions cannot be read: this worker ends", error=repr(error))
            os._exit(1)
        if ours:
            await self.seek_wait(ours)
            offsets.update(ours)
        return offsets

    async def _ours(self, assigned: Collection[TP]) -> dict[TP, int]:
        """Where the assigned partitions of our topics start, asked again for a while where that fails."""
        ours: dict[TP, int] = {}
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((psycopg.OperationalError, KafkaError, TimeoutError)),
            wait=wait_exponential(0.1, max=2),
            stop=stop_after_delay(self.app.conf.broker_request_timeout / 2),
            reraise=True,
        ):
            with attempt:
                async with asyncio.timeout(ASK_WITHIN_S), kafka_log() as log_:
                    for topic in stored_topics():
                        if partitions := _of(topic, assigned):
                            ours |= await self._stored(log_, topic, partitions)
                    for topic in live_topics():
                        if partitions := _of(topic, assigned):
                            since_ms = clock.now_ms() - settings().realtime_window_s * 1000
                            recent = await log_.since(topic, partitions, since_ms)
                            ours |= {TP(topic, partition): offset for partition, offset in recent.items()}
        return ours

    async def _stored(self, log_: Log, topic: str, partitions: list[int]) -> dict[TP, int]:
        """Where those partitions go on. Raises what Postgres and Kafka raise."""
        async with batch_transaction() as db:
            known = await store.positions(db, topic, partitions)
        starts, ends = await log_.starts(topic, partitions), await log_.ends(topic, partitions)
        before = {
            partition: position.next_offset - 1
            for partition, position in known.items()
            if position.last_digest and starts[partition] < position.next_offset <= ends[partition]
        }
        found = await log_.records(topic, before)
        resumed = {}
        for partition in partitions:
            position, record = known.get(partition), found.get(partition)
            if position is None:
                async with batch_transaction() as db:
                    await store.begin_position(db, topic, partition, starts[partition])
                resumed[TP(topic, partition)] = starts[partition]
                continue
            digest = digest_of(record) if record else None
            restart = restart_of(position.next_offset, position.last_digest, starts[partition], ends[partition], digest)
            if restart is not None:
                await _note_loss(topic, partition, position, restart)
            resumed[TP(topic, partition)] = restart.offset if restart else position.next_offset
        return resumed


async def _note_loss(topic: str, partition: int, position: Position, restart: Restart) -> None:
    """Record and alarm that records are gone; the position moves to where the log goes on."""
    log.error(
        "records are gone",
        topic=topic,
        partition=partition,
        reason=restart.reason,
        position=position.next_offset,
        goes_on_at=restart.offset,
    )
    figures.GAPS.labels(topic).inc()
    async with batch_transaction() as db:
        await store.note_loss(
            db, topic, partition, position.next_offset, restart.offset, restart.reason, resume_at=restart.offset
        )


class Transport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = Consumer


def _of(topic: str, assigned: Collection[TP]) -> list[int]:
    return sorted(tp.partition for tp in assigned if tp.topic == topic)


def stored_topics() -> tuple[str, ...]:
    """Topics whose position Postgres keeps."""
    return (hits_topic(),)


def live_topics() -> tuple[str, ...]:
    """Topics of which only the last minutes matter."""
    return (f"{settings().app_id}-activity",)
