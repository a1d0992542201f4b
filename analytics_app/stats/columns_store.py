"""Days as columns: made from rows when the day is sealed, and read by what cannot be told from sealed sums."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import AsyncDriver, driver_of
from analytics_app.stats.column_counting import Asked, Counter
from analytics_app.stats.columns import (
    EVENT_DIMENSIONS,
    SESSION_DIMENSIONS,
    Array,
    Column,
    columns_of,
    packed,
    unpacked,
)
from analytics_app.stats.spans import DAY, Piece, quarters
from analytics_app.stats.tallies import Tally

_AT_A_TIME = 32
"""Days: what is in memory at once stays small, and the questions few."""
_BEFORE_ROWS, _AFTER_ROWS = 19, 2
"""Bytes of COPY's binary format around the rows."""

_UNDER_WAY = """
    s.website_id = %(website_id)s AND s.started_at >= %(start)s::timestamptz - interval '24 hours'
    AND s.started_at < %(end)s AND s.last_at >= %(start)s
"""
_SESSIONS = {
    "id": "s.id",
    "visitor": "s.visitor",
    "begun": "(s.started_at >= %(start)s)::int",
    "is_bounce": "s.is_bounce::int",
    "duration_s": "s.duration_s",
    "pageviews": "s.pageviews",
    **{column: f"coalesce(s.{column}, 0)" for column in SESSION_DIMENSIONS},
}
_EVENTS = {
    "session_id": "s.id",
    "later": "(e.at >= %(end)s)::int",
    "is_pageview": "(e.kind = 1)::int",
    "time_on_page_s": "e.time_on_page_s",
    "scroll_depth": "e.scroll_depth",
    **{column: f"coalesce(e.{column}, 0)" for column in EVENT_DIMENSIONS},
}
_OF_SESSIONS = f"FROM sessions s WHERE {_UNDER_WAY} ORDER BY s.id"
_OF_EVENTS = f"""
    FROM events e JOIN sessions s ON s.id = e.session_id
    WHERE e.website_id = %(website_id)s AND e.at >= %(start)s AND e.at < %(end)s::timestamptz + interval '24 hours'
    AND (e.at < %(end)s OR s.started_at >= %(start)s) AND {_UNDER_WAY} ORDER BY s.id, e.at, e.id
"""


async def columns_of_day(db: AsyncConnection, website_id: int, day: Piece) -> dict[int, bytes]:
    """The columns of a day, from its rows, as they are stored. `db` must be one snapshot, as for the day's sums."""
    driver = await driver_of(db)
    given = {"website_id": website_id, "start": day.start, "end": day.start + timedelta(days=1)}
    sessions = await _copied(driver, _SESSIONS, _OF_SESSIONS, given)
    events = await _copied(driver, _EVENTS, _OF_EVENTS, given)

    def made() -> dict[int, bytes]:
        return {column: packed(column, values) for column, values in columns_of(sessions, events).items()}

    return await asyncio.to_thread(made)


async def _copied(
    driver: AsyncDriver, columns: Mapping[str, str], source: str, given: Mapping[str, Any]
) -> dict[str, Array]:
    """The rows of a query, whose columns are numbers: as arrays, without an object for each."""
    picked = ", ".join(f"({value})::bigint" for value in columns.values())
    async with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY (SELECT {picked} {source}) TO STDOUT (FORMAT BINARY)", given) as copy,
    ):
        said = b"".join([bytes(block) async for block in copy])
    # Of each row the number of its columns, and of each column its length in bytes and itself.
    fields = [("columns", ">i2"), *((f"{name}{part}", kind) for name in columns for part, kind in _FIELD)]
    rows = np.frombuffer(said[_BEFORE_ROWS:-_AFTER_ROWS], np.dtype(fields))
    return {name: rows[f"{name}_value"].astype(np.int64) for name in columns}


_FIELD = (("_length", ">i4"), ("_value", ">i8"))


async def store_columns(db: AsyncDriver, website_id: int, day: Piece, columns: Mapping[int, bytes]) -> None:
    """Keep the columns of a day."""
    async with (
        db.cursor() as cursor,
        cursor.copy("COPY sealed_columns (website_id, start, number, data) FROM STDIN") as copy,
    ):
        for number, data in columns.items():
            await copy.write_row((website_id, day.start, number, data))


async def drop_columns(db: AsyncDriver, website_id: int, day: Piece) -> None:
    """Delete those of a day that is no longer sealed."""
    await db.execute("DELETE FROM sealed_columns WHERE website_id = %s AND start = %s", (website_id, day.start))


async def column_sums(
    db: AsyncConnection, website_id: int, asked: Asked, pieces: Sequence[tuple[int, Piece]]
) -> dict[int, Tally]:
    """What sealed days come to, by the number given with each, or by value where it is asked by a dimension."""
    driver, counter = await driver_of(db), Counter(asked)
    for first in range(0, len(pieces), _AT_A_TIME):
        some = {piece.at: number for number, piece in pieces[first : first + _AT_A_TIME]}
        async with driver.cursor(binary=True) as cursor:
            await cursor.execute(
                "SELECT start, number, data FROM sealed_columns WHERE website_id = %s "
                "AND start = ANY(%s::timestamptz[]) AND number = ANY(%s::smallint[]) ORDER BY start",
                (website_id, [Piece(1, at).start for at in some], asked.columns),
            )
            rows = await cursor.fetchall()
        await asyncio.to_thread(_count, counter, rows, some)
    return await asyncio.to_thread(counter.tallies)


def _count(counter: Counter, rows: Sequence[tuple[Any, ...]], numbers: Mapping[int, int]) -> None:
    for start, day in _days(rows):
        counter.add(day, numbers[quarters(start)])


def _days(rows: Sequence[tuple[datetime, int, bytes]]) -> Iterator[tuple[datetime, dict[int, Any]]]:
    for start, held in groupby(rows, lambda row: row[0]):
        yield start, {number: unpacked(number, data) for _, number, data in held}


async def days_with_columns(db: AsyncConnection, website_id: int, days: Iterable[Piece]) -> frozenset[Piece]:
    """Those of some sealed days that have columns: such as were sealed by an earlier release have none yet."""
    driver = await driver_of(db)
    rows = await driver.execute(
        "SELECT start FROM sealed_columns WHERE website_id = %s AND number = %s AND start = ANY(%s::timestamptz[])",
        (website_id, int(Column.VISITOR), [day.start for day in days]),
    )
    return frozenset([Piece(DAY, quarters(start)) async for (start,) in rows])


async def stored_columns(db: AsyncConnection, website_id: int, day: Piece) -> dict[int, bytes]:
    """The columns of a day as they are stored."""
    driver = await driver_of(db)
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(
            "SELECT number, data FROM sealed_columns WHERE website_id = %s AND start = %s", (website_id, day.start)
        )
        return dict(await cursor.fetchall())
