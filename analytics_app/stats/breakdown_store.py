"""Breakdowns: from sealed sums as far as they reach, the rest from rows."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Double, Select, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.models import TermRow
from analytics_app.stats.breakdowns import QUOTIENTS, After, Line, LineMetric, Sort
from analytics_app.stats.filters import NONE, Dimension
from analytics_app.stats.groups_store import by_dimension
from analytics_app.stats.logic import Totals
from analytics_app.stats.ranking import first_values
from analytics_app.stats.sealed_store import Sought, SoughtColumns, covered, sealed_sums, sought
from analytics_app.stats.selection_store import Selection, none_term
from analytics_app.stats.spans import Cover
from analytics_app.stats.sums_store import SUMS, sums
from analytics_app.stats.tallies import Tally

_COUNTED = (*SUMS, "who")


async def breakdown(
    db: AsyncConnection,
    website_id: int,
    start: datetime,
    end: datetime,
    selection: Selection,
    dimension: Dimension,
    *,
    sort: Sort,
    limit: int,
    after: After | None = None,
    engagement: bool = True,
) -> tuple[list[Line], After | None]:
    """At most `limit` lines in order, and where the next page goes on; None on the last.

    Values that a session lacks are a line of their own, `(none)`; events without a page, a name or the property are in
    no line of it, and a page that was not viewed is no page. Without `engagement` its sums may be 0.
    """
    wanted = sought(selection, dimension, engagement=engagement)
    found = await covered(db, website_id, start, end, wanted) if wanted and start < end else None
    if wanted is not None and found is not None:
        tallies = await _put_together(db, website_id, wanted, found, selection, dimension, engagement=engagement)
        rows = await _first_of(db, tallies, sort, limit + 1, after, of_event=dimension.of_event)
    else:
        rows = await _from_rows(
            db, website_id, start, end, selection, dimension,
            sort=sort, limit=limit + 1, after=after, engagement=engagement,
        )  # fmt: skip
    lines = [
        Line(row["text"], Totals.of(dict(row)), int(row["time_on_page_s"]), int(row["scroll_depth"]))
        for row in rows[:limit]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return lines, None if last is None else After(last["key"], last["text"])


# From rows.


async def _from_rows(
    db: AsyncConnection,
    website_id: int,
    start: datetime,
    end: datetime,
    selection: Selection,
    dimension: Dimension,
    *,
    sort: Sort,
    limit: int,
    after: After | None,
    engagement: bool,
) -> list[dict[str, Any]]:
    counted = sums(website_id, start, end, selection, by_dimension(website_id, dimension), engagement=engagement)
    terms = TermRow.__table__.alias("t")
    if dimension.kind is None:
        source: Select[Any] = select(counted)
        value: ColumnElement[str] = counted.c.grp
    else:
        source = select(counted).select_from(counted.outerjoin(terms, terms.c.id == counted.c.grp))
        value = func.coalesce(terms.c.text, NONE)
    if dimension.of_event:
        source = source.where(counted.c.grp.is_not(None))
    if dimension.name == "page":
        source = source.where(counted.c.pageviews > 0)
    ordered, key = value.collate("C"), _key(counted.c, sort.metric)
    if after is not None:
        source = source.where(_comes_after(key, ordered, sort, after))
    direction = key.desc() if sort.descending else key.asc()
    query = source.add_columns(value.label("text"), key.label("key")).order_by(direction, ordered).limit(limit)
    return [dict(row) for row in (await db.execute(query)).mappings()]


def _key(columns: Any, metric: LineMetric) -> ColumnElement[float]:
    if metric not in QUOTIENTS:
        return columns[metric].cast(Double)  # type: ignore[no-any-return]
    part, whole = (columns[name].cast(Double) for name in QUOTIENTS[metric])
    return case((whole == 0, literal(0.0, Double)), else_=part / whole)


def _comes_after(key: ColumnElement[float], value: ColumnElement[str], sort: Sort, after: After) -> ColumnElement[bool]:
    held = literal(after.key, Double)
    further = key < held if sort.descending else key > held
    return or_(further, and_(key == held, value > after.value))


# From sealed sums.


async def _put_together(
    db: AsyncConnection,
    website_id: int,
    wanted: Sought | SoughtColumns,
    found: Cover,
    selection: Selection,
    dimension: Dimension,
    *,
    engagement: bool,
) -> dict[int, Tally]:
    """The tallies by value (the number of its term, 0 for a missing one) of what is sealed and of the gaps between."""
    tallies = await sealed_sums(db, website_id, wanted, [(0, piece) for piece in found.pieces], by_value=True)
    group = by_dimension(website_id, dimension)
    for since, until in found.gaps:
        counted = sums(website_id, since, until, selection, group, engagement=engagement, who=True)
        for value, *row in await db.execute(select(counted)):
            tallies.setdefault(value or 0, Tally()).add_row(dict(zip(_COUNTED, row, strict=True)))
    if dimension.of_event:
        tallies.pop(0, None)
    else:
        assert dimension.kind is not None
        called_none = (await db.execute(select(none_term(website_id, dimension.kind)))).scalar()
        if called_none in tallies:
            same = tallies.pop(called_none)
            tallies.setdefault(0, Tally()).add(same.sums, same.visitors, same.unread)
    if dimension.name == "page":
        return {value: tally for value, tally in tallies.items() if tally.sums["pageviews"]}
    return {value: tally for value, tally in tallies.items() if any(tally.sums.values()) or tally.seen()}


async def _first_of(
    db: AsyncConnection, tallies: Mapping[int, Tally], sort: Sort, limit: int, after: After | None, *, of_event: bool
) -> list[dict[str, Any]]:
    """The first `limit` lines of `tallies` in order, behind `after`, with their texts and keys."""
    # Uniting thousands of sets holds the loop up for a while.
    keyed = await asyncio.to_thread(first_values, tallies, sort, limit, after, of_event=of_event)
    texts = await _texts_of(db, [value for _, value in keyed])
    ordered = sorted((order, texts.get(value, NONE), value) for order, value in keyed)
    sign = -1 if sort.descending else 1
    if after is not None:
        ordered = [one for one in ordered if one[:2] > (sign * after.key, after.value)]
    first = ordered[:limit]
    counts = await asyncio.to_thread(lambda: [tallies[value].counted() for *_, value in first])
    return [
        {**counted, "text": called, "key": sign * order}
        for (order, called, _), counted in zip(first, counts, strict=True)
    ]


async def _texts_of(db: AsyncConnection, values: Sequence[int]) -> dict[int, str]:
    rows = await db.execute(select(TermRow.id, TermRow.text).where(TermRow.id == func.any(list(values))))
    return {row.id: row.text for row in rows}
