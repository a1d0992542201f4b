from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.errors import Invalid
from analytics_app.stats.periods import Period, buckets_of, period_of, read_moment
from analytics_app.stats.zones import day_start, hour_end, is_quarter, quarter_ceil, quarter_floor, zone_named

NOW = datetime(2026, 1, 29, 12, 0, 0, 400_000, tzinfo=UTC)
ZONES = (
    "UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/London", "America/Havana", "Asia/Beirut", "America/Santiago",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca", "America/Scoresbysund",
)  # fmt: skip
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(1990, 1, 1), date(2030, 1, 1))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def asked(start=None, end=None, zone="UTC", now=NOW):
    return period_of(
        start and read_moment(start), end and read_moment(end), ZoneInfo(zone), now
    )  # fmt: skip


def keys(start, end, interval, zone="UTC"):
    return buckets_of(asked(start, end, zone), interval).keys


def test_without_dates_it_is_the_last_seven_days_to_the_end_of_this_second():
    period = asked()
    assert (period.start, period.end) == (utc("2026-01-22T12:00:01"), utc("2026-01-29T12:00:01"))


@pytest.mark.parametrize(
    ("start", "end", "zone", "since", "until"),
    [
        ("2026-01-22", "2026-01-28", "UTC", "2026-01-22T00:00", "2026-01-29T00:00"),
        ("2026-01-22", "2026-01-22", "Asia/Kathmandu", "2026-01-21T18:15", "2026-01-22T18:15"),
        ("2026-03-08", "2026-03-08", "America/St_Johns", "2026-03-08T03:30", "2026-03-09T02:30"),
        ("2026-03-29", "2026-03-29", "Europe/London", "2026-03-29T00:00", "2026-03-29T23:00"),
        ("2026-10-25", "2026-10-25", "Europe/London", "2026-10-24T23:00", "2026-10-26T00:00"),
        # The clock is set forward at midnight: the day begins at 01:00.
        ("2026-03-08", "2026-03-08", "America/Havana", "2026-03-08T05:00", "2026-03-09T04:00"),
        ("2026-03-29", "2026-03-29", "Asia/Beirut", "2026-03-28T22:00", "2026-03-29T21:00"),
        ("2026-09-06", "2026-09-06", "America/Santiago", "2026-09-06T04:00", "2026-09-07T03:00"),
        # It is set back to midnight: the first one counts.
        ("2026-11-01", "2026-11-01", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        ("2026-01-22T10:00:00Z", "2026-01-22T12:30:00+02:00", "UTC", "2026-01-22T10:00", "2026-01-22T10:30"),
        ("2026-01-22T10:00", "2026-01-22T11:00", "Asia/Kathmandu", "2026-01-22T04:15", "2026-01-22T05:15"),
        # A plus sign that a client did not escape.
        ("2026-01-22T10:00:00 01:00", "2026-01-22", "UTC", "2026-01-22T09:00", "2026-01-23T00:00"),
        (None, "2026-01-28", "UTC", "2026-01-22T00:00", "2026-01-29T00:00"),
        (None, "2026-01-28T06:00:00Z", "UTC", "2026-01-21T06:00", "2026-01-28T06:00"),
        ("2026-01-28", None, "UTC", "2026-01-28T00:00", "2026-01-29T12:00:01"),
    ],
)
def test_a_period_is_half_open_and_its_days_are_those_of_the_zone(start, end, zone, since, until):
    period = asked(start, end, zone)
    assert (period.start, period.end) == (utc(since), utc(until))


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        ("2026-01-29", "2026-01-28", "start_date"),
        ("2026-01-29T00:00:00Z", "2026-01-28", "start_date"),
        ("2026-01-28T00:00:01Z", "2026-01-28T00:00:00Z", "start_date"),
        ("2026-01-30", None, "start_date"),
        ("2010-01-01", "2026-01-28", "start_date"),
    ],
)
def test_a_period_that_is_none_or_too_long_is_refused(start, end, field):
    with pytest.raises(Invalid) as refused:
        asked(start, end)
    assert [fault.field for fault in refused.value.details] == [field]


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-01-22T25:00", "1969-12-31", "2100-01-01", "1e9"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError):
        read_moment(text)


@pytest.mark.parametrize("name", ["", "Mars/Base", "../etc/passwd", "localtime", "right/UTC", "america/havana"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ValueError):
        zone_named(name)


def test_every_day_has_a_bucket_also_the_partial_ones():
    assert keys("2026-01-22T12:00:00Z", "2026-01-24T00:00:01Z", "day") == ["2026-01-22", "2026-01-23", "2026-01-24"]


def test_weeks_are_called_by_their_monday_and_months_by_their_first_day():
    assert keys("2026-01-01", "2026-01-12", "week") == ["2025-12-29", "2026-01-05", "2026-01-12"]
    assert keys("2025-12-15", "2026-02-01", "month") == ["2025-12-01", "2026-01-01", "2026-02-01"]


def test_an_hour_that_does_not_exist_has_no_bucket():
    assert keys("2026-03-29T00:00", "2026-03-29T03:00", "hour", "Europe/London") == [
        "2026-03-29T00:00",
        "2026-03-29T02:00",
    ]


def test_an_hour_that_the_clock_repeats_is_told_apart_by_its_offset():
    found = keys("2026-10-25T00:00", "2026-10-25T03:00", "hour", "Europe/London")
    assert found == [
        "2026-10-25T00:00",
        "2026-10-25T01:00",
        "2026-10-25T01:00+00:00",
        "2026-10-25T02:00",
    ]
    assert found == sorted(found)


def test_a_day_that_the_zone_skipped_has_no_bucket():
    assert keys("2011-12-29", "2011-12-31", "day", "Pacific/Apia") == ["2011-12-29", "2011-12-31"]


def test_by_the_hour_a_period_is_three_months_at_most():
    assert len(keys("2026-01-01", "2026-03-31", "hour")) == 90 * 24
    with pytest.raises(Invalid):
        keys("2026-01-01", "2026-12-31", "hour")


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
@given(zone=zones, day=days, length=st.integers(1, 60 * 24 * 40), offset=st.integers(0, 1439))
def test_buckets_follow_each_other_without_gap_and_their_keys_are_distinct_and_in_order(
    interval, zone, day, length, offset
):
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=offset)
    buckets = buckets_of(Period(start, start + timedelta(minutes=length), zone), interval)
    assert buckets.starts[0] == start
    assert all(one < other for one, other in pairwise([*buckets.starts, buckets.end]))
    assert len(set(buckets.keys)) == len(buckets.keys)
    # Those set their clocks by half hours, at 00:01, or at a quarter to: an hour then comes again after the next one.
    if zone.key not in ("Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham"):
        assert buckets.keys == sorted(buckets.keys)


@given(zone=zones, day=days)
def test_a_day_starts_when_its_date_first_shows(zone, day):
    start = day_start(day, zone)
    assert start.astimezone(zone).date() >= day
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < day
    assert is_quarter(start)


@given(zone=zones, at=st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)))
def test_a_clock_hour_ends_within_the_hour(zone, at):
    moment = at.replace(tzinfo=UTC)
    assert moment < hour_end(moment, zone) <= moment + timedelta(hours=1)


@given(at=st.datetimes(datetime(1970, 1, 1), datetime(2099, 1, 1)))
def test_quarter_hours_enclose_a_moment(at):
    moment = at.replace(tzinfo=UTC)
    assert quarter_floor(moment) <= moment <= quarter_ceil(moment)
    assert quarter_ceil(moment) - quarter_floor(moment) in (timedelta(0), timedelta(minutes=15))


@pytest.mark.parametrize(
    ("start", "end", "zone", "compare", "since", "until"),
    [
        ("2026-01-22", "2026-01-28", "UTC", "previous_period", "2026-01-15T00:00", "2026-01-22T00:00"),
        # Seven days before a week in which the clock changes are seven days.
        ("2026-03-23", "2026-03-29", "Europe/London", "previous_period", "2026-03-16T00:00", "2026-03-23T00:00"),
        ("2026-03-30", "2026-04-05", "Europe/London", "previous_period", "2026-03-23T00:00", "2026-03-29T23:00"),
        ("2026-01-22T10:00Z", "2026-01-22T12:00Z", "UTC", "previous_period", "2026-01-22T08:00", "2026-01-22T10:00"),
        ("2026-01-22", "2026-01-28", "UTC", "previous_year", "2025-01-22T00:00", "2025-01-29T00:00"),
        ("2024-02-29", "2024-02-29", "UTC", "previous_year", "2023-02-28T00:00", "2023-03-01T00:00"),
        ("2025-02-28", "2025-02-28", "UTC", "previous_year", "2024-02-28T00:00", "2024-02-29T00:00"),
        ("2026-03-29", "2026-03-29", "Europe/London", "previous_year", "2025-03-29T00:00", "2025-03-30T00:00"),
        ("2026-01-22T10:00Z", "2026-01-22T12:00Z", "UTC", "previous_year", "2025-01-22T10:00", "2025-01-22T12:00"),
    ],
)
def test_the_period_to_compare_with(start, end, zone, compare, since, until):
    previous = asked(start, end, zone).previous(compare)
    assert (previous.start, previous.end) == (utc(since), utc(until))
