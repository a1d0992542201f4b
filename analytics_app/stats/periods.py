"""Periods of time that questions are about, and the buckets they fall into."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from analytics_app.errors import FaultyField, Invalid
from analytics_app.stats.zones import day_start, hour_end, is_day_start, zone_named

T = TypeVar("T")
Interval = Literal["hour", "day", "week", "month"]
Compare = Literal["previous_period", "previous_year"]

DEFAULT_DAYS = 7
LONGEST = timedelta(days=3_660)
LONGEST_HOURLY = timedelta(days=93)  # any three months
EARLIEST = date(1970, 1, 1)
LATEST = date(2100, 1, 1)
# A plus sign that was not escaped in the query string arrives as a space.
_UNESCAPED_OFFSET = re.compile(r" (\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True)
class Period:
    """The half-open time from `start` to `end`, in UTC, asked about from `zone`."""

    start: datetime
    end: datetime
    zone: ZoneInfo

    def previous(self, compare: Compare) -> "Period":
        """The period to compare with: as long and just before, or the same dates a year earlier.

        Whole days stay whole days, whatever the clock did meanwhile.
        """
        whole = is_day_start(self.start, self.zone) and is_day_start(self.end, self.zone)
        first, last = self.start.astimezone(self.zone), self.end.astimezone(self.zone)
        if compare == "previous_year":
            if whole and self.end > self.start:
                until = _year_before(last.date() - timedelta(days=1)) + timedelta(days=1)
                return Period(day_start(_year_before(first.date()), self.zone), day_start(until, self.zone), self.zone)
            return Period(_moment_year_before(first), _moment_year_before(last), self.zone)
        if whole:
            start = day_start(first.date() - (last.date() - first.date()), self.zone)
        else:
            start = self.start - (self.end - self.start)
        return Period(start, self.start, self.zone)


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of a period: bucket i is called `keys[i]` and runs from `starts[i]` to the next start, or `end`."""

    keys: list[str]
    starts: list[datetime]
    end: datetime


def parse_period(start: str | None, end: str | None, timezone: str, now: datetime) -> Period:
    """The period that `start_date`, `end_date` and `timezone` of a request say; the last 7 days where they do not.

    A bare start date is the start of that day in the zone, a bare end date the end of it. The time now counts to the
    end of its second. Raises `Invalid` with every fault.
    """
    faults: list[FaultyField] = []

    def read(field: str, parse: Callable[[], T]) -> T | None:
        try:
            return parse()
        except ValueError as error:
            faults.append(FaultyField(field, str(error)))
            return None

    zone = read("timezone", lambda: zone_named(timezone))
    held = zone or ZoneInfo("UTC")
    since = read("start_date", lambda: _moment(start, held, end=False)) if start else None
    until = read("end_date", lambda: _moment(end, held, end=True)) if end else None
    if faults or zone is None:
        raise Invalid("The period is not valid", details=faults)
    if until is None:
        until = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    if since is None:
        if end and is_day_start(until, zone):
            since = day_start(until.astimezone(zone).date() - timedelta(days=DEFAULT_DAYS), zone)
        else:
            since = until - timedelta(days=DEFAULT_DAYS)
    if since > until:
        message = "lies after end_date" if end else "lies in the future"
        raise Invalid("The period is not valid", details=[FaultyField("start_date", message)])
    if until - since > LONGEST:
        raise Invalid("The period is not valid", details=[FaultyField("start_date", "a period is 10 years at most")])
    return Period(since, until, zone)


def buckets_of(period: Period, interval: Interval) -> Buckets:
    """The buckets of `period`, in order, each with some time in it; the first and the last may be partial.

    Keys are dates (of a week the Monday, of a month the 1st, also where they lie before the period), of hours
    `2026-01-22T13:00`. An hour that the clock repeats has its offset added the second time.
    Raises `Invalid` where there would be too many.
    """
    if interval == "hour":
        if period.end - period.start > LONGEST_HOURLY:
            message = "by the hour a period is 93 days at most"
            raise Invalid("The period is not valid", details=[FaultyField("interval", message)])
        return _hours(period)
    keys, starts = [], []
    for day, start in _days(period, interval):
        keys.append(day.isoformat())
        starts.append(start)
    return Buckets(keys, starts, period.end)


def _days(period: Period, interval: Interval) -> Iterator[tuple[date, datetime]]:
    """First days of the buckets, and when these start within the period."""
    day = period.start.astimezone(period.zone).date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    start = day_start(day, period.zone)
    while start < period.end:
        following = _following(day, interval)
        end = day_start(following, period.zone)
        if max(start, period.start) < end:  # a day that the zone skipped has no time in it
            yield day, max(start, period.start)
        day, start = following, end


def _hours(period: Period) -> Buckets:
    keys: list[str] = []
    starts: list[datetime] = []
    at = period.start
    while at < period.end:
        local = at.astimezone(period.zone)
        key = local.strftime("%Y-%m-%dT%H:00")
        if local.fold:
            key += local.isoformat()[-6:]
        keys.append(key)
        starts.append(at)
        at = hour_end(at, period.zone)
    return Buckets(keys, starts, period.end)


def _following(day: date, interval: Interval) -> date:
    if interval == "month":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day + timedelta(days=7 if interval == "week" else 1)


def _moment(text: str, zone: ZoneInfo, *, end: bool) -> datetime:
    """What a date or time of a request means. Raises ValueError with what is wrong."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is not None:
        _in_range(day)
        return day_start(day + timedelta(days=1) if end else day, zone)
    try:
        moment = datetime.fromisoformat(_UNESCAPED_OFFSET.sub(r"+\1", text))
    except ValueError:
        raise ValueError("must be a date or time as in 2026-01-22 or 2026-01-22T13:00:00Z") from None
    _in_range(moment.date())
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _in_range(day: date) -> None:
    if not EARLIEST <= day < LATEST:
        raise ValueError("must lie between 1970 and 2099")


def _year_before(day: date) -> date:
    leap = day.month == 2 and day.day == 29
    return day.replace(year=day.year - 1, day=28 if leap else day.day)


def _moment_year_before(local: datetime) -> datetime:
    day = _year_before(local.date())
    return local.replace(year=day.year, month=day.month, day=day.day).astimezone(UTC)
