"""What of a batch is new, and what a record says: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from analytics_app.records import HITS, Reader, read_raw_hits
from analytics_app.stream.splitting import split_hits

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading raises on bytes that are no JSON, or not the JSON that is meant."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as Kafka has it."""

    partition: int
    offset: int
    value: bytes


class Gap(RuntimeError):
    """Raised when records between the position and the batch are missing."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"expected offset {expected}, got {got}")
        self.expected, self.got = expected, got


def portions(records: Iterable[Record], most_bytes: int) -> Iterator[list[Record]]:
    """The records in parts of at most `most_bytes` each, or of one record.

    Those of a partition in order, and each partition's next beside those of the others: all come on evenly.
    """
    records = sorted(records, key=lambda record: record.offset)
    first: dict[int, int] = {}
    for record in records:
        first.setdefault(record.partition, record.offset)
    part: list[Record] = []
    size = 0
    for record in sorted(records, key=lambda record: (record.offset - first[record.partition], record.partition)):
        if part and size + len(record.value) > most_bytes:
            yield part
            part, size = [], 0
        part.append(record)
        size += len(record.value)
    if part:
        yield part


def fresh(next_offset: int, records: Iterable[Record]) -> list[Record]:
    """The records of one partition that continue from `next_offset`, in order, each once.

    After a rebalance a batch can hold offsets 120, 100…119, 120, 121, the first of them fetched before it; an offset
    is the same record whenever it comes. What lies below the cursor was stored before. Raises `Gap` where one lies
    above it.
    """
    taken = []
    for record in sorted(records, key=lambda record: record.offset):
        if record.offset == next_offset:
            taken.append(record)
            next_offset += 1
        elif record.offset > next_offset:
            raise Gap(next_offset, record.offset)
    return taken


def digest_of(record: Record) -> bytes:
    """What the position remembers of the record before it, to know the topic again."""
    return blake2b(record.value, digest_size=16, person=b"position").digest()


@dataclass(slots=True)
class Failure:
    """A record, or one hit of it, that cannot be stored, and why."""

    partition: int
    offset: int
    value: bytes
    error: str


@dataclass(slots=True)
class Parsed:
    """A record as read: who wrote it, its good hits, and what of it cannot be stored."""

    partition: int
    offset: int
    writer: str = ""
    sequence: int = 0
    hits: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


Writer = tuple[int, str]
"""A partition, and who writes to it: sequences are counted within both."""


@dataclass(slots=True)
class Admitted:
    """What of a batch is to be stored: its hits in order, from where each came, and what else is to be noted."""

    hits: list[Any] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sequences: dict[Writer, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def parse(record: Record, reader: Reader[Any] = HITS) -> Parsed:
    """Read a record. One that is no record at all, or a hit of it that is wrong, is a failure; the rest is good."""
    try:
        whole = reader.record(record.value)
    except UNREADABLE:
        return _salvage(record, reader)
    return Parsed(record.partition, record.offset, whole.writer, whole.sequence, whole.hits)


def admit(records: Iterable[Parsed], stored: Mapping[Writer, int]) -> Admitted:
    """Leave out what a producer wrote twice: `stored` holds the highest sequence stored of each writer."""
    batch = Admitted()
    for record in records:
        count = len(record.hits) + len(record.failures)
        batch.outcomes["received"] += count
        if record.writer:
            writer = (record.partition, record.writer)
            if record.sequence <= max(batch.sequences.get(writer, -1), stored.get(writer, -1)):
                batch.outcomes["written_twice"] += count
                continue
            batch.sequences[writer] = record.sequence
        batch.hits.extend(record.hits)
        batch.partitions.extend([record.partition] * len(record.hits))
        batch.offsets.extend([record.offset] * len(record.hits))
        batch.failures.extend(record.failures)
        batch.outcomes["failed"] += len(record.failures)
    return batch


def _salvage(record: Record, reader: Reader[Any]) -> Parsed:
    """The good hits of a record with bad ones, and the bad ones; set aside whole where there is no good one."""
    place = record.partition, record.offset
    try:
        head, raw_hits = split_hits(record.value)
        raw = read_raw_hits(head)
    except (ValueError, *UNREADABLE) as error:
        return Parsed(*place, failures=[Failure(*place, record.value, f"not a record: {error}")])
    parsed = Parsed(*place, raw.writer, raw.sequence)
    for hit in raw_hits:
        try:
            parsed.hits.append(reader.item(hit))
        except UNREADABLE as error:
            parsed.failures.append(Failure(*place, hit, str(error)))
    if not parsed.hits and len(parsed.failures) > 1:
        parsed.failures = [Failure(*place, record.value, f"no good hit: {parsed.failures[0].error}")]
    return parsed


@dataclass(frozen=True, slots=True)
class Restart:
    """Where to go on instead of at the position, and why."""

    offset: int
    reason: str


def restart_of(next_offset: int, known: bytes | None, start: int, end: int, found: bytes | None) -> Restart | None:
    """Whether a partition whose log runs from `start` to `end` cannot go on at `next_offset`.

    `known` is the digest remembered of the record before the position, `found` that of the record the log has there
    (None: unknown). Returns None where it can go on.
    """
    if next_offset > end:
        return Restart(start, "the topic is shorter than what was stored of it: it was deleted or truncated")
    if known is not None and found is not None and known != found:
        return Restart(start, "the topic is another one than what was stored of it")
    if next_offset < start:
        return Restart(start, "records were deleted by retention before they were stored")
    return None
