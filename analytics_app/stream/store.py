"""SQL of the stream's bookkeeping. Every function belongs to the transaction of one partition's batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from analytics_app.db import AsyncDriver
from analytics_app.stream.logic import Failure

_LOCK = "SELECT next_offset FROM stream_positions WHERE topic = %s AND partition = %s FOR UPDATE"
_SEQUENCES = (
    "SELECT writer, sequence FROM stream_writers WHERE topic = %s AND partition = %s AND writer = ANY(%s::text[])"
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition stands: the next offset to store, and what the record before it looked like."""

    next_offset: int
    last_digest: bytes | None


async def positions(db: AsyncDriver, topic: str, partitions: Iterable[int]) -> dict[int, Position]:
    """The positions of those partitions; one never stored from is missing."""
    rows = await db.execute(
        "SELECT partition, next_offset, last_digest FROM stream_positions "
        "WHERE topic = %s AND partition = ANY(%s::int[])",
        (topic, list(partitions)),
    )
    return {partition: Position(offset, digest) async for partition, offset, digest in rows}


async def begin_position(db: AsyncDriver, topic: str, partition: int, offset: int) -> None:
    """Begin to store from a partition at `offset`, where nothing was ever stored from it."""
    await db.execute(
        "INSERT INTO stream_positions (topic, partition, next_offset) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (topic, partition, offset),
    )


async def lock_position(db: AsyncDriver, topic: str, partition: int) -> int:
    """The next offset to store, locked until the transaction ends: nobody else stores from the partition meanwhile."""
    row = await (await db.execute(_LOCK, (topic, partition))).fetchone()
    if row is None:
        await db.execute(
            "INSERT INTO stream_positions (topic, partition, next_offset) VALUES (%s, %s, 0) ON CONFLICT DO NOTHING",
            (topic, partition),
        )
        row = await (await db.execute(_LOCK, (topic, partition))).fetchone()
    assert row is not None
    return int(row[0])


async def stand_for_batch(db: AsyncDriver) -> None:
    """Be a batch under way, until the transaction ends, though of no partition.

    Whoever stores rows otherwise than from the log needs it: only while no batch is under way are texts taken away
    that no row names.
    """
    await db.execute("LOCK TABLE stream_positions IN ROW SHARE MODE")


async def begin_batch(db: AsyncDriver, topic: str, partition: int, writers: list[str]) -> tuple[int, dict[str, int]]:
    """The next offset to store, locked, and the highest sequence stored of each of `writers`: asked at a stroke."""
    async with db.pipeline():
        locked = await db.execute(_LOCK, (topic, partition))
        # A statement of its own, which sees what was committed while the lock was waited for.
        known = await db.execute(_SEQUENCES, (topic, partition, writers))
        row = await locked.fetchone()
        stored = {writer: sequence async for writer, sequence in known}
    if row is None:  # nothing was ever stored from the partition
        return await lock_position(db, topic, partition), await sequences(db, topic, partition, writers)
    return int(row[0]), stored


async def move_position(
    db: AsyncDriver, topic: str, partition: int, next_offset: int, digest: bytes | None, stream_at: datetime | None
) -> None:
    """Note that everything below `next_offset` is stored."""
    await db.execute(
        "UPDATE stream_positions SET next_offset = %s, last_digest = %s, updated_at = now(), "
        "stream_at = greatest(stream_at, %s) WHERE topic = %s AND partition = %s",
        (next_offset, digest, stream_at, topic, partition),
    )


async def sequences(db: AsyncDriver, topic: str, partition: int, writers: list[str]) -> dict[str, int]:
    """The highest sequence stored of each of `writers` in the partition."""
    rows = await db.execute(_SEQUENCES, (topic, partition, writers))
    return {writer: sequence async for writer, sequence in rows}


async def keep_sequences(db: AsyncDriver, topic: str, partition: int, highest: Mapping[str, int]) -> None:
    """Note the highest sequence stored of each writer."""
    writers = sorted(highest)
    await db.execute(
        "INSERT INTO stream_writers (topic, partition, writer, sequence) "
        "SELECT %s, %s, * FROM unnest(%s::text[], %s::bigint[]) ON CONFLICT (topic, partition, writer) "
        "DO UPDATE SET sequence = greatest(stream_writers.sequence, excluded.sequence), seen_at = now()",
        (topic, partition, writers, [highest[writer] for writer in writers]),
    )


async def keep_failures(db: AsyncDriver, topic: str, partition: int, failures: Iterable[Failure]) -> None:
    """Set aside what cannot be stored, whole, to be replayed or discarded."""
    async with db.cursor() as cursor:
        await cursor.executemany(
            'INSERT INTO failed_records (topic, partition, "offset", value, error) VALUES (%s, %s, %s, %s, %s)',
            [(topic, partition, failure.offset, failure.value, _storable(failure.error)) for failure in failures],
        )


async def add_outcomes(db: AsyncDriver, topic: str, partition: int, outcomes: Mapping[str, int]) -> None:
    """Add to the partition's count of each outcome."""
    names = sorted(name for name, hits in outcomes.items() if hits)
    if names:
        await db.execute(
            "INSERT INTO stream_outcomes (topic, partition, outcome, hits) "
            "SELECT %s, %s, * FROM unnest(%s::text[], %s::bigint[]) ON CONFLICT (topic, partition, outcome) "
            "DO UPDATE SET hits = stream_outcomes.hits + excluded.hits",
            (topic, partition, names, [outcomes[name] for name in names]),
        )


async def note_loss(
    db: AsyncDriver, topic: str, partition: int, from_offset: int, to_offset: int, reason: str, *, resume_at: int
) -> None:
    """Record that offsets were gone when a worker came for them, and move the position to where the log goes on.

    Does nothing where the position is no longer at `from_offset`: another worker was here first.
    """
    moved = await db.execute(
        "UPDATE stream_positions SET next_offset = %s, last_digest = NULL "
        "WHERE topic = %s AND partition = %s AND next_offset = %s",
        (resume_at, topic, partition, from_offset),
    )
    if moved.rowcount:
        await db.execute(
            "INSERT INTO stream_losses (topic, partition, from_offset, to_offset, reason) VALUES (%s, %s, %s, %s, %s)",
            (topic, partition, from_offset, to_offset, reason),
        )


def _storable(error: str) -> str:
    """An error's text without what Postgres refuses."""
    return error[:2000].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
