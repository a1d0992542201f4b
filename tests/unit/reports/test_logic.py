"""When reports fall due, in any zone, and how their numbers read."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.reports.logic import figure_of, last_period, latest_due, next_due, span_of, text_of
from analytics_app.stats.logic import Totals
from analytics_app.stats.periods import Period

LONDON, APIA, KATHMANDU = (ZoneInfo(name) for name in ("Europe/London", "Pacific/Apia", "Asia/Kathmandu"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "zone", "now", "slot", "at", "start", "end"),
    [
        ("daily", "UTC", "2026-01-29T08:00", "2026-01-29", "2026-01-29T08:00", "2026-01-28", "2026-01-29"),
        ("daily", "UTC", "2026-01-29T07:59", "2026-01-28", "2026-01-28T08:00", "2026-01-27", "2026-01-28"),
        # Clocks in London go forward at 01:00 on 29 March 2026: a day of 23 hours, reported at 07:00 UTC.
        ("daily", "Europe/London", "2026-03-30T07:00", "2026-03-30", "2026-03-30T07:00", "2026-03-29T00:00",
         "2026-03-29T23:00"),
        ("daily", "Europe/London", "2026-03-29T07:30", "2026-03-29", "2026-03-29T07:00", "2026-03-28T00:00",
         "2026-03-29T00:00"),
        # And back on 25 October: a day of 25 hours.
        ("daily", "Europe/London", "2026-10-26T08:00", "2026-10-26", "2026-10-26T08:00", "2026-10-24T23:00",
         "2026-10-26T00:00"),
        ("weekly", "UTC", "2026-02-01T23:00", "2026-01-26", "2026-01-26T08:00", "2026-01-19", "2026-01-26"),
        ("weekly", "Asia/Kathmandu", "2026-01-26T02:15", "2026-01-26", "2026-01-26T02:15", "2026-01-18T18:15",
         "2026-01-25T18:15"),
        ("weekly", "Asia/Kathmandu", "2026-01-26T02:14", "2026-01-19", "2026-01-19T02:15", "2026-01-11T18:15",
         "2026-01-18T18:15"),
        ("monthly", "UTC", "2026-03-01T08:00", "2026-03-01", "2026-03-01T08:00", "2026-02-01", "2026-03-01"),
        ("monthly", "UTC", "2026-03-01T07:59", "2026-02-01", "2026-02-01T08:00", "2026-01-01", "2026-02-01"),
        ("monthly", "UTC", "2024-03-31T23:59", "2024-03-01", "2024-03-01T08:00", "2024-02-01", "2024-03-01"),
    ],
)  # fmt: skip
def test_a_report_is_due_at_eight_in_its_zone_and_covers_what_is_over(frequency, zone, now, slot, at, start, end):
    due = latest_due(frequency, ZoneInfo(zone), utc(now))
    assert (due.slot, due.at) == (slot, utc(at))
    assert (due.period.start, due.period.end) == (utc(start), utc(end))


zones = st.sampled_from(["UTC", "Europe/London", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Asia/Gaza"])
times = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(st.sampled_from(["daily", "weekly", "monthly"]), zones, times)
def test_due_times_follow_each_other_and_their_periods_join(frequency, zone_name, now):
    zone = ZoneInfo(zone_name)
    due, following = latest_due(frequency, zone, now), next_due(frequency, zone, now)
    assert due.at <= now < following
    after = latest_due(frequency, zone, following)
    assert after.at == following
    assert after.slot > due.slot
    assert after.period.start == due.period.end
    assert latest_due(frequency, zone, following - timedelta(seconds=1)) == due
    shown = last_period(frequency, zone, now)
    assert shown.end <= now
    assert shown in (due.period, after.period)


def test_a_number_stands_beside_the_one_before_with_its_change():
    before = Totals(pageviews=100, visitors=0, sessions=50, bounces=25)
    now = Totals(pageviews=112, visitors=3, sessions=50, bounces=20)
    assert [(f.now, f.before, f.change, f.mood) for f in (figure_of(m, now, before) for m in (
        "pageviews", "visitors", "sessions", "bounce_rate", "events"))] == [
        ("112", "100", "+12 %", "good"),
        ("3", "0", "new", "good"),
        ("50", "50", "0 %", "same"),
        ("40 %", "50 %", "-10 pts", "good"),
        ("0", "0", "0 %", "same"),
    ]  # fmt: skip


def test_numbers_read_as_people_write_them():
    assert text_of("pageviews", 1234567) == "1,234,567"
    assert text_of("avg_session_duration", 185) == "3m 05s"
    assert text_of("views_per_session", 2.5) == "2.5"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-01-19", "2026-01-20", "Monday, 19 January 2026"),
        ("2026-01-19", "2026-01-26", "19 to 25 January 2026"),
        ("2026-01-01", "2026-02-01", "January 2026"),
        ("2026-01-26", "2026-02-02", "26 January to 1 February 2026"),
        ("2025-12-29", "2026-01-05", "29 December 2025 to 4 January 2026"),
    ],
)
def test_a_period_is_told_in_words(start, end, words):
    assert span_of(Period(utc(start), utc(end), ZoneInfo("UTC"))) == words
