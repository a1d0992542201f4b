"""Periods of time that questions are about, and the buckets they fall into."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from analytics_app.errors import FaultyField, Invalid
from analytics_app.stats.zones import day_start, hour_end, is_day_start

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


def read_moment(text: str) -> date | datetime:
    """The day, or the time (with or without an offset), that a request says. Raises ValueError with what is wrong."""
    try:
        found: date = date.fromisoformat(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(_UNESCAPED_OFFSET.sub(r"+\1", text))
        except ValueError:
            raise ValueError("must be a date or time as in 2026-01-22 or 2026-01-22T13:00:00Z") from None
    if not EARLIEST <= date(found.year, found.month, found.day) < LATEST:
        raise ValueError("must lie between 1970 and 2099")
    return found


def period_of(start: date | datetime | None, end: date | datetime | None, zone: ZoneInfo, now: datetime) -> Period:
    """The period from `start` to `end`: the last 7 days until now where they do not say.

    A bare start date is the start of that day in the zone, a bare end date the end of it. The time now counts to the
    end of its second. Raises `Invalid` where there is no such period, or too long a one.
    """
    if end is None:
        until = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    else:
        until = _moment(end, zone, days=1)
    if start is not None:
        since = _moment(start, zone, days=0)
    elif end is None or isinstance(end, datetime):
        since = until - timedelta(days=DEFAULT_DAYS)
    else:
        since = day_start(end - timedelta(days=DEFAULT_DAYS - 1), zone)
    bare = end is not None and not isinstance(end, datetime)
    # The end of a bare date is the start of the next: what starts there starts after that date.
    if since > until or (bare and since == until and start != end):
        raise _invalid("start_date", "lies in the future" if end is None else "lies after end_date")
    if until - since > LONGEST:
        raise _invalid("start_date", "a period is 10 years at most")
    return Period(since, until, zone)


def buckets_of(period: Period, interval: Interval) -> Buckets:
    """The buckets of `period`, in order, each with some time in it; the first and the last may be partial.

    Keys are dates (of a week the Monday, of a month the 1st, also where they lie before the period), of hours
    `2026-01-22T13:00`. An hour that the clock repeats has its offset added the second time.
    Raises `Invalid` where there would be too many.
    """
    if interval == "hour":
        if period.end - period.start > LONGEST_HOURLY:
            raise _invalid("interval", "by the hour a period is 93 days at most")
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


def _moment(said: date | datetime, zone: ZoneInfo, *, days: int) -> datetime:
    """The moment that is said; of a day its start, `days` later."""
    if isinstance(said, datetime):
        return (said if said.tzinfo else said.replace(tzinfo=zone)).astimezone(UTC)
    return day_start(said + timedelta(days=days), zone)


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("The period is not valid", details=[FaultyField(field, message)])


def _year_before(day: date) -> date:
    leap = day.month == 2 and day.day == 29
    return day.replace(year=day.year - 1, day=28 if leap else day.day)


def _moment_year_before(local: datetime) -> datetime:
    day = _year_before(local.date())
    return local.replace(year=day.year, month=day.month, day=day.day).astimezone(UTC)
