import pytest

from analytics_app.sessions.state import (
    KEPT_MS,
    VIEWS_HELD,
    State,
    View,
    Visit,
    bucket_of,
    decode_state,
    encode_state,
    prune,
    share_of,
)
from tests.factories import NOON_MS


def visit(last_ms=NOON_MS, **fields):
    return Visit(
        **{"id": 1, "website_id": 7, "visitor": 3, "started_ms": NOON_MS, "last_ms": last_ms, "first": (0, 1)} | fields
    )


def test_a_state_comes_back_from_its_bytes_as_it_was():
    full = visit(
        pageviews=2, events=1, interactions=1, engaged_s=9, entry=(1, 2), exit=(3, 4), exit_path="/é", country="GB",
        views=[View(5, NOON_MS, 7, 80)], views_dropped=True, counted_bounce=True,
    )  # fmt: skip
    state = State([full, visit()], [(8, 9)], NOON_MS)
    assert decode_state(encode_state(state)) == state


def test_two_readings_of_a_state_share_nothing():
    value = encode_state(State([visit(views=[View(1, NOON_MS)])]))
    changed, other = decode_state(value), decode_state(value)
    changed.visits[0].views[0].time_s = 99
    changed.visits.append(visit())
    assert other == decode_state(value)


@pytest.mark.parametrize(
    ("at_ms", "bucket_ms"),
    [(0, 0), (899_999, 0), (900_000, 900_000), (NOON_MS, NOON_MS), (NOON_MS + 900_001, NOON_MS + 900_000)],
)
def test_a_quarter_hour_begins_at_its_first_millisecond(at_ms, bucket_ms):
    assert bucket_of(at_ms) == bucket_ms


def test_a_share_is_in_whole_seconds_and_of_the_quarter_hour_of_the_start():
    share = share_of(visit(NOON_MS + 1_799_999, pageviews=4, counted_bounce=True))
    assert share == (7, NOON_MS, 1, 1, 1799, 4)


def test_what_ended_two_days_before_the_latest_activity_is_dropped():
    latest = NOON_MS + KEPT_MS
    state = State([visit(NOON_MS - 1, id=1), visit(NOON_MS, id=2), visit(latest, id=3)])
    prune(state)
    assert [one.id for one in state.visits] == [2, 3]


def test_the_last_session_is_kept_however_old():
    state = State([visit(0)])
    prune(state)
    assert len(state.visits) == 1


def test_of_many_pageviews_the_latest_are_held():
    views = [View(number, NOON_MS + number) for number in range(VIEWS_HELD + 3)]
    state = State([visit(views=[*views[50:], *views[:50]])])
    prune(state)
    assert state.visits[0].views == views[3:]
    assert state.visits[0].views_dropped


def test_a_state_of_one_website_says_nothing_of_another():
    state = State([visit()])
    assert state.live(0) == state.live(7) == state.visits
    assert state.live(8) == []
