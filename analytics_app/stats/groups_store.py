"""What sums are grouped by: nothing, buckets of time, or the values of a dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Integer, func, literal, null

from analytics_app.db import Time
from analytics_app.stats.filters import Dimension
from analytics_app.stats.selection_store import EVENTS, SESSIONS, none_term, property_text


@dataclass(frozen=True, slots=True)
class Group:
    """An expression by which events are grouped, and one by which sessions are.

    None for the latter: a session counts in the group of each of its events.
    """

    of_event: ColumnElement[Any]
    of_session: ColumnElement[Any] | None


WHOLE = Group(null().cast(Integer), null().cast(Integer))
"""Everything in one group."""


def bucket(column: ColumnElement[Any], starts: Sequence[datetime]) -> ColumnElement[int]:
    """The number of the bucket, from 1, that a time lies in; 0 before the first, the last for any time after."""
    return func.width_bucket(column, literal(list(starts), ARRAY(Time)), type_=Integer)


def by_time(starts: Sequence[datetime]) -> Group:
    """Grouped into buckets: events by their time, sessions by their start."""
    return Group(bucket(EVENTS.c.at, starts), bucket(SESSIONS.c.started_at, starts))


def by_dimension(website_id: int, dimension: Dimension) -> Group:
    """Grouped by a dimension: values are numbers of terms (texts of a property), null where missing."""
    if dimension.kind is None:
        return Group(property_text(dimension.column), None)
    if dimension.of_event:
        return Group(EVENTS.c[dimension.column], None)
    value = func.nullif(SESSIONS.c[dimension.column], none_term(website_id, dimension.kind), type_=Integer)
    return Group(value, value)
