"""The recount of sealed sums: days and parts of them against their rows, blocks against their days."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import driver_of
from analytics_app.stats.columns import same
from analytics_app.stats.columns_store import columns_of_day, stored_columns
from analytics_app.stats.counting_store import Sum, counted
from analytics_app.stats.filters import DIMENSIONS
from analytics_app.stats.sealed_store import sealed_pieces
from analytics_app.stats.spans import DAY, DIMENSION_NUMBERS, EVERYTHING_DIMENSION, Piece, quarters, spans_of
from analytics_app.stats.tallies import SEALED_SUMS
from analytics_app.stats.visitors import Visitors, read, united
from analytics_app.verify.logic import Difference

EARLIEST, LATEST = datetime.fromisoformat("1970-01-02T00:00Z"), datetime.fromisoformat("2100-01-01T00:00Z")
_NAMES = {number: name for name, number in DIMENSION_NUMBERS.items()} | {EVERYTHING_DIMENSION: "everything"}

Key = tuple[int, Piece, int]
"""Dimension, piece of time, value."""
Counted = tuple[dict[str, int], Visitors]


async def differences(db: AsyncConnection, website_id: int, most: int) -> list[Difference]:
    """At most `most` sealed sums of a website that are not what a recount gives."""
    found: list[Difference] = []
    pieces = sorted(await sealed_pieces(db, website_id, EARLIEST, LATEST))
    for piece in pieces:
        if piece.span <= DAY:
            stored = await _stored(db, website_id, piece, inside=True)
            recount = _by_key(await counted(db, website_id, piece))
        else:
            stored = await _stored(db, website_id, piece)
            recount = await _days_of(db, website_id, piece)
        found += _compared(website_id, stored, recount)
        if piece.span == DAY:
            found += await _columns_compared(db, website_id, piece)
        if len(found) >= most:
            break
    return found[:most]


def _by_key(sums: list[Sum]) -> dict[Key, Counted]:
    return {(one.dimension, one.piece, one.value): (one.tally.sums, one.tally.seen()) for one in sums}


def _compared(website_id: int, stored: Mapping[Key, Counted], recount: Mapping[Key, Counted]) -> Iterator[Difference]:
    nothing: Counted = dict.fromkeys(SEALED_SUMS, 0), united(())
    for key in sorted(stored.keys() | recount.keys()):
        (kept, seen), (sums, visitors) = stored.get(key, nothing), recount.get(key, nothing)
        dimension, piece, value = key
        where = f"{piece.start:%Y-%m-%dT%H:%MZ} +{piece.span / 4:g} h, {_NAMES.get(dimension, dimension)} {value}"
        for name in SEALED_SUMS:
            if kept[name] != sums[name]:
                yield Difference("seals", website_id, where, name, str(kept[name]), str(sums[name]))
        if seen != visitors:
            yield Difference("seals", website_id, where, "visitors", _told(seen, visitors), _told(visitors, seen))


async def _columns_compared(db: AsyncConnection, website_id: int, day: Piece) -> list[Difference]:
    """The columns of a day that are not as its rows are."""
    stored, made = await stored_columns(db, website_id, day), await columns_of_day(db, website_id, day)
    return [
        Difference("seals", website_id, f"{day.start:%Y-%m-%d}", f"column {number}", *_told_of(stored, made, number))
        for number in sorted(stored.keys() | made.keys())
        if number not in stored or number not in made or not same(stored[number], made[number])
    ]


def _told_of(stored: Mapping[int, bytes], made: Mapping[int, bytes], number: int) -> tuple[str, str]:
    return tuple(f"{len(one[number])} bytes" if number in one else "missing" for one in (stored, made))  # type: ignore[return-value]


def _told(visitors: Visitors, others: Visitors) -> str:
    only = set(visitors) - set(others)
    return f"{len(visitors)}, {len(only)} of them here alone"


async def _stored(db: AsyncConnection, website_id: int, piece: Piece, *, inside: bool = False) -> dict[Key, Counted]:
    """What is stored of a piece (`inside`: and of the shorter pieces in it)."""
    return {
        (dimension, Piece(span, quarters(start)), value): (dict(zip(SEALED_SUMS, sums, strict=True)), read(visitors))
        for dimension, span, start, value, visitors, *sums in await _rows(db, website_id, piece, upto=piece.span)
        if span == piece.span or inside
    }


async def _days_of(db: AsyncConnection, website_id: int, block: Piece) -> dict[Key, Counted]:
    """What a block should hold: its days put together, of the dimensions that have blocks."""
    sums_of: dict[Key, dict[str, int]] = {}
    visitors_of: dict[Key, list[Visitors]] = {}
    for dimension, span, _, value, visitors, *sums in await _rows(db, website_id, block, upto=DAY):
        if span == DAY and block.span in spans_of(dimension):
            key = dimension, block, value
            held = sums_of.setdefault(key, dict.fromkeys(SEALED_SUMS, 0))
            for name, number in zip(SEALED_SUMS, sums, strict=True):
                held[name] += number
            visitors_of.setdefault(key, []).append(read(visitors))
    return {key: (sums, united(visitors_of[key])) for key, sums in sums_of.items()}


async def _rows(db: AsyncConnection, website_id: int, piece: Piece, *, upto: int) -> list[tuple[Any, ...]]:
    driver = await driver_of(db)
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT dimension, span, start, value, visitors, {', '.join(SEALED_SUMS)} FROM sealed_sums "
            "WHERE website_id = %s AND dimension = ANY(%s::smallint[]) AND span <= %s AND start >= %s AND start < %s",
            (website_id, list(_NAMES), upto, piece.start, piece.end),
        )
        return await cursor.fetchall()


assert set(DIMENSION_NUMBERS) == set(DIMENSIONS)
