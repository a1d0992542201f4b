import pytest

from analytics_app.records import Hit
from analytics_app.sessions import state as states
from analytics_app.sessions.logic import parts_changed
from analytics_app.sessions.state import Rules
from tests.factories import DAY, HOUR, MINUTE, at_ms, make_event, make_heartbeat, make_hit, make_leave
from tests.ledger import Ledger

TIMEOUT = 30 * MINUTE
OTHER = 8
MILLISECOND = 0.001


def store(*hits, rules=None):
    """The ledger after `hits`, stored in one batch and, which must be the same, one by one."""
    rules = rules or Rules()
    ledger = Ledger(lambda website_id: rules).batches(hits)
    one_by_one = Ledger(lambda website_id: rules).batches(hits, range(len(hits)))
    assert one_by_one.counted() == ledger.counted()
    ledger.check(rules.bounce_engaged_s)
    return ledger


def sessions_of(ledger):
    return sorted(ledger.sessions.values(), key=lambda row: row.started_ms)


def only(ledger):
    (row,) = ledger.sessions.values()
    return row


def duration_s(row):
    return (row.last_ms - row.started_ms) // 1000


# Where a session ends.


def test_a_gap_of_exactly_the_timeout_goes_on_with_the_session():
    assert only(store(make_hit(0), make_hit(TIMEOUT))).pageviews == 2


def test_a_gap_of_a_millisecond_more_opens_a_new_session():
    first, second = sessions_of(store(make_hit(0), make_hit(TIMEOUT + MILLISECOND)))
    assert (first.pageviews, second.pageviews) == (1, 1)
    assert duration_s(first) == 0


def test_a_websites_own_timeout_decides():
    rules = Rules(timeout_ms=60_000)
    assert len(store(make_hit(0), make_hit(61), rules=rules).sessions) == 2
    assert len(store(make_hit(0), make_hit(60), rules=rules).sessions) == 1


def test_midnight_does_not_cut_a_session():
    midnight = 12 * HOUR
    row = only(store(make_hit(midnight - MINUTE), make_hit(midnight + MINUTE)))
    assert (row.pageviews, duration_s(row)) == (2, 120)


def test_a_session_lasts_24_hours_at_most():
    steps = [make_hit(at) for at in range(0, DAY + 1, TIMEOUT)]
    assert duration_s(only(store(*steps))) == DAY
    first, second = sessions_of(store(*steps, make_hit(DAY + MILLISECOND)))
    assert duration_s(first) == DAY
    assert second.started_ms == at_ms(DAY) + 1


def test_engagement_does_not_stretch_a_session_over_24_hours():
    steps = [make_hit(at) for at in range(0, DAY, TIMEOUT)]
    row = only(store(*steps, make_heartbeat(DAY + MINUTE, steps[-1], time_on_page_s=60)))
    assert duration_s(row) == DAY - TIMEOUT
    assert row.engaged_s == 60


def test_the_same_session_id_after_a_gap_is_a_new_session_of_the_same_visitor():
    ledger = store(make_hit(0), make_hit(2 * HOUR))
    assert len(ledger.sessions) == 2
    assert len({row.visitor for row in ledger.sessions.values()}) == 1


# Hits that come late.


def test_a_late_hit_between_two_sessions_joins_the_earlier_one():
    ledger = store(make_hit(0), make_hit(50 * MINUTE), make_hit(25 * MINUTE))
    earlier, later = sessions_of(ledger)
    assert (earlier.pageviews, later.pageviews) == (2, 1)
    assert duration_s(earlier) == 25 * MINUTE
    assert len(ledger.events) == 3


def test_a_late_hit_out_of_reach_of_the_earlier_session_joins_the_later_one():
    earlier, later = sessions_of(store(make_hit(0), make_hit(50 * MINUTE), make_hit(45 * MINUTE)))
    assert (earlier.pageviews, later.pageviews) == (1, 2)
    assert later.started_ms == at_ms(45 * MINUTE)


def test_a_late_hit_out_of_reach_of_both_is_a_session_between_them():
    assert [row.pageviews for row in sessions_of(store(make_hit(0), make_hit(3 * HOUR), make_hit(90 * MINUTE)))] == [
        1,
        1,
        1,
    ]


def test_a_late_first_hit_moves_the_start_and_tells_where_the_session_came_from():
    ledger = store(
        make_hit(10 * MINUTE, path="/second", source="Direct", country="GB"),
        make_hit(0, path="/first", source="Google", country="NP"),
    )
    row = only(ledger)
    assert (row.started_ms, row.entry_path, row.exit_path) == (at_ms(0), "/first", "/second")
    assert (row.source, row.country) == ("Google", "NP")


def test_a_start_that_moves_takes_the_session_into_another_quarter_hour():
    ledger = Ledger().batches([make_hit(15 * MINUTE), make_hit(5 * MINUTE)], [1])
    sessions = {bucket: number for (_, bucket, name), number in ledger.rollups.items() if name == "sessions" and number}
    assert sessions == {at_ms(0): 1}
    ledger.check()


def test_of_hits_of_one_millisecond_the_id_decides_which_was_first():
    earlier, later = make_hit(0, path="/a"), make_hit(0, path="/b")
    for order in ((earlier, later), (later, earlier)):
        row = only(store(*order))
        assert (row.entry_path, row.exit_path) == ("/a", "/b")


# What a bounce is.


@pytest.mark.parametrize(
    ("hits", "engaged_s", "limit_s", "bounce"),
    [
        ([make_hit(0)], 0, 10, True),
        ([make_hit(0)], 9, 10, True),
        ([make_hit(0)], 10, 10, False),
        ([make_hit(0)], 3600, 0, True),
        ([make_hit(0)], 5, 5, False),
        ([make_hit(0), make_hit(1)], 0, 10, False),
        ([make_hit(0), make_event(1)], 0, 10, False),
        ([make_hit(0), make_event(1, interactive=False)], 0, 10, True),
        ([make_event(0, interactive=False)], 0, 10, True),
        ([make_event(0)], 0, 10, False),
        ([make_hit(0), make_event(1, kind=4)], 0, 10, False),
        ([make_hit(0, interactive=False), make_hit(1, interactive=False)], 0, 10, False),
    ],
    ids=[
        "one pageview",
        "one pageview and 9 s",
        "one pageview and 10 s",
        "engagement switched off",
        "a limit of 5 s",
        "two pageviews",
        "an event",
        "an event that does not count",
        "nothing but such an event",
        "nothing but an event",
        "a scroll is an event",
        "pageviews count whatever they say",
    ],
)
def test_a_bounce_is_a_glance(hits, engaged_s, limit_s, bounce):
    beats = [make_heartbeat(5, hits[0], time_on_page_s=engaged_s)] if engaged_s else []
    assert only(store(*hits, *beats, rules=Rules(bounce_engaged_s=limit_s))).is_bounce is bounce


def test_engagement_of_several_pages_adds_up():
    views = [make_hit(0), make_hit(60)]
    beats = [make_heartbeat(30, views[0], time_on_page_s=6), make_heartbeat(90, views[1], time_on_page_s=7)]
    assert only(store(*views, *beats)).engaged_s == 13


def test_a_session_that_stops_being_a_bounce_is_taken_out_of_the_bounces():
    ledger = Ledger()
    ledger.batch([make_hit(0)])
    bounces = (7, at_ms(0), "bounces")
    assert ledger.rollups[bounces] == 1
    ledger.batch([make_event(60)])
    assert ledger.rollups[bounces] == 0


def test_a_rule_that_changes_between_batches_leaves_the_rollups_equal_to_the_rows():
    ledger = Ledger(lambda _: Rules(bounce_engaged_s=10))
    view = make_hit(0)
    ledger.batch([view, make_heartbeat(20, view, time_on_page_s=20)])
    ledger.rules = lambda _: Rules(bounce_engaged_s=30)
    ledger.batch([make_heartbeat(21, view, time_on_page_s=21)])
    assert only(ledger).is_bounce
    ledger.check(bounce_engaged_s=30)


# Heartbeats.


def test_heartbeats_are_totals_and_the_highest_counts():
    view = make_hit(0)
    ledger = store(
        view,
        make_heartbeat(60, view, time_on_page_s=50, scroll_depth=30),
        make_heartbeat(30, view, time_on_page_s=25, scroll_depth=80),
        make_heartbeat(60, view, time_on_page_s=50, scroll_depth=30),
    )
    assert only(ledger).engaged_s == 50
    assert (ledger.events[view.event_id].time_s, ledger.events[view.event_id].scroll) == (50, 80)


def test_heartbeats_extend_a_session():
    view = make_hit(0)
    beats = [make_heartbeat(at, view, time_on_page_s=at) for at in (20 * MINUTE, 45 * MINUTE)]
    row = only(store(view, *beats, make_hit(70 * MINUTE)))
    assert (row.pageviews, duration_s(row)) == (2, 70 * MINUTE)


def test_a_heartbeat_after_the_timeout_counts_for_its_page_but_does_not_revive_the_session():
    view = make_hit(0)
    row = only(store(view, make_heartbeat(TIMEOUT + MILLISECOND, view, time_on_page_s=40)))
    assert (row.engaged_s, duration_s(row)) == (40, 0)


def test_engagement_never_moves_a_start():
    view = make_hit(10 * MINUTE)
    assert only(store(view, make_heartbeat(0, view, time_on_page_s=1))).started_ms == at_ms(10 * MINUTE)


def test_a_heartbeat_for_a_page_nobody_knows_is_ignored_and_counted():
    ledger = store(make_hit(0), make_heartbeat(1, 424_242), make_heartbeat(1, 1, session_key="ab" * 16))
    assert ledger.ignored == {"unknown_event": 2}


def test_a_heartbeat_for_an_event_is_for_no_page():
    event = make_event(0)
    assert store(event, make_heartbeat(1, event)).ignored == {"unknown_event": 1}


def test_a_heartbeat_without_website_goes_to_the_session_that_holds_its_page():
    here, there = make_hit(0), make_hit(0, website_id=OTHER)
    ledger = store(here, there, make_heartbeat(5, there, time_on_page_s=5), make_heartbeat(3, here, time_on_page_s=3))
    assert {row.website_id: row.engaged_s for row in ledger.sessions.values()} == {7: 3, OTHER: 5}


def test_a_heartbeat_with_another_website_than_its_pages_is_ignored():
    here = make_hit(0)
    ledger = store(here, make_hit(0, website_id=OTHER), make_heartbeat(5, here, website_id=OTHER, time_on_page_s=5))
    assert ledger.ignored == {"unknown_event": 1}


def test_a_heartbeat_reaches_a_page_of_an_earlier_session_of_the_same_id():
    first = make_hit(0)
    earlier, later = sessions_of(store(first, make_hit(HOUR), make_heartbeat(HOUR, first, time_on_page_s=55)))
    assert (earlier.engaged_s, later.engaged_s, duration_s(earlier)) == (55, 0, 0)


# Leaving.


def test_leaving_ends_the_clock():
    assert duration_s(only(store(make_hit(0), make_leave(90)))) == 90


def test_a_hit_within_the_timeout_of_leaving_goes_on_with_the_session():
    row = only(store(make_hit(0), make_leave(20 * MINUTE), make_hit(45 * MINUTE)))
    assert (row.pageviews, duration_s(row)) == (2, 45 * MINUTE)


def test_leaving_twice_or_late_changes_nothing():
    row = only(store(make_hit(0), make_leave(90), make_leave(90), make_leave(30)))
    assert duration_s(row) == 90


def test_leaving_is_no_page_and_no_event():
    row = only(store(make_hit(0), make_leave(90)))
    assert (row.pageviews, row.events, row.is_bounce) == (1, 0, True)


def test_leaving_goes_to_the_latest_active_session_of_that_id():
    ledger = store(make_hit(0), make_hit(60, website_id=OTHER), make_leave(100))
    assert {row.website_id: duration_s(row) for row in ledger.sessions.values()} == {7: 0, OTHER: 40}


def test_leaving_with_a_key_goes_to_that_website():
    ledger = store(make_hit(0), make_hit(60, website_id=OTHER), make_leave(100, website_id=7))
    assert {row.website_id: duration_s(row) for row in ledger.sessions.values()} == {7: 100, OTHER: 0}


def test_leaving_after_the_timeout_or_an_unknown_session_is_ignored_and_counted():
    ledger = store(make_leave(0), make_hit(1), make_leave(1 + TIMEOUT + MILLISECOND), make_leave(2, website_id=OTHER))
    assert ledger.ignored == {"unknown_session": 3}
    assert duration_s(only(ledger)) == 0


# Websites.


def test_a_session_id_on_two_websites_is_a_session_on_each():
    ledger = store(make_hit(0), make_hit(1, website_id=OTHER), make_hit(2), make_hit(3, website_id=OTHER))
    assert {row.website_id: row.pageviews for row in ledger.sessions.values()} == {7: 2, OTHER: 2}


def test_what_comes_for_a_website_that_is_gone_is_ignored_and_counted():
    view = make_hit(0)
    ledger = Ledger()
    ledger.batch([view])
    before = ledger.counted()
    ledger.rules = lambda website_id: None
    ledger.batch([make_hit(1), make_heartbeat(2, view, time_on_page_s=9), make_leave(3)])
    assert ledger.ignored == {"website_gone": 2, "unknown_session": 1}
    assert ledger.counted() == before
    ledger.check()


# Repeats.


def repeat_of(hit: Hit, at: float) -> Hit:
    """The hit, sent again by its client: stamped and numbered anew by the edge."""
    return make_hit(at, client_id=hit.client_id, path=hit.path)


def test_a_hit_sent_twice_under_its_clients_id_counts_once():
    hit = make_hit(0, client_id="c1" * 16)
    ledger = store(hit, repeat_of(hit, 20 * MINUTE))
    row = only(ledger)
    assert (row.pageviews, duration_s(row), ledger.duplicates) == (1, 0, 1)


def test_engagement_reported_for_a_repeat_belongs_to_the_event_that_was_kept():
    hit = make_hit(0, client_id="c1" * 16)
    again = repeat_of(hit, 5)
    ledger = store(hit, again, make_heartbeat(30, again, time_on_page_s=25, scroll_depth=50))
    assert ledger.events[hit.event_id].time_s == 25
    assert again.event_id not in ledger.events
    assert ledger.ignored == {}


def test_a_clients_id_counts_once_a_website():
    hit = make_hit(0, client_id="c1" * 16)
    assert len(store(hit, make_hit(0, client_id="c1" * 16, website_id=OTHER)).events) == 2


# Long sessions.


@pytest.mark.parametrize("views_held", [2, states.VIEWS_HELD])
def test_a_heartbeat_for_a_page_that_a_long_session_no_longer_holds_is_counted(monkeypatch, views_held):
    monkeypatch.setattr(states, "VIEWS_HELD", views_held)
    views = [make_hit(at, client_id=f"{at:032x}") for at in range(views_held + 5)]
    ledger = Ledger()
    ledger.batch(views)
    (held,) = states.decode_state(ledger.states[views[0].session_key]).visits
    assert [view.event_id for view in held.views] == [view.event_id for view in views[5:]]
    again, at_once = repeat_of(views[1], 100), repeat_of(views[2], 100)
    ledger.batch([at_once, make_heartbeat(150, at_once, time_on_page_s=1)])
    ledger.batch([make_heartbeat(200, views[0], time_on_page_s=20), again])
    ledger.batch([make_heartbeat(210, views[0], time_on_page_s=30), make_heartbeat(220, again, time_on_page_s=8)])
    ledger.batch([make_heartbeat(205, views[0], time_on_page_s=25)])
    assert only(ledger).engaged_s == 39
    assert ledger.ignored == {}
    ledger.check()


def test_a_session_that_nothing_can_change_any_more_is_dropped_from_the_state():
    ledger = Ledger().batches([make_hit(0), make_hit(2 * DAY), make_hit(2 * DAY + 1)], [1, 2])
    (state,) = ledger.states.values()
    assert [visit.started_ms for visit in states.decode_state(state).visits] == [at_ms(2 * DAY)]
    assert len(ledger.sessions) == 2


def test_a_hit_a_day_late_still_finds_the_session_it_belongs_to():
    rules = Rules(timeout_ms=DAY * 1000)
    ledger = Ledger(lambda _: rules).batches([make_hit(0), make_hit(2 * DAY), make_hit(DAY)], [1, 2])
    assert [row.pageviews for row in sessions_of(ledger)] == [2, 1]


# Which parts of days a batch touches.


def test_the_parts_of_days_of_a_changed_session_are_all_it_is_under_way_in_before_and_after():
    midnight, part = 12 * HOUR, at_ms(0) // (4 * HOUR * 1000)  # at noon
    ledger = Ledger()
    assert parts_changed(ledger.batch([make_hit(midnight + MINUTE), make_hit(0, website_id=OTHER)])) == {
        7: {part + 3},
        OTHER: {part},
    }
    assert parts_changed(ledger.batch([make_hit(midnight - MINUTE)])) == {7: {part + 2, part + 3}}
    assert parts_changed(ledger.batch([make_leave(midnight + 2 * MINUTE, website_id=7)])) == {7: {part + 2, part + 3}}
    assert parts_changed(ledger.batch([make_heartbeat(0, 1)])) == {}
