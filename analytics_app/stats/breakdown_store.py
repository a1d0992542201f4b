"""Breakdowns from rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Double, Select, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.models import TermRow
from analytics_app.stats.breakdowns import After, Line, LineMetric, Sort
from analytics_app.stats.filters import NONE, Dimension
from analytics_app.stats.groups_store import by_dimension
from analytics_app.stats.logic import Totals
from analytics_app.stats.selection_store import Selection
from analytics_app.stats.sums_store import sums

_QUOTIENTS: dict[LineMetric, tuple[str, str]] = {
    "bounce_rate": ("bounces", "sessions"),
    "avg_session_duration": ("duration_s", "sessions"),
    "views_per_session": ("session_pageviews", "sessions"),
    "avg_time_on_page": ("time_on_page_s", "pageviews"),
    "avg_scroll_depth": ("scroll_depth", "pageviews"),
}


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
    no line of it, and a page that was not viewed is no page. Without `engagement` its sums are 0.
    """
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
    query = source.add_columns(value.label("text"), key.label("key")).order_by(direction, ordered).limit(limit + 1)
    rows = (await db.execute(query)).mappings().all()
    lines = [
        Line(row["text"], Totals.of(dict(row)), int(row["time_on_page_s"]), int(row["scroll_depth"]))
        for row in rows[:limit]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return lines, None if last is None else After(last["key"], last["text"])


def _key(columns: Any, metric: LineMetric) -> ColumnElement[float]:
    if metric not in _QUOTIENTS:
        return columns[metric].cast(Double)  # type: ignore[no-any-return]
    part, whole = (columns[name].cast(Double) for name in _QUOTIENTS[metric])
    return case((whole == 0, literal(0.0, Double)), else_=part / whole)


def _comes_after(key: ColumnElement[float], value: ColumnElement[str], sort: Sort, after: After) -> ColumnElement[bool]:
    held = literal(after.key, Double)
    further = key < held if sort.descending else key > held
    return or_(further, and_(key == held, value > after.value))
