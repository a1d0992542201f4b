"""Questions about a website's numbers as the API takes them, and the shapes of the answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from analytics_app.shapes import DaysZone, Instant, PageQuery, Query, Shape
from analytics_app.stats.breakdowns import LINE_METRICS, parse_metrics, parse_sort
from analytics_app.stats.filters import DIMENSIONS, MOST_FILTERS, Filter, Op, dimension_named, parse_filter
from analytics_app.stats.logic import METRICS, Metric, Totals
from analytics_app.stats.periods import Compare, Interval, Period, period_of, read_moment

CSV_LINES = 100_000
"""Most lines of a breakdown as CSV, where no limit is asked for."""
OPS = "|".join(get_args(Op))
_DIMENSION = f"^({'|'.join(DIMENSIONS)}|property:.{{1,200}})$"
_ALIASES = {
    "total_pageviews": "pageviews",
    "unique_visitors": "visitors",
    "total_sessions": "sessions",
    "total_events": "events",
}


def _checked(read: Any) -> AfterValidator:
    """Accept a text that `read` can read; it is read where it is used."""

    def check(value: str) -> str:
        read(value)
        return value

    return AfterValidator(check)


Moment = Annotated[
    str,
    _checked(read_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "string", "format": "date-time"},
            ],
            "examples": ["2026-01-22"],
        }
    ),
]
FilterText = Annotated[
    str,
    _checked(parse_filter),
    WithJsonSchema({"type": "string", "pattern": f"^[a-z_]+(:.+)?:({OPS}):", "examples": ["country:is:GB"]}),
]
DimensionName = Annotated[
    str,
    _checked(dimension_named),
    WithJsonSchema({"type": "string", "pattern": _DIMENSION, "examples": ["page", "property:plan"]}),
]
Format = Literal["json", "csv"] | None
MetricName = Annotated[Metric, BeforeValidator(lambda value: _ALIASES.get(value, value))]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks about: which time, compared with which, of which selection."""

    period: Period
    previous: Period | None
    filters: tuple[Filter, ...]

    @property
    def spans(self) -> list[tuple[datetime, datetime]]:
        """Every stretch of time asked about."""
        return [(period.start, period.end) for period in (self.period, self.previous) if period]


class SpanQuery(Query):
    """A time."""

    start_date: Moment | None = Field(None, description="A date (its start) or a time; default: 7 days before the end")
    end_date: Moment | None = Field(None, description="A date (its end) or a time (itself left out); default: now")
    timezone: DaysZone = "UTC"

    def period(self, now: datetime) -> Period:
        """The period asked about. Raises `Invalid` where it is none."""
        start, end = (read_moment(said) if said else None for said in (self.start_date, self.end_date))
        return period_of(start, end, ZoneInfo(self.timezone), now)


class PeriodQuery(SpanQuery):
    """What every question about a time takes."""

    filter: list[FilterText] = Field(
        default_factory=list,
        max_length=MOST_FILTERS,
        description="`<dimension>:<op>:<value>`, repeated; all must hold",
    )

    def question(self, now: datetime) -> Question:
        """The question. Raises `Invalid` where its period is none."""
        period = self.period(now)
        compare: Compare | None = getattr(self, "compare", None)
        return Question(
            period, period.previous(compare) if compare else None, tuple(parse_filter(said) for said in self.filter)
        )


class ComparedQuery(PeriodQuery):
    """A question that may be compared with another time."""

    compare: Compare | None = Field(
        None, description="Also the numbers of the period before, or of the same dates a year earlier"
    )
    format: Format = Field(None, description="`csv` is also asked for by `Accept: text/csv`")


class StatsQuery(ComparedQuery):
    """What `stats` takes."""


class TimeseriesQuery(ComparedQuery):
    """What `timeseries` takes."""

    metric: MetricName = Field("pageviews", description="What is counted")
    interval: Interval = Field("day", description="How long a bucket is")


class BreakdownQuery(PeriodQuery, PageQuery):
    """What `breakdown` takes."""

    dimension: DimensionName = Field(description="What the numbers are broken down by")
    metrics: Annotated[str, _checked(parse_metrics)] = Field(
        "", description=f"Some of {', '.join(LINE_METRICS)}, comma-separated; default: all"
    )
    sort: Annotated[str, _checked(parse_sort)] = Field(
        "visitors:desc", description="`<metric>:desc` or `<metric>:asc`; equal ones by value"
    )
    format: Format = Field(None, description="`csv` is also asked for by `Accept: text/csv`")


class ExportQuery(PeriodQuery, PageQuery):
    """What `export` takes."""

    format: Format = Field(None, description="`csv` (also asked for by `Accept: text/csv`): every event, streamed")


class PeriodOut(Shape):
    """A period: from `start` to just before `end`."""

    start: Instant
    end: Instant


class FiguresOut(Shape):
    """The numbers of a period."""

    total_pageviews: int = Field(examples=[12543])
    unique_visitors: int = Field(examples=[3421], description="Exact, for any period and filter")
    bounce_rate: float = Field(examples=[42.5], description="Percent of the sessions")
    avg_session_duration: int = Field(examples=[185], description="Seconds")
    total_sessions: int
    total_events: int = Field(description="Everything tracked that is no pageview")
    views_per_session: float
    period: PeriodOut


class StatsOut(FiguresOut):
    """The numbers of a period, and of the one it is compared with."""

    previous: FiguresOut | None = None


class LineOut(Shape):
    """One value of a dimension; of the numbers those that `metrics` names."""

    value: str = Field(description="`(none)` where there is none")
    visitors: int | None = None
    pageviews: int | None = None
    sessions: int | None = None
    events: int | None = None
    bounce_rate: float | None = None
    avg_session_duration: int | None = None
    views_per_session: float | None = None
    avg_time_on_page: int | None = Field(None, description="Seconds, mean over the pageviews")
    avg_scroll_depth: float | None = Field(None, description="Percent, mean over the pageviews")


class EventOut(Shape):
    """A raw event with the dimensions of its session."""

    event_id: int
    timestamp: Instant
    type: str
    visitor: str | None = Field(description="The hash it is stored under")
    session_id: int
    path: str | None
    title: str | None
    name: str | None
    value: float | None
    currency: str | None
    properties: dict[str, Any] | None
    time_on_page: int = Field(description="Seconds")
    scroll_depth: int = Field(description="Percent")
    host: str | None
    referrer: str | None
    source: str | None
    channel: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None
    country: str | None
    device_type: str | None
    browser: str | None
    browser_version: str | None
    os: str | None
    os_version: str | None
    language: str | None
    screen: str | None


_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
TIMESERIES: dict[str, Any] = {
    "anyOf": [
        {**_NUMBERS, "examples": [{"2026-01-22": 1543, "2026-01-23": 1621, "2026-01-24": 1489}]},
        {
            "type": "object",
            "properties": {"current": _NUMBERS, "previous": _NUMBERS},
            "required": ["current", "previous"],
            "additionalProperties": False,
        },
    ]
}
"""What `timeseries` answers: a number for each bucket; with `compare` two such objects."""


def figures(totals: Totals, period: Period) -> dict[str, Any]:
    """The fields of `FiguresOut`."""
    return {
        "total_pageviews": totals.pageviews,
        "unique_visitors": totals.visitors,
        "bounce_rate": METRICS["bounce_rate"](totals),
        "avg_session_duration": METRICS["avg_session_duration"](totals),
        "total_sessions": totals.sessions,
        "total_events": totals.events,
        "views_per_session": METRICS["views_per_session"](totals),
        "period": {"start": period.start, "end": period.end},
    }
