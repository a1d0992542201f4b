"""Faust's Kafka transport with one change: on every assignment the consumer seeks to where Postgres says it stands.

Kafka's committed offset is only a figure. Topics whose agents keep no rows are read again from a moment ago.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, stop_after_delay, wait_exponential

from analytics_app import clock, figures
from analytics_app.db import batch_transaction
from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.lag import hits_topic
from analytics_app.stream.logic import Record, digest_of, restart_of
from analytics_app.stream.store import Position
from analytics_app.watchdog import WATCHDOG

ASK_WITHIN_S = 5.0
PEEK_WITHIN_S = 3.0

log = structlog.get_logger(__name__)


class Consumer(driver.Consumer):
    """A consumer that starts where Postgres says."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to Postgres' positions, and for live topics to a moment ago; returns where each partition starts."""
        offsets = dict(await super().seek_to_committed())
        assigned = self.assignment()
        ours: dict[TP, int] = {}
        for topic in stored_topics():
            partitions = sorted(tp.partition for tp in assigned if tp.topic == topic)
            if partitions:
                ours |= {TP(topic, p): offset for p, offset in (await self._stored(topic, partitions)).items()}
        ours |= await self._recent([tp for tp in assigned if tp.topic in live_topics()])
        WATCHDOG.owned = {tp.partition for tp in assigned if tp.topic == hits_topic()}
        if ours:
            await self.seek_wait(ours)
            offsets.update(ours)
        return offsets

    async def _stored(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """Where those partitions go on. A process that cannot find out ends: a seek that hangs would end recovery."""
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((psycopg.OperationalError, TimeoutError)),
                wait=wait_exponential(0.1, max=2),
                stop=stop_after_delay(self.app.conf.broker_request_timeout / 2),
                before_sleep=before_sleep_log(log, 30),
                reraise=True,
            ):
                with attempt:
                    async with asyncio.timeout(ASK_WITHIN_S), batch_transaction() as db:
                        known = await store.positions(db, topic, partitions)
        except (psycopg.OperationalError, TimeoutError) as error:
            log.critical("positions cannot be read: this worker ends", error=str(error))
            os._exit(1)
        return {p: await self._resume(topic, p, known.get(p)) for p in partitions}

    async def _resume(self, topic: str, partition: int, position: Position | None) -> int:
        """Where a partition goes on: at its position, unless the log no longer reaches there or is another log."""
        tp = TP(topic, partition)
        start = (await self.earliest_offsets(tp))[tp]
        end = (await self.highwaters(tp))[tp] or 0
        if position is None:
            async with batch_transaction() as db:
                await store.begin_position(db, topic, partition, start)
            return start
        before = await self._record_before(tp, position, start, end) if position.last_digest else None
        found = digest_of(before) if before else None
        restart = restart_of(position.next_offset, position.last_digest, start, end, found)
        if restart is None:
            return position.next_offset
        log.error(
            "records are gone",
            topic=topic,
            partition=partition,
            reason=restart.reason,
            position=position,
            start=start,
            end=end,
        )
        figures.GAPS.labels(topic).inc()
        async with batch_transaction() as db:
            await store.note_loss(
                db, topic, partition, position.next_offset, restart.offset, restart.reason, resume_at=restart.offset
            )
        return restart.offset

    async def _record_before(self, tp: TP, position: Position, start: int, end: int) -> Record | None:
        """The record before the position as the log has it now; None where it has none, or does not say in time."""
        offset = position.next_offset - 1
        if not start <= offset < end:
            return None
        peek: Any = AIOKafkaConsumer(
            bootstrap_servers=resolve(settings()).kafka_bootstrap, enable_auto_commit=False, fetch_max_wait_ms=100
        )
        where = TopicPartition(tp.topic, tp.partition)
        with suppress(TimeoutError):
            async with asyncio.timeout(PEEK_WITHIN_S):
                await peek.start()
                try:
                    peek.assign([where])
                    peek.seek(where, offset)
                    found = await peek.getone(where)
                finally:
                    await peek.stop()
                return Record(found.offset, found.value or b"")
        return None

    async def _recent(self, tps: list[TP]) -> dict[TP, int]:
        """The first offsets of the live window; who was seen in it is seen again."""
        if not tps:
            return {}
        since_ms = clock.now_ms() - settings().realtime_window_s * 1000
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust has no call for offsets by time
        found = await self._thread.call_thread(
            consumer.offsets_for_times, {TopicPartition(tp.topic, tp.partition): since_ms for tp in tps}
        )
        ends = await self.highwaters(*tps)
        at = {TP(tp.topic, tp.partition): answer.offset for tp, answer in found.items() if answer is not None}
        return {tp: at.get(tp, ends[tp] or 0) for tp in tps}


class Transport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = Consumer


def stored_topics() -> tuple[str, ...]:
    """Topics whose position Postgres keeps."""
    return (hits_topic(),)


def live_topics() -> tuple[str, ...]:
    """Topics of which only the last minutes matter."""
    return (f"{settings().app_id}-activity",)
