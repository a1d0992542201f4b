"""Sealed sums, read: what a selection comes to in pieces of time, by group or by value of a dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import instants, numbers
from analytics_app.db import driver_of
from analytics_app.stats.column_counting import Asked, Must
from analytics_app.stats.columns_store import column_sums, days_with_columns
from analytics_app.stats.filters import Dimension
from analytics_app.stats.selection_store import Condition, Selection
from analytics_app.stats.spans import (
    DAY,
    DIMENSION_NUMBERS,
    EVERYTHING_DIMENSION,
    LONGEST_SPAN,
    MOST_GAPS,
    Cover,
    Piece,
    SealState,
    cover,
    moment,
    quarters,
    spans_of,
)
from analytics_app.stats.tallies import SEALED_SUMS, Tally

_ADDED = ", ".join(f"sum(c.{name})::bigint" for name in SEALED_SUMS)


@dataclass(frozen=True, slots=True)
class Sought:
    """Which sealed sums answer a selection: a dimension, and its values that are wanted (`but`: those that are not)."""

    dimension: int
    values: tuple[int, ...] | None = None
    but: bool = False

    @property
    def spans(self) -> tuple[int, ...]:
        """The lengths of the pieces in which they are sealed, the longest first."""
        return spans_of(self.dimension)


@dataclass(frozen=True, slots=True)
class SoughtColumns:
    """What is counted from the columns of sealed days."""

    asked: Asked
    spans: tuple[int, ...] = (DAY,)


def sought(
    selection: Selection, by: Dimension | None = None, *, engagement: bool = False
) -> Sought | SoughtColumns | None:
    """What answers `selection` of sealed days, broken down `by` a dimension; None where only rows can.

    Sums where there are such, which are quicker. Those of several values of a session's dimension can be added up,
    since a session has one of them. The pages of a session are many: their sessions would be counted once for each.
    """
    if by is not None and by.name not in DIMENSION_NUMBERS:
        return None
    if any(condition.filter.dimension.name not in DIMENSION_NUMBERS for condition in selection.conditions):
        return None
    return _sums(selection, by) or SoughtColumns(_asked(selection, by, engagement=engagement))


def _sums(selection: Selection, by: Dimension | None) -> Sought | None:
    if selection.is_everything:
        return Sought(EVERYTHING_DIMENSION if by is None else DIMENSION_NUMBERS[by.name])
    condition = selection.conditions[0]
    dimension = condition.filter.dimension
    if len(selection.conditions) > 1 or by not in (None, dimension):
        return None
    found = _values(condition)
    if by is None and dimension.of_event and (condition.filter.negative or len(found) > 1):
        return None
    return Sought(DIMENSION_NUMBERS[dimension.name], found, condition.filter.negative)


def _asked(selection: Selection, by: Dimension | None, *, engagement: bool) -> Asked:
    tests = tuple(
        Must(condition.filter.dimension.name, _values(condition), condition.filter.negative)
        for condition in selection.conditions
    )
    return Asked(tests, by.name if by else None, engagement)


def _values(condition: Condition) -> tuple[int, ...]:
    found = tuple(condition.found or ())
    return (*found, 0) if condition.filter.finds_missing else found


async def covered(
    db: AsyncConnection, website_id: int, start: datetime, end: datetime, wanted: Sought | SoughtColumns
) -> Cover | None:
    """How `[start, end)` is put together from what is sealed; None where rows are as well read alone."""
    return _useful(cover(start, end, wanted.spans, await _pieces_for(db, website_id, start, end, wanted)))


def _useful(found: Cover) -> Cover | None:
    return found if found.pieces and len(found.gaps) <= MOST_GAPS else None


async def covered_by_bucket(
    db: AsyncConnection,
    website_id: int,
    starts: Sequence[datetime],
    end: datetime,
    wanted: Sought | SoughtColumns,
) -> tuple[list[tuple[int, Piece]], list[tuple[datetime, datetime]]] | None:
    """The same of buckets: pieces with the number of their bucket, from 1, and the gaps, which may span buckets."""
    sealed = await _pieces_for(db, website_id, starts[0], end, wanted)
    pieces: list[tuple[int, Piece]] = []
    gaps: list[tuple[datetime, datetime]] = []
    for number, (since, until) in enumerate(zip(starts, [*starts[1:], end], strict=True), 1):
        found = cover(since, until, wanted.spans, sealed)
        pieces += ((number, piece) for piece in found.pieces)
        for gap in found.gaps:
            if gaps and gaps[-1][1] == gap[0]:
                gaps[-1] = (gaps[-1][0], gap[1])
            else:
                gaps.append(gap)
    return (pieces, gaps) if pieces and len(gaps) <= MOST_GAPS else None


async def _pieces_for(
    db: AsyncConnection, website_id: int, start: datetime, end: datetime, wanted: Sought | SoughtColumns
) -> frozenset[Piece]:
    sealed = await sealed_pieces(db, website_id, start, end)
    if isinstance(wanted, Sought):
        return sealed
    return await days_with_columns(db, website_id, (piece for piece in sealed if piece.span == DAY))


async def sealed_pieces(db: AsyncConnection, website_id: int, start: datetime, end: datetime) -> frozenset[Piece]:
    """The website's sealed days, and blocks of them, that reach into `[start, end)`."""
    rows = await db.execute(
        text(
            "SELECT span, start FROM seals WHERE website_id = :website_id AND state = :sealed"
            " AND start > :since AND start < :end"
        ),
        {
            "website_id": website_id,
            "sealed": int(SealState.SEALED),
            "since": moment(max(0, quarters(start) - LONGEST_SPAN)),
            "end": end,
        },
    )
    return frozenset(Piece(row.span, quarters(row.start)) for row in rows)


async def sealed_sums(
    db: AsyncConnection,
    website_id: int,
    wanted: Sought | SoughtColumns,
    pieces: Sequence[tuple[int, Piece]],
    *,
    by_value: bool = False,
) -> dict[int, Tally]:
    """What the sealed `pieces` come to, by the number given with each, or by value; what is nothing is missing."""
    if isinstance(wanted, SoughtColumns):
        return await column_sums(db, website_id, wanted.asked, pieces)
    driver = await driver_of(db)
    condition = ""
    values: list[str] = []
    if wanted.values is not None:
        condition = "AND c.value <> ALL(%s::int[])" if wanted.but else "AND c.value = ANY(%s::int[])"
        values.append(numbers(wanted.values))
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT {'c.value' if by_value else 'p.grp'}, array_agg(c.visitors), {_ADDED} "
            "FROM unnest(%s::int[], %s::smallint[], %s::timestamptz[]) AS p (grp, span, start) "
            "JOIN sealed_sums c ON c.website_id = %s AND c.dimension = %s AND c.span = p.span AND c.start = p.start "
            f"{condition} GROUP BY 1",
            (
                numbers(number for number, _ in pieces),
                numbers(piece.span for _, piece in pieces),
                instants(piece.start for _, piece in pieces),
                website_id,
                wanted.dimension,
                *values,
            ),
        )
        rows = await cursor.fetchall()
    return {key: Tally(dict(zip(SEALED_SUMS, sums, strict=True)), unread=visitors) for key, visitors, *sums in rows}
