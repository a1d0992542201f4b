"""The one way from a topic into Postgres: a batch, its transaction, its positions.

Postgres owns the position of each partition: what a transaction stores and how far it has come are committed together,
so a record is stored once whatever is killed. A batch is one transaction, of however many partitions it is: what one
costs is the same however much it stores. Faust's acknowledgements only serve as a figure of how far behind a worker is.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from aiokafka.errors import KafkaError
from psycopg.errors import (
    IdleInTransactionSessionTimeout,
    PipelineAborted,
    ProgramLimitExceeded,
    ReadOnlySqlTransaction,
    StatementTooComplex,
    TransactionTimeout,
)

from analytics_app import figures
from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.records import HITS, Reader, encode
from analytics_app.stream import store
from analytics_app.stream.logic import Admitted, Failure, Gap, Parsed, Record, admit, digest_of, fresh, parse, portions
from analytics_app.watchdog import WATCHDOG

FAILURES_IN_A_ROW = 1000
"""So many failures with no success between them are no bad records, but a fault of ours: stop, drain nothing away."""

MOST_BYTES = 4 * 1024 * 1024
"""Of one transaction, unless one record has more: some 8,000 hits. More at once cost no less and took more memory."""

log = structlog.get_logger(__name__)


def is_away(error: Exception) -> bool:
    """Whether `error` says that Postgres or Kafka is away or busy, rather than that what was to be stored is wrong."""
    if isinstance(error, PipelineAborted | ProgramLimitExceeded | StatementTooComplex):
        return False  # psycopg counts them among the operational ones, but waiting mends none
    return isinstance(
        error,
        psycopg.OperationalError
        | IdleInTransactionSessionTimeout
        | TransactionTimeout
        | ReadOnlySqlTransaction
        | KafkaError
        | TimeoutError,
    )


@dataclass(slots=True)
class Written:
    """What one write of hits came to: the outcome of each hit, and what its agent does after the commit."""

    outcomes: Counter[str] = field(default_factory=Counter)
    after: Any = None


Write = Callable[[AsyncDriver, Sequence[Any], Sequence[int]], Awaitable[Written]]
"""Writes hits, given with the partition of each, in a transaction that has the positions of these partitions locked."""


class TooManyFailures(RuntimeError):
    """Raised when nothing can be stored any more: the process ends, and the position stays."""


class Sink:
    """Stores batches of one topic by `write`, which writes a list of hits in the transaction it is given."""

    def __init__(self, topic: str, write: Write, reader: Reader[Any] = HITS) -> None:
        self.topic = topic
        self.write = write
        self.reader = reader
        self.failed_in_a_row = 0

    async def store(self, records: Sequence[Record]) -> list[Written]:
        """Store what is new of `records`; returns what was written once it is committed, nothing if nothing was new.

        In one transaction, unless there is very much of it. Where Postgres or Kafka is away it waits in place, with
        growing pauses. Raises `Gap` where records are missing, and `TooManyFailures`.
        """
        written: list[Written] = []
        for some in portions(records, MOST_BYTES):
            written += await self._store(some)
        return written

    async def _store(self, records: Sequence[Record]) -> list[Written]:
        parsed = [parse(record, self.reader) for record in records]
        careful, patient, pause_s, began = False, False, 0.1, time.perf_counter()
        while True:
            try:
                with WATCHDOG.trying(self.topic):
                    written = await self._attempt(records, parsed, careful=careful, patient=patient)
            except (Gap, TooManyFailures):
                raise
            except Exception as error:
                patient = patient or isinstance(error, TransactionTimeout)
                if is_away(error):
                    away = "postgres" if isinstance(error, psycopg.Error) else "kafka"
                    figures.RETRIES.labels(away).inc()
                    figures.WAITING.set(1)
                    WATCHDOG.wait()
                    log.warning("waiting", what=away, topic=self.topic, error=str(error).strip(), pause_s=pause_s)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, 3.0)
                    continue
                if careful:
                    raise
                log.exception("a batch was refused; taking it apart", topic=self.topic)
                figures.RETRIES.labels("refused").inc()
                careful = True
            else:
                figures.WAITING.set(0)
                WATCHDOG.go_on()
                figures.BATCH_S.labels(self.topic).observe(time.perf_counter() - began)
                return written

    async def _attempt(
        self, records: Sequence[Record], parsed: Sequence[Parsed], *, careful: bool, patient: bool
    ) -> list[Written]:
        """One transaction, from the locks of the positions to their new values.

        It may take as long as it does where it is taken apart, or took too long before: whoever hears of that is slow,
        and not cut off.
        """
        groups: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            groups[record.partition].append(record)
        writers = {(one.partition, one.writer) for one in parsed if one.writer}
        async with batch_transaction() as db:
            within_s = 0 if careful or patient else store.BATCH_WITHIN_S
            next_offsets, sequences = await store.begin_batch(db, self.topic, sorted(groups), writers, within_s)
            found = [fresh(next_offsets[partition], groups[partition]) for partition in sorted(groups)]
            taken = [some for some in found if some]
            if not taken:
                return []
            by_place = {(one.partition, one.offset): one for one in parsed}
            batch = admit((by_place[one.partition, one.offset] for some in taken for one in some), sequences)
            if careful:
                written = await self._write_apart(db, batch)
            else:
                written = [await self.write(db, batch.hits, batch.partitions)] if batch.hits else []
            async with db.pipeline():
                await self._settle(db, taken[0][0].partition, batch, written)
                await store.move_positions(db, self.topic, moves(taken, batch))
        self._note(batch, written)
        return written

    async def _write_apart(self, db: AsyncDriver, batch: Admitted) -> list[Written]:
        """Write what can be written, halving until each hit that is refused stands alone; those are set aside."""
        written: list[Written] = []
        waiting = [(0, len(batch.hits))] if batch.hits else []
        while waiting:
            first, last = waiting.pop()
            try:
                async with db.transaction():
                    written.append(await self.write(db, batch.hits[first:last], batch.partitions[first:last]))
            except Exception as error:
                if is_away(error):
                    raise
                if last - first == 1:
                    place = batch.partitions[first], batch.offsets[first]
                    log.warning("a hit cannot be stored", topic=self.topic, place=place, error=str(error)[:500])
                    batch.failures.append(
                        Failure(*place, encode(batch.hits[first]), f"{type(error).__name__}: {error}")
                    )
                    batch.outcomes["failed"] += 1
                else:
                    middle = (first + last) // 2
                    waiting += [(middle, last), (first, middle)]
        return written

    async def _settle(self, db: AsyncDriver, partition: int, batch: Admitted, written: Sequence[Written]) -> None:
        """Keep what failed, who wrote, and, with one partition for all, how each hit ended."""
        failing = len(batch.failures)
        if failing and not written and self.failed_in_a_row + failing > FAILURES_IN_A_ROW:
            raise TooManyFailures(f"{self.failed_in_a_row + failing} failures in a row on {self.topic}")
        if failing:
            await store.keep_failures(db, self.topic, batch.failures)
        if batch.sequences:
            await store.keep_sequences(db, self.topic, batch.sequences)
        for one in written:
            batch.outcomes.update(one.outcomes)
        await store.add_outcomes(db, self.topic, partition, batch.outcomes)

    def _note(self, batch: Admitted, written: Sequence[Written]) -> None:
        self.failed_in_a_row = 0 if written else self.failed_in_a_row + len(batch.failures)
        figures.BATCH_HITS.labels(self.topic).observe(len(batch.hits))
        if batch.failures:
            figures.FAILED.labels(self.topic).inc(len(batch.failures))


def moves(taken: Sequence[Sequence[Record]], batch: Admitted) -> list[store.Move]:
    """How far a batch has come, given its records by partition, in order."""
    latest: dict[int, int] = {}
    for partition, hit in zip(batch.partitions, batch.hits, strict=True):
        latest[partition] = max(latest.get(partition, hit.at_ms), hit.at_ms)
    return [
        store.Move(last.partition, last.offset + 1, digest_of(last), latest.get(last.partition))
        for last in (some[-1] for some in taken)
    ]
