from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.partitions import around, following, is_partition, months, shifted

moments = st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


def month(year, number):
    return datetime(year, number, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("events_2026_11", True),
        ("sessions_2027_01", True),
        ("events_other", True),
        ("sessions_other", True),
        ("events_2026_11_website_id_at_idx", True),
        ("events", False),
        ("events_pkey", False),
        ("session_states", False),
        ("sessions_2026", False),
        ("my_events_2026_11", False),
        ("terms_2026_11", False),
        ("events_2026_111", False),
    ],
)
def test_a_partition_is_known_by_its_name(name, is_one):
    assert is_partition(name) is is_one


def test_the_months_of_a_span_are_those_of_both_ends_and_all_between():
    span = months(datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    assert list(span) == [month(2026, 11), month(2026, 12), month(2027, 1), month(2027, 2)]


def test_a_span_within_a_month_is_that_month():
    assert list(months(datetime(2026, 2, 3, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC))) == [month(2026, 2)]


@given(moments)
def test_months_follow_each_other_without_a_hole(moment):
    first, second = list(months(moment, shifted(moment, 1)))
    assert following(first) == second
    assert first <= moment < second
    assert timedelta(days=28) <= second - first <= timedelta(days=31)


@given(moments, st.integers(-300, 300))
def test_months_away_and_back_is_where_it_began(moment, by):
    assert shifted(shifted(moment, by), -by) == shifted(moment, 0)


def test_partitions_are_made_from_last_month_to_three_months_ahead():
    assert around(datetime(2026, 12, 31, 23, tzinfo=UTC)) == (month(2026, 11), month(2027, 3))
    assert around(datetime(2027, 1, 1, tzinfo=UTC)) == (month(2026, 12), month(2027, 4))
