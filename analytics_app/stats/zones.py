"""Days and wall clocks of a time zone, exact where a clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from analytics_app.shapes import zones

QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises ValueError where there is none."""
    if name not in zones():
        raise ValueError(f"unknown time zone {name[:64]!r}")
    return ZoneInfo(name)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first moment, in UTC, whose date in `zone` is `day` or later.

    Midnight twice (a clock set back): the first. No midnight (a clock set forward over it): the moment of the change.
    """
    start = datetime.combine(day, time.min, zone).astimezone(UTC)
    if start.astimezone(zone).date() == day and (start - timedelta(seconds=1)).astimezone(zone).date() < day:
        return start
    # The change does not fall on midnight itself: search the second at which the date turns.
    low, high = int((start - DAY).timestamp()), int((start + DAY).timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).date() >= day:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def is_day_start(at: datetime, zone: ZoneInfo) -> bool:
    """Whether a day of `zone` begins at `at`."""
    return day_start(at.astimezone(zone).date(), zone) == at


def hour_end(at: datetime, zone: ZoneInfo) -> datetime:
    """When the clock hour of `zone` that `at` lies in ends: at the next full hour, or where the clock is changed."""
    local = at.astimezone(zone)
    end = at + timedelta(minutes=60 - local.minute) - timedelta(seconds=local.second, microseconds=local.microsecond)
    if end.astimezone(zone).utcoffset() == local.utcoffset():
        return end
    low, high = int(at.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == local.utcoffset():
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def is_quarter(at: datetime) -> bool:
    """Whether `at` is a boundary of the quarter hours that are added up in advance."""
    return (at - _EPOCH) % QUARTER == timedelta(0)


def quarter_floor(at: datetime) -> datetime:
    """The start of the quarter hour that `at` lies in."""
    return at - (at - _EPOCH) % QUARTER


def quarter_ceil(at: datetime) -> datetime:
    """The first quarter hour that starts at `at` or later."""
    return at if is_quarter(at) else quarter_floor(at) + QUARTER
