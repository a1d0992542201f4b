import time

import pytest

from analytics_app import watchdog
from analytics_app.stream.lag import Standing
from analytics_app.watchdog import TRIES_AGAIN_WITHIN_S, Progress, Watchdog

ONE, OTHER = ("hits", 0), ("hits", 1)


def progress(*looks):
    made = Progress()
    for now, standing in looks:
        made.note({ONE: standing}, now)
    return made


def test_a_partition_that_is_behind_and_does_not_move_is_stalled():
    made = progress((0, Standing(5, 9)), (30, Standing(5, 9)), (61, Standing(5, 12)))
    assert made.stalled({ONE}, 61, 60) == {ONE}
    assert made.stalled({ONE}, 60, 60) == set()
    assert made.stalled({OTHER}, 61, 60) == set()


@pytest.mark.parametrize("last", [Standing(6, 9), Standing(9, 9)])
def test_one_that_moves_or_is_not_behind_is_not(last):
    assert progress((0, Standing(5, 9)), (61, last)).stalled({ONE}, 61, 60) == set()


def test_what_was_seen_before_a_pause_does_not_count():
    made = progress((0, Standing(5, 9)))
    made.forget()
    made.note({ONE: Standing(5, 9)}, 100)
    assert made.stalled({ONE}, 101, 60) == set()


def test_a_position_beyond_the_end_of_the_log_is_ahead_of_it():
    made = progress((0, Standing(9, 5)))
    assert made.ahead({ONE, OTHER}) == {ONE}
    assert made.ahead({OTHER}) == set()
    made.note({ONE: Standing(5, 5)}, 1)
    assert made.ahead({ONE}) == set()


def test_a_worker_waits_for_as_long_as_it_tries_again(monkeypatch):
    dog, now = Watchdog(), time.monotonic()
    assert not dog.waits
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now)
    dog.wait()
    assert dog.waits
    now += TRIES_AGAIN_WITHIN_S + 1
    assert not dog.waits  # it hangs
    dog.wait()
    dog.go_on()
    assert not dog.waits


def test_what_is_tried_for_too_long_hangs(monkeypatch):
    dog, now = Watchdog(), time.monotonic()
    with dog.trying("hits/0"), dog.trying("hits/0"):
        assert dog.hanging(now + 29, 30) == set()
        assert dog.hanging(now + 31, 30) == {"hits/0"}
    assert dog.hanging(now + 31, 30) == set()


def test_a_partition_that_another_worker_left_behind_is_given_its_time():
    dog, behind = Watchdog(), {ONE: Standing(5, 5), OTHER: Standing(5, 9)}
    dog.owned = {ONE}
    for now in range(0, 100, 3):
        assert dog.stalled(behind, now, 30) == set()
    dog.owned = {ONE, OTHER}
    assert dog.stalled(behind, 102, 30) == set()
    dog.owned = None  # a rebalance gives it what it had
    assert dog.stalled(behind, 120, 30) == set()
    dog.owned = {ONE, OTHER}
    assert dog.stalled(behind, 131, 30) == set()
    assert dog.stalled(behind, 133, 30) == {OTHER}


def test_each_topic_is_watched_by_itself():
    dog, elsewhere = Watchdog(), ("visitor-events", 0)
    dog.owned = {ONE, elsewhere}
    for now in range(0, 31, 3):
        assert dog.stalled({ONE: Standing(now, now + 9), elsewhere: Standing(5, 9)}, now, 30) == set()
    assert dog.stalled({ONE: Standing(33, 40), elsewhere: Standing(5, 12)}, 33, 30) == {elsewhere}


def test_a_worker_that_never_came_back_has_left_all_behind():
    dog, behind = Watchdog(), {ONE: Standing(5, 9), OTHER: Standing(5, 5)}
    assert dog.stalled(behind, 0, 30) == set()
    assert dog.stalled(behind, 31, 30) == {ONE}


def looked(monkeypatch, standing, *, clock_s=0.0, sought=frozenset({ONE})):
    """Why a watchdog ends its worker at the first look, if it does."""
    dog, why = Watchdog(), []
    dog.owned, dog.sought = {ONE}, sought
    turns = iter([False, True])
    now = time.time()
    times = iter([now, *[now + clock_s] * 3])
    monkeypatch.setattr(watchdog.time, "time", lambda: next(times))
    monkeypatch.setattr(dog._stopped, "wait", lambda _: next(turns))

    async def standings():
        return {ONE: standing}

    monkeypatch.setattr(watchdog, "_standings", standings)
    monkeypatch.setattr(dog, "_end", lambda reason, **_: why.append(reason))
    dog.run()
    return why


def test_a_worker_is_left_alone_where_all_is_well(monkeypatch):
    assert looked(monkeypatch, Standing(5, 5)) == []


def test_a_worker_whose_topic_was_made_anew_is_ended(monkeypatch):
    assert looked(monkeypatch, Standing(5, 3)) == ["more is stored than the topic holds: it was deleted or cut"]


def test_one_that_has_not_compared_them_yet_is_about_to(monkeypatch):
    assert looked(monkeypatch, Standing(5, 3), sought=frozenset()) == []


@pytest.mark.parametrize("clock_s", [3600, -3600])
def test_a_worker_whose_clock_was_set_is_ended(monkeypatch, clock_s):
    assert looked(monkeypatch, Standing(5, 5), clock_s=clock_s) == ["the clock was set"]
