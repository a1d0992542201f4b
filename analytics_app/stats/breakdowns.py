"""Breakdowns: the numbers of each value of a dimension."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from analytics_app.stats.filters import storable
from analytics_app.stats.logic import METRICS, Totals, mean, ratio

LineMetric = Literal[
    "visitors",
    "pageviews",
    "sessions",
    "events",
    "bounce_rate",
    "avg_session_duration",
    "views_per_session",
    "avg_time_on_page",
    "avg_scroll_depth",
]
LINE_METRICS: tuple[LineMetric, ...] = get_args(LineMetric)
OF_ENGAGEMENT: frozenset[LineMetric] = frozenset({"avg_time_on_page", "avg_scroll_depth"})


@dataclass(frozen=True, slots=True)
class Line:
    """One value of a dimension with its sums; those of engagement are over its pageviews."""

    value: str
    totals: Totals
    time_on_page_s: int = 0
    scroll_depth: int = 0

    def figures(self, metrics: tuple[LineMetric, ...]) -> dict[str, Any]:
        """`value` and the metrics asked for."""
        return {"value": self.value} | {name: FIGURES[name](self) for name in metrics}


FIGURES: Mapping[LineMetric, Callable[[Line], int | float]] = {
    **{name: lambda line, figure=figure: figure(line.totals) for name, figure in METRICS.items()},  # type: ignore[misc]
    "avg_time_on_page": lambda line: mean(line.time_on_page_s, line.totals.pageviews),
    "avg_scroll_depth": lambda line: ratio(line.scroll_depth, line.totals.pageviews),
}
"""How each metric of a line follows from its sums."""

QUOTIENTS: Mapping[LineMetric, tuple[str, str]] = {
    "bounce_rate": ("bounces", "sessions"),
    "avg_session_duration": ("duration_s", "sessions"),
    "views_per_session": ("session_pageviews", "sessions"),
    "avg_time_on_page": ("time_on_page_s", "pageviews"),
    "avg_scroll_depth": ("scroll_depth", "pageviews"),
}
"""The metrics by which lines are sorted before they are rounded, as parts of a whole."""


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of lines: by a metric, equal ones by their value (by code point)."""

    metric: LineMetric = "visitors"
    descending: bool = True

    def __str__(self) -> str:
        return f"{self.metric}:{'desc' if self.descending else 'asc'}"


@dataclass(frozen=True, slots=True)
class After:
    """Where a page of lines goes on: after the line with this key of the sort, and this value."""

    key: float
    value: str


def parse_sort(text: str) -> Sort:
    """The order that `<metric>`, `<metric>:desc` or `<metric>:asc` names. Raises ValueError on anything else."""
    metric, _, direction = text.partition(":")
    if metric not in LINE_METRICS or direction not in ("", "asc", "desc"):
        raise ValueError(f"must be <metric>:desc or <metric>:asc, with one of {', '.join(LINE_METRICS)}")
    return Sort(metric, direction != "asc")


def parse_metrics(text: str) -> tuple[LineMetric, ...]:
    """The metrics that a comma-separated list names, in its order; all for an empty one. Raises ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in LINE_METRICS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0][:64]!r}; there are {', '.join(LINE_METRICS)}")
    return tuple(dict.fromkeys(name for name in LINE_METRICS if not names or name in names))


def cursor_of(sort: Sort, after: After) -> list[Any]:
    """What a cursor says."""
    return [str(sort), after.key, after.value]


def parse_cursor(said: Any, sort: Sort) -> After:
    """Where the page goes on. Raises ValueError on a cursor of another list or order."""
    match said:
        case [str() as order, int() | float() as key, str() as value] if order == str(sort) and storable(value):
            return After(float(key), value)
    raise ValueError("must be the next_cursor of an earlier page of this list, in the same order")
