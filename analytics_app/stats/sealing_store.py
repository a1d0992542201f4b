"""Sealing: the sums of a past day, counted from its rows once and kept until one of these changes.

Whoever changes rows holds the lock of each part of a day that they are of, shared, to the end of its transaction, and
takes the seals off. A day is sealed in three steps: note under the locks of its parts, alone, that it is being counted
(all changes before are visible then, all later ones find the note); count in a snapshot; store, if the note was not
taken off meanwhile. Until it is over its past parts are sealed, in the same way; its own seal takes their place.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from analytics_app.arrays import instants, numbers
from analytics_app.db import AsyncDriver
from analytics_app.stats.columns_store import drop_columns, store_columns
from analytics_app.stats.counting_store import Sum
from analytics_app.stats.spans import (
    BLOCKS,
    DAY,
    DIMENSION_NUMBERS,
    EVERYTHING_DIMENSION,
    PART,
    SHORTER,
    Piece,
    SealState,
    block_of,
    quarters,
    spans_of,
)
from analytics_app.stats.tallies import SEALED_SUMS, Tally

_LOCK = 7_203_118  # the first of the two keys of a part's advisory lock; the second is the part's number
_DIMENSIONS = (EVERYTHING_DIMENSION, *DIMENSION_NUMBERS.values())
_COLUMNS = ", ".join(("website_id", "dimension", "span", "start", "value", *SEALED_SUMS, "visitors"))


# Taking seals off.


async def unseal(db: AsyncDriver, changed: Mapping[int, Iterable[int]]) -> int:
    """Take the seals off where rows change in this transaction, by website; returns how many of days and their parts.

    Parts of days are numbers since 1970, in UTC: all in which a changed session was under way, before or after the
    change.
    """
    held = sorted({part for parts in changed.values() for part in parts})
    if not held:
        return 0
    await db.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, part) FROM (SELECT unnest(%s::int[]) AS part ORDER BY 1) AS parts",
        (_LOCK, numbers(held)),
    )
    pieces = sorted({(website_id, piece) for website_id, parts in changed.items() for piece in _around(parts)})
    rows = await db.execute(
        "UPDATE seals s SET state = %s, changed_at = now() "
        "FROM unnest(%s::int[], %s::smallint[], %s::timestamptz[]) AS n (website_id, span, start) "
        "WHERE s.website_id = n.website_id AND s.span = n.span AND s.start = n.start AND s.state <> %s "
        "RETURNING s.website_id, s.span, s.start",
        (
            int(SealState.CHANGED),
            numbers(website_id for website_id, _ in pieces),
            numbers(piece.span for _, piece in pieces),
            instants(piece.start for _, piece in pieces),
            int(SealState.CHANGED),
        ),
    )
    taken = await rows.fetchall()
    for website_id, span, start in taken:
        await _drop(db, website_id, Piece(span, quarters(start)))
    return len(taken)


def _around(parts: Iterable[int]) -> Iterator[Piece]:
    """The pieces with seals of their own rows that `parts` are, or lie in."""
    for part in parts:
        yield Piece(PART, part * PART)
        yield block_of(part * PART, DAY)


async def _drop(db: AsyncDriver, website_id: int, piece: Piece) -> None:
    """Delete the sums of a day or a part of it; of a day also columns, and the sums of the blocks it lies in."""
    blocks = [block_of(piece.at, span) for span in BLOCKS] if piece.span == DAY else []
    within = [
        Piece(span, at) for span in SHORTER if span < piece.span for at in range(piece.at, piece.at + piece.span, span)
    ]
    dropped = [*blocks, piece, *within]
    await db.execute(
        "DELETE FROM sealed_sums c USING unnest(%s::smallint[]) AS d (dimension), "
        "unnest(%s::smallint[], %s::timestamptz[]) AS p (span, start) "
        "WHERE c.website_id = %s AND c.dimension = d.dimension AND c.span = p.span AND c.start = p.start "
        "AND (d.dimension = %s OR c.span >= %s)",
        (
            list(_DIMENSIONS),
            [p.span for p in dropped],
            [p.start for p in dropped],
            website_id,
            EVERYTHING_DIMENSION,
            piece.span,
        ),
    )
    if piece.span == DAY:
        await drop_columns(db, website_id, piece)
        await _take_away(db, website_id, blocks)


async def _take_away(db: AsyncDriver, website_id: int, pieces: Sequence[Piece]) -> None:
    """Delete seals, as if nobody had ever counted."""
    await db.execute(
        "DELETE FROM seals s USING unnest(%s::smallint[], %s::timestamptz[]) AS p (span, start) "
        "WHERE s.website_id = %s AND s.span = p.span AND s.start = p.start",
        ([piece.span for piece in pieces], [piece.start for piece in pieces], website_id),
    )


# Sealing a day, or a part of one.


async def begin(db: AsyncDriver, website_id: int, piece: Piece) -> int | None:
    """Note that a day or a part of it is being counted; returns the token to finish with. Commit before counting.

    None where nothing is to be counted: the day of the part is being sealed itself, or was.
    """
    token = random.getrandbits(62)
    await _alone(db, piece)
    if piece.span == DAY:
        await _take_parts_away(db, website_id, piece)
    elif await _is_noted(db, website_id, block_of(piece.at, DAY)):
        return None
    await db.execute(
        "INSERT INTO seals (website_id, span, start, state, token) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (website_id, span, start) DO UPDATE "
        "SET state = excluded.state, token = excluded.token, changed_at = now()",
        (website_id, piece.span, piece.start, int(SealState.COUNTING), token),
    )
    await _drop(db, website_id, piece)
    return token


async def _take_parts_away(db: AsyncDriver, website_id: int, day: Piece) -> None:
    parts = [Piece(PART, at) for at in range(day.at, day.at + DAY, PART)]
    for part in parts:
        await _drop(db, website_id, part)
    await _take_away(db, website_id, parts)


async def _is_noted(db: AsyncDriver, website_id: int, day: Piece) -> bool:
    found = await db.execute(
        "SELECT FROM seals WHERE website_id = %s AND span = %s AND start = %s", (website_id, day.span, day.start)
    )
    return await found.fetchone() is not None


async def finish(
    db: AsyncDriver, website_id: int, piece: Piece, token: int, found: Sequence[Sum], columns: Mapping[int, bytes]
) -> bool:
    """Store what was counted and seal it; False, and nothing stored, where rows of it changed meanwhile."""
    await _alone(db, piece)
    rows = await db.execute(
        "UPDATE seals SET state = %s, changed_at = now() "
        "WHERE website_id = %s AND span = %s AND start = %s AND state = %s AND token = %s RETURNING token",
        (int(SealState.SEALED), website_id, piece.span, piece.start, int(SealState.COUNTING), token),
    )
    if await rows.fetchone() is None:
        return False
    await _store(db, website_id, found)
    await store_columns(db, website_id, piece, columns)
    return True


async def _alone(db: AsyncDriver, piece: Piece) -> None:
    first = piece.at // PART
    await db.execute(
        "SELECT pg_advisory_xact_lock(%s, part) FROM generate_series(%s::int, %s::int) AS part",
        (_LOCK, first, first + piece.span // PART - 1),
    )


async def _store(db: AsyncDriver, website_id: int, found: Sequence[Sum]) -> None:
    async with db.cursor() as cursor, cursor.copy(f"COPY sealed_sums ({_COLUMNS}) FROM STDIN") as copy:
        for one in found:
            await copy.write_row(one.row(website_id))


# Blocks of days.


async def seal_block(db: AsyncDriver, website_id: int, block: Piece) -> bool:
    """Put a block together from its four parts; False where one of them is not sealed, or the block is."""
    part = block.span // 4
    parts = [Piece(part, block.at + number * part) for number in range(4)]
    # Locked: whoever changes a row of one of the days waits for the block, and takes it off then.
    days = await db.execute(
        "SELECT count(*) FROM (SELECT FROM seals WHERE website_id = %s AND span = %s AND start >= %s AND start < %s "
        "AND state = %s ORDER BY start FOR UPDATE) AS held",
        (website_id, DAY, block.start, block.end, int(SealState.SEALED)),
    )
    held = await db.execute(
        "SELECT count(*) FILTER (WHERE span = %s), count(*) FILTER (WHERE span = %s) FROM seals "
        "WHERE website_id = %s AND state = %s "
        "AND (span, start) IN (SELECT * FROM unnest(%s::smallint[], %s::timestamptz[]))",
        (
            part,
            block.span,
            website_id,
            int(SealState.SEALED),
            [piece.span for piece in (*parts, block)],
            [piece.start for piece in (*parts, block)],
        ),
    )
    (sealed_days,), (ready, there) = await _one(days), await _one(held)
    if sealed_days < block.span // DAY or ready < len(parts) or there:
        return False
    for dimension in _DIMENSIONS:
        if block.span in spans_of(dimension):
            await _store(db, website_id, await _merged(db, website_id, dimension, block, parts))
    await db.execute(
        "INSERT INTO seals (website_id, span, start, state, token) VALUES (%s, %s, %s, %s, 0)",
        (website_id, block.span, block.start, int(SealState.SEALED)),
    )
    return True


async def _one(rows: psycopg.AsyncCursor[Any]) -> Any:
    return await rows.fetchone()


async def _merged(db: AsyncDriver, website_id: int, dimension: int, block: Piece, parts: Sequence[Piece]) -> list[Sum]:
    added = ", ".join(f"sum({name})::bigint" for name in SEALED_SUMS)
    async with db.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT value, array_agg(visitors), {added} FROM sealed_sums "
            "WHERE website_id = %s AND dimension = %s AND span = %s AND start = ANY(%s::timestamptz[]) GROUP BY value",
            (website_id, dimension, parts[0].span, [piece.start for piece in parts]),
        )
        rows = await cursor.fetchall()
    return [
        Sum(dimension, block, value, Tally(dict(zip(SEALED_SUMS, sums_, strict=True)), unread=visitors))
        for value, visitors, *sums_ in rows
    ]
