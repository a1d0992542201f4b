"""The numbers themselves: what is added up, and what follows from the sums."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

Metric = Literal[
    "pageviews", "visitors", "sessions", "events", "bounce_rate", "avg_session_duration", "views_per_session"
]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a period (or a bucket, or one value of a dimension); `visitors` is a count of distinct ones.

    `pageviews` and `events` count by their own time; `sessions`, `bounces`, `duration_s` and `session_pageviews` by
    the start of the session.
    """

    visitors: int = 0
    pageviews: int = 0
    events: int = 0
    sessions: int = 0
    bounces: int = 0
    duration_s: int = 0
    session_pageviews: int = 0

    @classmethod
    def of(cls, row: Mapping[str, object]) -> Self:
        """The totals in a row of the database, whose sums may be decimals, or null where nothing was."""
        return cls(**{field.name: int(row.get(field.name) or 0) for field in fields(cls)})  # type: ignore[call-overload]


def percent(part: int, whole: int) -> float:
    """`part` of `whole` in percent, to 2 decimals (half to even); 0 where there is nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def mean(total: int, count: int) -> int:
    """The mean in whole units (half to even); 0 where there is nothing."""
    return round(total / count) if count else 0


def ratio(total: int, count: int) -> float:
    """`total` for each of `count`, to 2 decimals (half to even); 0 where there is nothing."""
    return round(total / count, 2) if count else 0.0


METRICS: dict[Metric, Callable[[Totals], int | float]] = {
    "pageviews": lambda totals: totals.pageviews,
    "visitors": lambda totals: totals.visitors,
    "sessions": lambda totals: totals.sessions,
    "events": lambda totals: totals.events,
    "bounce_rate": lambda totals: percent(totals.bounces, totals.sessions),
    "avg_session_duration": lambda totals: mean(totals.duration_s, totals.sessions),
    "views_per_session": lambda totals: ratio(totals.session_pageviews, totals.sessions),
}
"""How each metric follows from the sums."""


NEEDS: dict[Metric, frozenset[str]] = {
    "pageviews": frozenset({"pageviews"}),
    "visitors": frozenset({"visitors"}),
    "sessions": frozenset({"sessions"}),
    "events": frozenset({"events"}),
    "bounce_rate": frozenset({"bounces", "sessions"}),
    "avg_session_duration": frozenset({"duration_s", "sessions"}),
    "views_per_session": frozenset({"session_pageviews", "sessions"}),
}
"""The sums that each metric follows from."""
