"""Sealing: the sums of a past day, counted from its rows once and kept until one of these changes.

Whoever changes rows of a day holds the day's lock, shared, to the end of its transaction, and takes the seals off.
A day is sealed in three steps: note under the lock, alone, that it is being counted (all changes before are visible
then, all later ones find the note); count in a snapshot; store, if the note was not taken off meanwhile.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import instants, numbers
from analytics_app.db import AsyncDriver
from analytics_app.stats.columns_store import drop_columns, store_columns
from analytics_app.stats.counting_store import Sum
from analytics_app.stats.spans import (
    BLOCKS,
    DAY,
    DIMENSION_NUMBERS,
    EVERYTHING_DIMENSION,
    HOUR,
    Piece,
    SealState,
    block_of,
    quarters,
    spans_of,
)
from analytics_app.stats.tallies import SEALED_SUMS, Tally

_LOCK = 7_203_118  # the first of the two keys of a day's advisory lock; the second is the day's number
_PARTS = (EVERYTHING_DIMENSION, *DIMENSION_NUMBERS.values())
_COLUMNS = ", ".join(("website_id", "dimension", "span", "start", "value", *SEALED_SUMS, "visitors"))


# Taking seals off.


async def unseal(db: AsyncDriver, changed: Mapping[int, Iterable[int]]) -> int:
    """Take the seals off the days of each website of which rows change in this transaction; returns how many.

    Days are numbers since 1970, in UTC: all on which a changed session was under way, before or after the change.
    """
    pairs = sorted((website_id, day) for website_id, days in changed.items() for day in days)
    if not pairs:
        return 0
    await db.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, day) FROM (SELECT unnest(%s::int[]) AS day ORDER BY 1) AS days",
        (_LOCK, numbers(sorted({day for _, day in pairs}))),
    )
    rows = await db.execute(
        "UPDATE seals s SET state = %s, changed_at = now() FROM unnest(%s::int[], %s::timestamptz[]) AS n (w, d) "
        "WHERE s.website_id = n.w AND s.start = n.d AND s.span = %s AND s.state <> %s RETURNING s.website_id, s.start",
        (
            int(SealState.CHANGED),
            numbers(website_id for website_id, _ in pairs),
            instants(Piece(DAY, day * DAY).start for _, day in pairs),
            DAY,
            int(SealState.CHANGED),
        ),
    )
    taken = await rows.fetchall()
    for website_id, start in taken:
        await _drop(db, website_id, quarters(start))
    return len(taken)


async def _drop(db: AsyncDriver, website_id: int, at: int) -> None:
    """Delete the sums and columns of a day, and the sums of the blocks it lies in."""
    await drop_columns(db, website_id, Piece(DAY, at))
    blocks = [block_of(at, span) for span in BLOCKS]
    parts = [*blocks, Piece(DAY, at), *(Piece(HOUR, at + n) for n in range(0, DAY, HOUR))]
    parts += [Piece(1, at + n) for n in range(DAY)]
    await db.execute(
        "DELETE FROM sealed_sums c USING unnest(%s::smallint[]) AS d (dimension), "
        "unnest(%s::smallint[], %s::timestamptz[]) AS p (span, start) "
        "WHERE c.website_id = %s AND c.dimension = d.dimension AND c.span = p.span AND c.start = p.start "
        "AND (d.dimension = %s OR c.span >= %s)",
        (list(_PARTS), [p.span for p in parts], [p.start for p in parts], website_id, EVERYTHING_DIMENSION, DAY),
    )
    await db.execute(
        "DELETE FROM seals s USING unnest(%s::smallint[], %s::timestamptz[]) AS p (span, start) "
        "WHERE s.website_id = %s AND s.span = p.span AND s.start = p.start",
        ([p.span for p in blocks], [p.start for p in blocks], website_id),
    )


# Sealing a day.


async def begin(db: AsyncDriver, website_id: int, day: Piece) -> int:
    """Note that a day is being counted; returns the token to finish with. Commit before counting."""
    token = random.getrandbits(62)
    await _alone(db, day)
    await db.execute(
        "INSERT INTO seals (website_id, span, start, state, token) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (website_id, span, start) DO UPDATE "
        "SET state = excluded.state, token = excluded.token, changed_at = now()",
        (website_id, day.span, day.start, int(SealState.COUNTING), token),
    )
    await _drop(db, website_id, day.at)
    return token


async def finish(
    db: AsyncDriver, website_id: int, day: Piece, token: int, found: Sequence[Sum], columns: Mapping[int, bytes]
) -> bool:
    """Store what a day comes to and seal it; False, and nothing stored, where rows of it changed meanwhile."""
    await _alone(db, day)
    rows = await db.execute(
        "UPDATE seals SET state = %s, changed_at = now() "
        "WHERE website_id = %s AND span = %s AND start = %s AND state = %s AND token = %s RETURNING token",
        (int(SealState.SEALED), website_id, day.span, day.start, int(SealState.COUNTING), token),
    )
    if await rows.fetchone() is None:
        return False
    await _store(db, website_id, found)
    await store_columns(db, website_id, day, columns)
    return True


async def _alone(db: AsyncDriver, day: Piece) -> None:
    await db.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK, day.at // DAY))


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
        (website_id, DAY, block.start, Piece(1, block.at + block.span).start, int(SealState.SEALED)),
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
    for dimension in _PARTS:
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


# What is to be sealed.


async def seal_worthy(db: AsyncConnection, before: datetime, events: int, within: timedelta) -> list[int]:
    """The websites with seals, and those that had so many events `within` the time before `before`."""
    rows = await db.execute(
        text(
            "SELECT id FROM websites w WHERE deleted_at IS NULL AND ("
            "EXISTS (SELECT FROM seals s WHERE s.website_id = w.id) OR (SELECT count(*) FROM ("
            "SELECT FROM events e WHERE e.website_id = w.id AND e.at >= :since AND e.at < :before LIMIT :events"
            ") AS first_ones) >= :events) ORDER BY id"
        ),
        {"since": before - within, "before": before, "events": events},
    )
    return list(rows.scalars())


_DAYS_TO_SEAL = text("""
WITH bounds AS (
    SELECT (SELECT date_bin('1 day', min(bucket), 'epoch')
            FROM traffic_rollups WHERE website_id = :website_id) AS begun,
        (SELECT min(start) FROM seals WHERE website_id = :website_id AND span = :day) AS sealed_from,
        (SELECT max(start) FROM seals WHERE website_id = :website_id AND span = :day) AS sealed_to
)
SELECT day FROM bounds,
    generate_series(begun, least(sealed_from - interval '1 day', :until), interval '1 day') AS day
UNION
SELECT day FROM bounds, generate_series(coalesce(sealed_to + interval '1 day', begun), :until, interval '1 day') AS day
UNION
SELECT start FROM seals s WHERE website_id = :website_id AND span = :day AND state = 1 AND start <= :until
    AND NOT EXISTS (SELECT FROM sealed_columns c WHERE c.website_id = s.website_id AND c.start = s.start)
UNION
SELECT start FROM seals, LATERAL (SELECT start + interval '1 day' AS ended) AS its
WHERE website_id = :website_id AND span = :day AND state <> 1 AND start <= :until AND :now >= CASE
    WHEN state = 0 OR changed_at >= ended + interval '26 hours' THEN changed_at + interval '10 minutes'
    ELSE ended + least(2 * (changed_at - ended), interval '26 hours') END
ORDER BY day
""")


async def days_to_seal(db: AsyncConnection, website_id: int, now: datetime, until: datetime) -> list[Piece]:
    """The website's days up to that of `until` that are not sealed and should be, the earliest first.

    One that was changed soon after its end is likely to be changed again: it rests for as long as it was old then.
    """
    last = until.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await db.execute(_DAYS_TO_SEAL, {"website_id": website_id, "day": DAY, "until": last, "now": now})
    return [Piece(DAY, quarters(start)) for start in rows.scalars()]
