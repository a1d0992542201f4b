"""Faust's Kafka transport with one change: on every assignment the consumer seeks to where Postgres says it stands.

Kafka's committed offset is only a figure. Topics whose agents keep no rows are read again from a moment ago.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import psycopg
import structlog
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from analytics_app import clock, figures
from analytics_app.db import batch_transaction
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.log import Log, kafka_log
from analytics_app.stream.logic import Restart, digest_of, restart_of
from analytics_app.stream.plans import plans, stored_topics
from analytics_app.stream.store import Position
from analytics_app.watchdog import WATCHDOG

ASK_WITHIN_S = 5.0
FETCHED_BYTES = 128 * 1024
FETCHED_WITHIN_MS = 50
"""Kafka answers a fetch with so many bytes at once, or with what there is by then."""

COMES_WITHIN_S = 2.0
"""After a seek what was fetched before may come first, but not for so long."""

AWAY = (psycopg.OperationalError, KafkaError, TimeoutError)

log = structlog.get_logger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, with two changes.

    It asks Kafka less often: what comes is stored in batches of a tenth of a second anyway. And a call that a seek
    overtook brings nothing. Faust seeks while it fetches, once its tables are recovered: such a call takes the first
    records from where the seek went, and they reach the main thread before it knows of the seek, or nobody, where the
    call was given up. Then they never come again. So they are put back, for the next call.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeks = 0
        self._seeking = 0

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self._seeks += 1
        self._seeking += 1
        try:
            await super()._seek_wait(consumer, partitions)
        finally:
            self._seeking -= 1

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        seeks = self._seeks
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        if seeks == self._seeks and not self._seeking:
            return records
        for tp, some in records.items():
            with suppress(IllegalStateError):  # it is another worker's by now
                consumer.seek(tp, some[0].offset)
        return {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes neither: it is answered for every single record (a quarter of all CPU under load), and a quiet
        # topic holds up whatever else is asked of the consumer for 1.5 s.
        consumer._fetch_min_bytes = FETCHED_BYTES  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCHED_WITHIN_MS  # noqa: SLF001
        return consumer


class Consumer(driver.Consumer):
    """A consumer that starts where Postgres says, and hands on every record from there in order.

    Faust alone does not: while a seek is under way it goes on to hand over what was fetched before, and when that is
    through, it notes its offset as read and drops what the seek brings again. A worker that waits for Postgres during a
    rebalance met a gap that way each time. So which record is due next is kept here, by partition: set by a seek,
    forgotten in a rebalance, and only that record passes.

    A record from before the one that is due, once those that are due have come, means that the log began anew: the
    topic was deleted and made again. Records from behind it that come and come mean that it was passed over, and would
    never be handed on. In both cases the process ends; the next one looks at where it stands.
    """

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[TP, int] = {}
        self._flowing: set[TP] = set()
        self._missed: dict[TP, tuple[int, float]] = {}
        self._seeks = 0
        self._one_seek = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand on nothing of ours until the next seek: what waits for the agents is being thrown away."""
        WATCHDOG.sought = set()
        self._due.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """The same: a seek follows."""
        self._due.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """Records as they come; of our topics each once and in order from where the last seek went."""
        ours = {*stored_topics(), *live_topics()}
        seeks = self._seeks  # what this call hands on after a seek may be from before it
        async for tp, message in super().getmany(timeout):
            if tp.topic in ours:
                due = self._due.get(tp)
                is_of_last_seek = seeks == self._seeks and not self._one_seek.locked()
                if message.offset != due:
                    if due is not None and message.offset < due and tp in self._flowing:
                        self._end("the log began anew", tp, due, message.offset)
                    elif due is not None and message.offset > due and is_of_last_seek:
                        self._miss(tp, due, message.offset)
                    continue
                self._due[tp] = message.offset + 1
                if is_of_last_seek:
                    self._flowing.add(tp)
                self._read_offset[tp] = None  # whether it was read before is decided here
            yield tp, message

    def _miss(self, tp: TP, due: int, got: int) -> None:
        """Note that a record came and not the one that is due; one that has not come for a while does not come."""
        missed, since = self._missed.get(tp, (None, 0.0))
        if missed != due:
            self._missed[tp] = due, clock.monotonic()
        elif clock.monotonic() - since > COMES_WITHIN_S:
            self._end("a record was passed over", tp, due, got)

    def _end(self, why: str, tp: TP, due: int, got: int) -> None:
        log.critical("this worker ends", why=why, topic=tp.topic, partition=tp.partition, due=due, got=got)
        os._exit(1)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to Postgres' positions, and for live topics to a moment ago; returns where each partition starts.

        It is tried again for a while where Postgres or Kafka does not answer. A process that cannot find out in time
        ends: a seek that hangs or raises would end Faust's recovery for good.
        """
        async with self._one_seek:
            self._flowing.clear()  # Faust seeks to Kafka's offsets first, and what lies there may be handed on
            try:
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type(AWAY),
                    wait=wait_exponential(0.1, max=2),
                    stop=stop_after_delay(self.app.conf.broker_request_timeout / 2),
                    reraise=True,
                ):
                    with attempt:
                        return await self._seek_all(dict(await super().seek_to_committed()))
            except AWAY as error:
                log.critical("positions cannot be read: this worker ends", error=repr(error))
                os._exit(1)
        raise AssertionError("tried or raised")

    async def _seek_all(self, offsets: dict[TP, int]) -> dict[TP, int]:
        """Seek where ours are to start; `offsets` is what Kafka says of all."""
        assigned = self.assignment()
        WATCHDOG.owned = {(tp.topic, tp.partition) for tp in assigned if tp.topic in stored_topics()}
        async with asyncio.timeout(ASK_WITHIN_S):
            ours = await self._ours(assigned)
        if ours:
            await self.seek_wait(ours)
        WATCHDOG.sought = set(WATCHDOG.owned)
        self._due = ours
        self._flowing.clear()
        self._missed.clear()
        self._seeks += 1
        return offsets | ours

    async def _ours(self, assigned: Collection[TP]) -> dict[TP, int]:
        """Where the assigned partitions of our topics start."""
        ours: dict[TP, int] = {}
        async with kafka_log() as log_:
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


@cache
def live_topics() -> tuple[str, ...]:
    """Topics of which only the last minutes matter."""
    return tuple(plan.name for plan in plans(settings()) if plan.live)
