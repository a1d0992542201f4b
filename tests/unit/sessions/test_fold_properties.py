"""What holds for every history: repeats, order and the cutting into batches make no difference."""

import random
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_app.records import Heartbeat, Hit
from analytics_app.sessions import state as states
from analytics_app.sessions.state import Rules
from tests.factories import at_ms
from tests.histories import CAP_MS, a_heartbeat, a_history, a_hit, a_session, another_order, cut, with_repeats
from tests.ledger import Ledger

thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


seeds = st.integers(0, 2**32)
sizes = st.integers(1, 25)


@thorough
@given(seeds, sizes)
def test_it_is_one_session_and_its_rows_and_rollups_equal_a_recount(seed, size):
    rng = random.Random(seed)
    hits = a_session(rng, size)
    ledger = Ledger()
    for one in hits:
        ledger.batch([one])
        ledger.check()
    assert len(ledger.sessions) == 1
    assert ledger.ignored == {}
    (row,) = ledger.sessions.values()
    assert row.started_ms == min(one.at_ms for one in hits if isinstance(one, Hit))
    assert row.last_ms == max(one.at_ms for one in hits)


@thorough
@given(seeds, sizes)
def test_any_order_without_a_gap_gives_the_same_session_and_rollups(seed, size):
    rng = random.Random(seed)
    hits = a_session(rng, size)
    expected = Ledger().batch_all(hits).counted()
    for _ in range(4):
        other = another_order(rng, hits)
        if other is not None:
            assert Ledger().batches(other, cut(rng, other)).counted() == expected


@thorough
@given(seeds, sizes)
def test_any_repetition_gives_the_same_session_and_rollups(seed, size):
    rng = random.Random(seed)
    hits = a_session(rng, size)
    expected = Ledger().batch_all(hits).counted()
    sent, aliases = with_repeats(rng, hits)
    ledger = Ledger().batches(sent, cut(rng, sent))
    assert ledger.counted() == expected
    assert ledger.duplicates == len(aliases)
    ledger.check()


@thorough
@given(seeds, sizes)
def test_engagement_under_a_repeats_id_gives_the_same_as_under_its_own(seed, size):
    rng = random.Random(seed)
    hits = a_session(rng, size)
    sent, renamed, repeat_ids = [], [], {}
    for number, one in enumerate(hits):
        sent.append(one)
        renamed.append(one)
        if isinstance(one, Heartbeat):
            name = repeat_ids.get(one.event_id, one.event_id)
            renamed[-1] = a_heartbeat(
                rng, name, one.at_ms, time_on_page_s=one.time_on_page_s, scroll_depth=one.scroll_depth, website_id=0
            )
        elif isinstance(one, Hit) and len(repeat_ids) < 16:
            repeat_ids[one.event_id] = 50_000 + number
            renamed.append(a_hit(rng, 0, one.at_ms, event_id=50_000 + number, client_id=one.client_id))
    expected, ledger = Ledger().batch_all(sent), Ledger().batches(renamed, cut(rng, renamed))
    assert ledger.counted() == expected.counted()


@thorough
@given(seeds, sizes)
def test_heartbeats_in_any_order_after_their_pages_come_to_the_same(seed, size):
    rng = random.Random(seed)
    views = [a_hit(rng, n, at_ms(n * 60), kind=1, path="/") for n in range(3)]
    beats = [a_heartbeat(rng, rng.choice(views).event_id, at_ms(rng.randint(0, 1800))) for _ in range(size)]
    expected = Ledger().batch_all(views + beats)
    best = {view.event_id: [0, 0] for view in views}
    for beat in beats:
        seen = best[beat.event_id]
        best[beat.event_id] = [max(seen[0], beat.time_on_page_s), max(seen[1], beat.scroll_depth)]
    assert {i: [row.time_s, row.scroll] for i, row in expected.events.items()} == best
    rng.shuffle(beats)
    assert Ledger().batches(views + beats, cut(rng, beats)).counted() == expected.counted()


@pytest.mark.parametrize("views_held", [2, states.VIEWS_HELD])
@thorough
@given(seeds, st.integers(1, 60))
def test_batches_cut_at_any_points_give_what_one_batch_gives(views_held, seed, size):
    rng = random.Random(seed)
    hits = a_history(rng, size)
    with patch.object(states, "VIEWS_HELD", views_held):
        whole = Ledger().batch_all(hits)
        parts = Ledger().batches(hits, cut(rng, hits))
        each = Ledger().batches(hits, range(len(hits)))
    for ledger in (whole, parts, each):
        ledger.check()
        assert ledger.counted() == whole.counted()
        assert ledger.sessions == whole.sessions, "here even the ids are the same"
        assert ledger.ignored == whole.ignored


@thorough
@given(seeds, st.integers(1, 60), st.sampled_from([0, 5, 10, 60]))
def test_after_every_batch_of_any_history_rows_and_rollups_equal_a_recount(seed, size, bounce_engaged_s):
    rng = random.Random(seed)
    ledger = Ledger(lambda _: Rules(bounce_engaged_s=bounce_engaged_s))
    hits = a_history(rng, size)
    points = sorted({0, *cut(rng, hits), len(hits)})
    for first, last in pairwise(points):
        ledger.batch(hits[first:last])
        ledger.check(bounce_engaged_s)
    assert len(ledger.events) + ledger.duplicates == sum(isinstance(one, Hit) for one in hits)


@thorough
@given(seeds, st.integers(1, 40))
def test_no_session_of_any_history_is_longer_than_a_day(seed, size):
    rng = random.Random(seed)
    ledger = Ledger().batch_all(a_history(rng, size))
    for row in ledger.sessions.values():
        assert 0 <= row.last_ms - row.started_ms <= CAP_MS


@thorough
@given(seeds, st.integers(1, 40))
def test_a_website_that_goes_leaves_the_others_as_they_are(seed, size):
    rng = random.Random(seed)
    hits = a_history(rng, size)
    ledger = Ledger()
    for number, one in enumerate(hits):
        if number == size // 2:
            ledger.rules = lambda website_id: None if website_id == 8 else Rules()
        ledger.batch([one])
        ledger.check()
