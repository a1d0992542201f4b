"""Group commit: hits that arrive within a few milliseconds go to Kafka as one record, and are answered together.

The records of all partitions go together, in one request to the broker that leads them, and the next ones when these
are back: so they are as large as a round trip lets them become. Of each partition one record is under way at a time.
The next goes only when the one before is acknowledged, or given up for good by the producer; a hit that waits longer
than `ANALYTICS_ACKNOWLEDGE_WITHIN_S` is answered 503 and, if it has not been sent, never will be.
"""

import asyncio
import os
import secrets
import time
from collections import deque
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service

from analytics_app import figures
from analytics_app.embedded.endpoints import resolve
from analytics_app.errors import Unavailable
from analytics_app.records import gather
from analytics_app.settings import settings

RECORD_BYTES = 256 * 1024
GATHER_S = 0.001
TOGETHER_S = 0.05
"""How long partitions whose record is acknowledged wait for the others, a broker of which may be slow or away."""
PRODUCER_TIMEOUT_MS = 15_000
"""After this the producer gives a record up; it may still have reached Kafka."""

NOT_KNOWN = "Kafka did not confirm the hit in time: it is not known to be stored. Send it again with the same id"

log = structlog.get_logger(__name__)


class Lot:
    """Hits that will go as one record, and who waits for it: a future each, so that none can cancel another's."""

    __slots__ = ("bytes", "expiry", "hits", "is_over", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, within_s: float) -> None:
        self.hits: list[bytes] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.bytes = 0
        self.is_over = False
        self.expiry = loop.call_later(within_s, self.fail)

    def add(self, hit: bytes, waiter: asyncio.Future[None]) -> None:
        """Put one more hit in."""
        self.hits.append(hit)
        self.waiters.append(waiter)
        self.bytes += len(hit)

    def succeed(self) -> None:
        """Kafka has it."""
        self._end(None)

    def fail(self) -> None:
        """It is not known whether Kafka has it, or known that it has not."""
        self._end(Unavailable)

    def _end(self, error: type[Unavailable] | None) -> None:
        self.expiry.cancel()
        if self.is_over:
            return
        self.is_over = True
        for waiter in self.waiters:
            if waiter.done():  # whoever waited is gone
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error(NOT_KNOWN))
                waiter.exception()  # the client may have gone: nobody is left to hear of it
        self.waiters.clear()


class Edge(Service):
    """The edge's producer."""

    def __init__(self, topic: str, most_bytes: int = 2 * 1024 * 1024, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topic = topic
        self.most_bytes = most_bytes  # of a record
        self.writer = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.partitions = settings().partitions
        self.sequences = [0] * self.partitions
        self.waiting: list[deque[Lot]] = [deque() for _ in range(self.partitions)]
        self.sending: dict[int, asyncio.Task[None]] = {}
        self.flushing: asyncio.Task[None] | None = None
        self.producer: AIOKafkaProducer | None = None
        self.closing = False
        self.acknowledged_at: float | None = None
        self.failed_at: float | None = None

    async def on_start(self) -> None:
        """Connect. Raises where Kafka is away: the process ends and is started again."""
        self.producer = AIOKafkaProducer(
            bootstrap_servers=resolve(settings()).kafka_bootstrap,
            acks="all",
            linger_ms=0,
            max_batch_size=1024 * 1024,
            max_request_size=self.most_bytes,
            request_timeout_ms=PRODUCER_TIMEOUT_MS,
            retry_backoff_ms=50,
            metadata_max_age_ms=30_000,
        )
        await self.producer.start()

    async def on_stop(self) -> None:
        """Send what waits, as long as Kafka takes it in time; then close."""
        self.closing = True
        running = {*self.sending.values(), *([self.flushing] if self.flushing else [])}
        if running:
            await asyncio.wait(running, timeout=settings().acknowledge_within_s + 1)
        if self.producer is not None:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self.producer.stop(), 5)

    def partition_of(self, session_key: str) -> int:
        """The partition that a session's hits go to."""
        return int(session_key[:8], 16) % self.partitions

    def is_connected(self) -> bool:
        """Whether the last record that was sent arrived."""
        return self.failed_at is None or (self.acknowledged_at or 0) >= self.failed_at

    async def add(self, session_key: str, hit: bytes) -> None:
        """Give `hit` to Kafka; returns once it is acknowledged. Raises `Unavailable` where that takes too long."""
        await self.put(session_key, hit)

    def put(self, session_key: str, hit: bytes) -> asyncio.Future[None]:
        """Give `hit` to Kafka: a future that is done once it is acknowledged.

        It raises `Unavailable` where that takes too long, and so does this where the edge is closing.
        """
        if self.producer is None or self.closing:
            raise Unavailable(NOT_KNOWN)
        partition = self.partition_of(session_key)
        lots = self.waiting[partition]
        loop = asyncio.get_running_loop()
        # One that is over may still wait for its turn: nobody would answer a hit that joins it.
        if not lots or lots[-1].is_over or lots[-1].bytes + len(hit) > RECORD_BYTES:
            lots.append(Lot(loop, settings().acknowledge_within_s))
        waiter: asyncio.Future[None] = loop.create_future()
        lots[-1].add(hit, waiter)
        if self.flushing is None:
            self.flushing = asyncio.create_task(self._flush())
        return waiter

    async def _flush(self) -> None:
        """Send lots, those of all partitions together, until none waits."""
        try:
            await asyncio.sleep(GATHER_S)
            while any(self.waiting):
                for partition, lots in enumerate(self.waiting):
                    while lots and partition not in self.sending:
                        lot = lots.popleft()
                        if not lot.is_over:  # what was answered 503 already is never sent
                            self.sending[partition] = asyncio.create_task(self._send(partition, lot))
                if self.sending:
                    await asyncio.wait(self.sending.values(), timeout=TOGETHER_S)
        finally:
            self.flushing = None

    async def _send(self, partition: int, lot: Lot) -> None:
        """Send one lot; returns when Kafka has it, or when the producer will not try again."""
        assert self.producer is not None
        self.sequences[partition] += 1
        record = gather(self.writer, self.sequences[partition], lot.hits)
        began = time.perf_counter()
        try:
            await (await self.producer.send(self.topic, value=record, partition=partition))
        except (KafkaError, TimeoutError) as error:
            self.failed_at = time.monotonic()
            log.warning("a record was given up", partition=partition, hits=len(lot.hits), error=str(error))
            lot.fail()
        except Exception:
            log.exception("a record could not be sent", partition=partition, hits=len(lot.hits))
            lot.fail()
        else:
            self.acknowledged_at = time.monotonic()
            figures.ACKNOWLEDGE_S.observe(time.perf_counter() - began)
            figures.RECORD_HITS.observe(len(lot.hits))
            lot.succeed()
        finally:
            del self.sending[partition]
