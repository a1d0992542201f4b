"""SQL of the stream's bookkeeping. Every function belongs to the transaction of a batch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from analytics_app.arrays import binaries, numbers, texts
from analytics_app.db import AsyncDriver
from analytics_app.stream.logic import Failure, Writer

_LOCK = (
    "SELECT partition, next_offset FROM stream_positions WHERE topic = %s AND partition = ANY(%s::int[]) "
    "ORDER BY partition FOR UPDATE"
)
_SEQUENCES = (
    "SELECT partition, writer, sequence FROM stream_writers JOIN unnest(%s::int[], %s::text[]) AS wanted (p, w) "
    "ON partition = p AND writer = w WHERE topic = %s"
)


BATCH_WITHIN_S = 30.0
"""What a batch may take, unless it took longer before: as long as a worker that gets nowhere is left alone."""
_KNOWS_TRANSACTION_TIMEOUT = 170_000
_END_WITHIN = "SELECT set_config('transaction_timeout', %s, true)"


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


async def stand_for_batch(db: AsyncDriver) -> None:
    """Be a batch under way, until the transaction ends, though of no partition.

    Whoever stores rows otherwise than from the log needs it: only while no batch is under way are texts taken away
    that no row names.
    """
    await db.execute("LOCK TABLE stream_positions IN ROW SHARE MODE")


async def begin_batch(
    db: AsyncDriver,
    topic: str,
    partitions: Sequence[int],
    writers: Collection[Writer],
    within_s: float = BATCH_WITHIN_S,
) -> tuple[dict[int, int], dict[Writer, int]]:
    """The next offset to store of each of `partitions`, and the highest sequence stored of each of `writers`.

    The positions are locked until the transaction ends: nobody else stores from these partitions meanwhile. In their
    order, so that two workers who both think a partition theirs wait for each other and never in a circle.

    The server ends the transaction after `within_s` seconds (0: never), and its locks with it, where it is Postgres 17
    or later. `idle_in_transaction_session_timeout` alone does not do that: who was paused or cut off between two
    statements of a pipeline is not idle to the server, which waits for the rest for ever.
    """
    positions, stored = await _asked_at_a_stroke(db, topic, partitions, writers, within_s)
    if missing := [partition for partition in partitions if partition not in positions]:
        for partition in missing:  # nothing was ever stored from it
            await begin_position(db, topic, partition, 0)
        positions, stored = await _asked_at_a_stroke(db, topic, partitions, writers, within_s)
    return positions, stored


async def _asked_at_a_stroke(
    db: AsyncDriver, topic: str, partitions: Sequence[int], writers: Collection[Writer], within_s: float
) -> tuple[dict[int, int], dict[Writer, int]]:
    async with db.pipeline():
        if db.info.server_version >= _KNOWS_TRANSACTION_TIMEOUT:
            await db.execute(_END_WITHIN, (str(round(within_s * 1000)),))
        locked = await db.execute(_LOCK, (topic, numbers(sorted(partitions))))
        # A statement of its own, which sees what was committed while the locks were waited for.
        known = await db.execute(_SEQUENCES, (*_columns(writers), topic))
        positions = {partition: next_offset async for partition, next_offset in locked}
        stored = {(partition, writer): sequence async for partition, writer, sequence in known}
    return positions, stored


def _columns(writers: Collection[Writer]) -> tuple[str, str]:
    return numbers(partition for partition, _ in writers), texts(writer for _, writer in writers)


@dataclass(frozen=True, slots=True)
class Move:
    """How far a batch has come in one partition: see `analytics_app.stream.models.PositionRow`."""

    partition: int
    next_offset: int
    last_digest: bytes
    stream_at_ms: int | None


async def move_positions(db: AsyncDriver, topic: str, moves: Sequence[Move]) -> None:
    """Note that everything below these offsets is stored."""
    await db.execute(
        "UPDATE stream_positions SET next_offset = n.o, last_digest = n.d, updated_at = now(), "
        "stream_at = greatest(stream_at, timestamptz 'epoch' + n.ms * interval '1 millisecond') "
        "FROM unnest(%s::int[], %s::bigint[], %s::bytea[], %s::bigint[]) AS n (p, o, d, ms) "
        "WHERE topic = %s AND partition = n.p",
        (
            numbers(move.partition for move in moves),
            numbers(move.next_offset for move in moves),
            binaries(move.last_digest for move in moves),
            numbers(move.stream_at_ms for move in moves),
            topic,
        ),
    )


async def keep_sequences(db: AsyncDriver, topic: str, highest: Mapping[Writer, int]) -> None:
    """Note the highest sequence stored of each writer."""
    writers = sorted(highest)
    await db.execute(
        "INSERT INTO stream_writers (topic, partition, writer, sequence) "
        "SELECT %s, * FROM unnest(%s::int[], %s::text[], %s::bigint[]) ON CONFLICT (topic, partition, writer) "
        "DO UPDATE SET sequence = greatest(stream_writers.sequence, excluded.sequence), seen_at = now()",
        (topic, *_columns(writers), numbers(highest[writer] for writer in writers)),
    )


async def keep_failures(db: AsyncDriver, topic: str, failures: Iterable[Failure]) -> None:
    """Set aside what cannot be stored, whole, to be replayed or discarded."""
    async with db.cursor() as cursor:
        await cursor.executemany(
            'INSERT INTO failed_records (topic, partition, "offset", value, error) VALUES (%s, %s, %s, %s, %s)',
            [(topic, one.partition, one.offset, one.value, _storable(one.error)) for one in failures],
        )


async def add_outcomes(db: AsyncDriver, topic: str, partition: int, outcomes: Mapping[str, int]) -> None:
    """Add to the count of each outcome; what a batch of several partitions came to stands with one of them."""
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
