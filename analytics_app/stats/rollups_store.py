"""Additive sums by bucket: of whole quarter hours from rollups, at the edges of a period from rows."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Integer, Select, bindparam, func, literal, select, true

from analytics_app.db import Time
from analytics_app.stats.groups_store import bucket
from analytics_app.stats.models import TrafficRollupRow
from analytics_app.stats.selection_store import (
    EVENTS,
    EVERYTHING,
    SESSIONS,
    Selection,
    happened,
    started,
    under_way,
)
from analytics_app.stats.sums_store import IS_PAGEVIEW, added_up, arm
from analytics_app.stats.zones import quarter_ceil, quarter_floor

ROLLUPS = TrafficRollupRow.__table__.alias("r")
Stretch = tuple[datetime, datetime]
ADDITIVE = ("pageviews", "events", "sessions", "bounces", "duration_s", "session_pageviews")


def total(
    website_id: int, start: datetime, end: datetime, *, visitors: Literal["who", "visitors"] | None = None
) -> tuple[Any, dict[str, Any]]:
    """A query for the additive sums of `[start, end)`, and its parameters; the row, if any, has nulls for what is not.

    Asked for `visitors` there is a row, with their number under that name, or for `who` their numbers.
    Putting such a query together takes longer than answering it; those of one shape are made once.
    """
    whole, edges = _stretches(start, end)
    moments = [moment for stretch in ((start, end), *whole, *edges) for moment in stretch]
    return _query_of_shape(len(whole), len(edges), visitors), {
        "website_id": website_id,
        **{f"at_{number}": moment for number, moment in enumerate(moments)},
    }


@cache
def _query_of_shape(whole: int, edges: int, visitors: str | None) -> Any:
    website: Any = bindparam("website_id", type_=Integer)
    moments: list[Any] = [bindparam(f"at_{number}", type_=Time) for number in range(2 * (1 + whole + edges))]
    (start, end), *stretches = zip(moments[::2], moments[1::2], strict=True)
    sums = _added_up(website, stretches[:whole], stretches[whole:], None)
    if visitors is None:
        return select(sums)
    seen = select(SESSIONS.c.visitor).where(under_way(website, start, end)).distinct().subquery()
    number = func.array_agg(seen.c.visitor, type_=ARRAY(BigInteger)) if visitors == "who" else func.count()
    told = select(number.label(visitors)).select_from(seen).subquery()
    return select(told, *(sums.c[name] for name in ADDITIVE)).select_from(told.outerjoin(sums, true()))


def rolled_up(website_id: int, start: datetime, end: datetime, starts: Sequence[datetime]) -> Any:
    """Additive sums of `[start, end)` by bucket."""
    return _added_up(website_id, *_stretches(start, end), starts)


def _stretches(start: datetime, end: datetime) -> tuple[list[Stretch], list[Stretch]]:
    """The whole quarter hours of `[start, end)`, as one stretch, and what is left at its edges; never nothing."""
    first, last = quarter_ceil(start), quarter_floor(end)
    if first > last:
        return [], [(start, end)]
    whole, edges = ([(since, until)] if since < until else [] for since, until in ((first, last), (start, first)))
    edges += [(last, end)] if last < end else []
    return whole, edges or ([] if whole else [(start, end)])


def _added_up(
    website_id: int, whole: Sequence[Stretch], edges: Sequence[Stretch], starts: Sequence[datetime] | None
) -> Any:
    """Additive sums by bucket: of whole quarter hours from rollups, at the edges from rows."""
    arms = [
        arm(ROLLUPS, number_of(ROLLUPS.c.bucket, starts), **{name: func.sum(ROLLUPS.c[name]) for name in ADDITIVE})
        .where(ROLLUPS.c.website_id == website_id, ROLLUPS.c.bucket >= first, ROLLUPS.c.bucket < last)
        .group_by("grp")
        for first, last in whole
    ]
    for since, until in edges:
        arms += [
            arm(
                EVENTS,
                number_of(EVENTS.c.at, starts),
                pageviews=func.count().filter(IS_PAGEVIEW),
                events=func.count().filter(~IS_PAGEVIEW),
            )
            .where(happened(website_id, since, until))
            .group_by("grp"),
            begun(website_id, since, until, EVERYTHING, starts),
        ]
    return added_up(arms)


def number_of(column: ColumnElement[Any], starts: Sequence[datetime] | None) -> ColumnElement[int]:
    """The number of the bucket that a time lies in; 1 without buckets."""
    return literal(1, Integer) if starts is None else bucket(column, starts)


def begun(
    website_id: int, start: datetime, end: datetime, selection: Selection, starts: Sequence[datetime] | None
) -> Select[Any]:
    """What counts by the start of a session."""
    return (
        arm(
            SESSIONS,
            number_of(SESSIONS.c.started_at, starts),
            sessions=func.count(),
            bounces=func.count().filter(SESSIONS.c.is_bounce),
            duration_s=func.sum(SESSIONS.c.duration_s),
            session_pageviews=func.sum(SESSIONS.c.pageviews),
        )
        .where(started(website_id, start, end), *selection.of_sessions())
        .group_by("grp")
    )
