"""What is out of the ordinary, and what is not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.alerts.logic import WEEKS, Verdict, judge, sentence_of, windows

NOW = datetime(2026, 3, 30, 12, 34, tzinfo=UTC)
counts = st.integers(0, 100_000)


def test_the_last_hour_is_compared_with_the_same_one_of_the_weeks_before():
    spans = windows(NOW, 60, NOW - timedelta(weeks=10))
    assert spans[0] == (NOW - timedelta(hours=1), NOW)
    assert [start for start, _ in spans[1:]] == [NOW - timedelta(weeks=w, hours=1) for w in range(1, WEEKS + 1)]


def test_weeks_from_before_the_first_event_say_nothing():
    assert len(windows(NOW, 60, NOW - timedelta(weeks=2, hours=1))) == 3
    assert len(windows(NOW, 60, NOW - timedelta(weeks=2))) == 2
    assert len(windows(NOW, 60, NOW)) == 1


@pytest.mark.parametrize(
    ("kind", "found", "threshold", "least", "fires"),
    [
        ("traffic_spike", [200, 100, 100, 100, 100], 50, 20, True),
        ("traffic_spike", [150, 100, 100, 100, 100], 50, 20, False),  # at the threshold, not above it
        ("traffic_spike", [151, 100, 100, 100, 100], 50, 20, True),
        ("traffic_spike", [19, 0, 0, 0, 0], 50, 20, False),  # too few to speak of
        ("traffic_spike", [20, 0, 0, 0, 0], 50, 20, True),
        ("traffic_spike", [1000, 100], 50, 20, False),  # one week is no habit
        ("traffic_spike", [100, 100, 10, 100, 10], 50, 20, True),  # 55 are usual: above 82.5, and by more than 22
        ("traffic_drop", [49, 100, 100, 100, 100], 50, 20, True),
        ("traffic_drop", [50, 100, 100, 100, 100], 50, 20, False),
        ("traffic_drop", [0, 19, 19, 19, 19], 50, 20, False),  # never busy
        ("traffic_drop", [9, 20, 20, 20, 20], 50, 20, False),  # chance: 3 deviations of 20 are 13.4
        ("traffic_drop", [6, 20, 20, 20, 20], 50, 20, True),
        ("goal_silence", [0, 5, 6, 7, 5], 50, 5, True),
        ("goal_silence", [1, 5, 6, 7, 5], 50, 5, False),
        ("goal_silence", [0, 4, 4, 4, 4], 50, 5, False),
    ],
)  # fmt: skip
def test_it_fires_beyond_the_threshold_and_beyond_chance(kind, found, threshold, least, fires):
    assert judge(kind, found, threshold, least).fires is fires


@given(st.sampled_from(["traffic_spike", "traffic_drop", "goal_silence"]), st.lists(counts, min_size=1, max_size=5))
def test_what_is_as_usual_never_fires(kind, found):
    usual = round(judge(kind, found, 50, 20).usual)
    if usual:
        assert not judge(kind, [usual, *found[1:]], 50, 20).fires


@given(st.lists(counts, min_size=3, max_size=5), counts)
def test_more_traffic_never_turns_a_spike_into_none_nor_a_drop_into_one(found, more):
    higher = [found[0] + more, *found[1:]]
    if judge("traffic_spike", found, 50, 20).fires:
        assert judge("traffic_spike", higher, 50, 20).fires
    if not judge("traffic_drop", found, 50, 20).fires:
        assert not judge("traffic_drop", higher, 50, 20).fires


def test_it_says_what_is_the_matter():
    said = sentence_of("traffic_drop", "pageviews", Verdict(True, 10, 40.0), 60)
    assert said == "10 pageviews in the last 60 minutes: 75 % fewer than the usual 40."
    said = sentence_of("traffic_spike", "visitors", Verdict(True, 30, 0.0), 60)
    assert said == "30 visitors in the last 60 minutes, where there are usually none."
    assert "no conversion" in sentence_of("goal_silence", "Signup", Verdict(True, 0, 8.0), 60)
