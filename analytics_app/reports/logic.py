"""When a report is due and what it covers, and how its numbers are put in words: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from analytics_app.stats.logic import METRICS, Metric, Totals
from analytics_app.stats.periods import Period
from analytics_app.stats.zones import day_start

Frequency = Literal["daily", "weekly", "monthly"]
Section = Literal["pages", "sources", "countries", "goals"]

SENT_AT = time(8, 0)
"""Local time of the due day at which a report is sent."""

LABELS: dict[Metric, str] = {
    "pageviews": "Pageviews",
    "visitors": "Unique visitors",
    "sessions": "Sessions",
    "events": "Events",
    "bounce_rate": "Bounce rate",
    "avg_session_duration": "Session duration",
    "views_per_session": "Views per session",
}
BETTER_WHEN_LOWER: frozenset[Metric] = frozenset({"bounce_rate"})


@dataclass(frozen=True, slots=True)
class Due:
    """One time a report is due: `slot` names it, `at` is when, `period` what it tells of."""

    slot: str
    at: datetime
    period: Period


def latest_due(frequency: Frequency, zone: ZoneInfo, now: datetime) -> Due:
    """The latest time at or before `now` at which a report of that frequency was due in `zone`.

    Daily: each day, of the day before. Weekly: on Monday, of Monday to Sunday before. Monthly: on the 1st, of the month
    before. An hour that the clock skips counts as the one after it.
    """
    day = now.astimezone(zone).date()
    if _at(day, zone) > now:
        day -= timedelta(days=1)
    day = _due_day(frequency, day)
    return Due(day.isoformat(), _at(day, zone), _period_before(frequency, day, zone))


def next_due(frequency: Frequency, zone: ZoneInfo, now: datetime) -> datetime:
    """The first time after `now` at which a report of that frequency is due in `zone`."""
    day = latest_due(frequency, zone, now).at.astimezone(zone).date()
    if frequency == "monthly":
        return _at((day + timedelta(days=31)).replace(day=1), zone)
    return _at(day + timedelta(days=7 if frequency == "weekly" else 1), zone)


def last_period(frequency: Frequency, zone: ZoneInfo, now: datetime) -> Period:
    """The latest whole day, week or month that is over in `zone`: what a report shows when it is asked for now."""
    return _period_before(frequency, _due_day(frequency, now.astimezone(zone).date()), zone)


def _due_day(frequency: Frequency, day: date) -> date:
    """The latest day, `day` included, on which a report of that frequency is due."""
    if frequency == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if frequency == "monthly" else day


def _at(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, SENT_AT, zone).astimezone(UTC)


def _period_before(frequency: Frequency, day: date, zone: ZoneInfo) -> Period:
    """The day, week or month that ends where `day` begins."""
    if frequency == "monthly":
        first = (day - timedelta(days=1)).replace(day=1)
    else:
        first = day - timedelta(days=7 if frequency == "weekly" else 1)
    return Period(day_start(first, zone), day_start(day, zone), zone)


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric in words, beside the period before."""

    label: str
    now: str
    before: str
    change: str
    """Signed, in percent (`+12 %`); of rates in points (`-1.5 pts`); `new` where there was nothing, `0 %` for none."""
    mood: Literal["good", "bad", "same"]


@dataclass(frozen=True, slots=True)
class Table:
    """A titled list: `what` the names are, and what the numbers count in `column`."""

    title: str
    what: str
    column: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a report tells."""

    website: str
    host: str
    name: str
    frequency: Frequency
    span: str
    figures: Sequence[Figure]
    tables: Sequence[Table]
    keys: Sequence[str]
    visitors: Sequence[int]
    visitors_before: Sequence[int]

    @property
    def subject(self) -> str:
        """The subject of its mail."""
        return f"{self.name}: {self.host}, {self.span}"


def figure_of(metric: Metric, now: Totals, before: Totals) -> Figure:
    """The metric of two periods in words."""
    value, earlier = METRICS[metric](now), METRICS[metric](before)
    if metric == "bounce_rate":
        points = round(value - earlier, 1)
        change = f"{points:+g} pts" if points else "0 pts"
    elif earlier == 0:
        change = "new" if value else "0 %"
    else:
        percent = round(100 * (value - earlier) / earlier)
        change = f"{percent:+d} %" if percent else "0 %"
    rises = value > earlier
    mood: Literal["good", "bad", "same"] = "same"
    if value != earlier:
        mood = "good" if rises != (metric in BETTER_WHEN_LOWER) else "bad"
    return Figure(LABELS[metric], text_of(metric, value), text_of(metric, earlier), change, mood)


def text_of(metric: Metric, value: float) -> str:
    """A metric's value for people: `12,543`, `42.5 %`, `3m 05s`, `2.31`."""
    if metric == "bounce_rate":
        return f"{value:g} %"
    if metric == "avg_session_duration":
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes}m {seconds:02d}s"
    if metric == "views_per_session":
        return f"{value:g}"
    return f"{value:,}"


def span_of(period: Period) -> str:
    """The period in words: `Monday, 19 January 2026`, `19 to 25 January 2026`, `28 December 2025 to 3 January 2026`."""
    first = period.start.astimezone(period.zone).date()
    last = period.end.astimezone(period.zone).date() - timedelta(days=1)
    if first == last:
        return f"{first:%A}, {first.day} {first:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        whole = first.day == 1 and (last + timedelta(days=1)).day == 1
        return f"{first:%B %Y}" if whole else f"{first.day} to {last.day} {last:%B %Y}"
    if first.year == last.year:
        return f"{first.day} {first:%B} to {last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
