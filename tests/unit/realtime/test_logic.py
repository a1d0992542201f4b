import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from analytics_app.realtime.logic import PAGES_SHOWN, Presence, activity_of, not_after, view_of
from analytics_app.records import Active
from analytics_app.sessions.logic import fold
from analytics_app.sessions.state import Rules
from tests.factories import at_ms, make_heartbeat, make_hit

SEEN = [Active(1, 1000, "/", "GB"), Active(2, 2000, "/pricing", "US"), Active(1, 3000, "/docs", "GB")]


def presence(active):
    here = Presence()
    for one in active:
        here.see(one)
    return here


def test_a_visitor_is_where_it_was_seen_last():
    assert presence(SEEN).view() == {
        "active_visitors": 2,
        "active_pages": [{"path": "/docs", "viewers": 1}, {"path": "/pricing", "viewers": 1}],
        "locations": [{"country_code": "GB", "visitors": 1}, {"country_code": "US", "visitors": 1}],
    }


def test_order_and_repeats_make_no_difference():
    for order in itertools.permutations(SEEN):
        assert presence([*order, *order]).view() == presence(SEEN).view()


def test_of_two_activities_at_once_the_one_that_comes_later_counts():
    assert presence([Active(1, 5, "/a", ""), Active(1, 5, "/b", "")]).visitors[1].path == "/b"


def test_who_was_last_active_before_the_window_is_gone():
    here = presence(SEEN)
    assert not here.leave_before(2000)
    assert here.oldest_ms() == 2000
    assert here.leave_before(2001)
    assert list(here.visitors) == [1]
    assert here.leave_before(3001)
    assert (here.oldest_ms(), here.view()["active_visitors"]) == (None, 0)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50), st.booleans()), max_size=40))
def test_however_it_is_looked_for_nobody_stays_beyond_the_window(steps):
    here, seen = Presence(), {}
    for visitor, at, leaves in steps:
        if leaves:
            gone = {one for one, last in seen.items() if last < at}
            assert here.leave_before(at) is bool(gone)
            seen = {one: last for one, last in seen.items() if one not in gone}
        else:
            here.see(Active(visitor, at, "/", ""))
            seen[visitor] = max(at, seen.get(visitor, 0))
        assert {one: active.at_ms for one, active in here.visitors.items()} == seen


def test_pages_are_listed_with_most_viewers_first_and_equals_by_name():
    active = [Active(n, 0, path, "") for n, path in enumerate(["/b", "/a", "/c", "/c", ""])]
    assert view_of(active)["active_pages"] == [
        {"path": "/c", "viewers": 2},
        {"path": "/a", "viewers": 1},
        {"path": "/b", "viewers": 1},
    ]
    assert view_of(active)["active_visitors"] == 5
    assert view_of(active)["locations"] == []


def test_a_view_lists_a_hundred_pages_at_most_and_every_country():
    active = [Active(n, 0, f"/{n}", f"{n % 30:02}") for n in range(PAGES_SHOWN + 50)]
    random.Random(1).shuffle(active)
    assert len(view_of(active)["active_pages"]) == PAGES_SHOWN
    assert sum(one["visitors"] for one in view_of(active)["locations"]) == PAGES_SHOWN + 50


def test_a_batch_tells_of_each_session_it_touched_its_last_page_and_moment():
    view = make_hit(0, path="/a", country="NP")
    hits = [view, make_hit(9, path="/b"), make_heartbeat(20, view, time_on_page_s=3), make_hit(3, website_id=8)]
    folded = fold({}, hits, lambda _: Rules())
    assert activity_of(folded) == {7: [Active(0, at_ms(20), "/b", "NP")], 8: [Active(0, at_ms(3), "/", "")]}


def test_a_heartbeat_alone_shows_that_somebody_is_still_there():
    view = make_hit(0, path="/a")
    states = fold({}, [view], lambda _: Rules()).states
    folded = fold(states, [make_heartbeat(60, view, time_on_page_s=50)], lambda _: Rules())
    assert activity_of(folded) == {7: [Active(0, at_ms(60), "/a", "")]}


def test_an_activity_from_the_future_is_of_now():
    assert not_after(10, Active(1, 600, "/", "GB")) == Active(1, 10, "/", "GB")
    assert not_after(10, Active(1, 9, "/", "GB")).at_ms == 9
