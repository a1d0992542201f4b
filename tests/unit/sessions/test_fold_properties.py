"""What holds for every history: repeats, order and the cutting into batches make no difference."""

import random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_app.records import Heartbeat, Hit, Leave
from analytics_app.sessions import state as states
from analytics_app.sessions.state import Rules
from tests.factories import NOON_MS, VISITOR, at_ms
from tests.ledger import Ledger

TIMEOUT_MS = 1_800_000
CAP_MS = 86_400_000
KEYS = ("a1" * 16, "b2" * 16)
WEBSITES = (7, 8)

thorough = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# One session, in an order in which nothing arrives further than the timeout from the session so far.


def a_session(rng: random.Random, size: int) -> list:
    """Hits, heartbeats and leaves of one session, in such an order."""
    lo = hi = NOON_MS
    made = []
    for number in range(size):
        low, high = max(lo - TIMEOUT_MS, hi - CAP_MS), min(hi + TIMEOUT_MS, lo + CAP_MS)
        at = rng.choice([low, high, hi, rng.randint(low, high), rng.randint(lo, hi)])
        views = [one for one in made if isinstance(one, Hit) and one.kind == 1]
        kind = rng.random() if made else 0
        if kind < 0.5 or (kind < 0.8 and not views):
            made.append(a_hit(rng, number, at if made else NOON_MS))
            lo, hi = min(lo, made[-1].at_ms), max(hi, made[-1].at_ms)
        elif kind < 0.8:
            made.append(a_heartbeat(rng, rng.choice(views).event_id, at))
            hi = max(hi, at)
        else:
            made.append(Leave(at_ms=at, session_key=KEYS[0], website_id=rng.choice([0, 7])))
            hi = max(hi, at)
    return made


def a_hit(rng, number, at, **fields):
    kind = rng.choice([1, 1, 1, 2, 4])
    given_ = {
        "event_id": 10_000 + number,
        "at_ms": at,
        "website_id": 7,
        "session_key": KEYS[0],
        "visitor": VISITOR,
        "kind": kind,
        "interactive": rng.random() < 0.7,
        "client_id": f"{number:032x}",
        "path": f"/{rng.randint(1, 4)}" if kind == 1 else "",
        "source": rng.choice(["Direct", "Google", "Bing"]),
        "country": rng.choice(["", "GB", "NP"]),
    }
    return Hit(**{**given_, **fields})


def a_heartbeat(rng, event_id, at, **fields):
    given_ = {
        "event_id": event_id,
        "at_ms": at,
        "session_key": KEYS[0],
        "website_id": rng.choice([0, 7]),
        "time_on_page_s": rng.choice([0, 3, 9, 10, rng.randint(0, 3000)]),
        "scroll_depth": rng.randint(0, 100),
    }
    return Heartbeat(**{**given_, **fields})


def another_order(rng, hits):
    """The same in another order of that sort; None where the way taken leads to none."""
    rest = list(hits)
    first = rng.choice([one for one in rest if isinstance(one, Hit)])
    rest.remove(first)
    ordered, lo, hi = [first], first.at_ms, first.at_ms
    while rest:
        known = {one.event_id for one in ordered if isinstance(one, Hit)}
        admissible = [
            one
            for one in rest
            if lo - TIMEOUT_MS <= one.at_ms <= hi + TIMEOUT_MS
            and (not isinstance(one, Heartbeat) or one.event_id in known)
        ]
        if not admissible:
            return None
        taken = rng.choice(admissible)
        rest.remove(taken)
        ordered.append(taken)
        lo = min(lo, taken.at_ms) if isinstance(taken, Hit) else lo
        hi = max(hi, taken.at_ms)
    return ordered


def with_repeats(rng, hits):
    """The same with some of it sent again, later: by clients under new ids, by networks as it was."""
    sent = list(hits)
    aliases = {}
    for number in range(rng.randint(1, 8)):
        index = rng.randrange(len(hits))
        original = hits[index]
        after = rng.randint(sent.index(original) + 1, len(sent))
        if isinstance(original, Hit):
            again = a_hit(rng, 5000 + number, NOON_MS + rng.randint(-CAP_MS, CAP_MS), client_id=original.client_id)
            aliases[again.event_id] = original.event_id
            sent.insert(after, again)
        else:
            sent.insert(after, original)
    return sent, aliases


def cut(rng, hits):
    return [rng.randint(1, len(hits)) for _ in range(rng.randint(0, 6))]


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


# Any history at all: several session ids and websites, gaps, days, hits that come days late, websites that go.


def a_history(rng: random.Random, size: int) -> list:
    made: list = []
    for number in range(size):
        key, website_id = rng.choice(KEYS), rng.choice(WEBSITES)
        span = rng.choice([60_000, TIMEOUT_MS, 2 * TIMEOUT_MS, CAP_MS, 4 * CAP_MS])
        around = rng.choice([0, *(one.at_ms - NOON_MS for one in made[-3:])])
        at = NOON_MS + around + rng.choice([0, TIMEOUT_MS, TIMEOUT_MS + 1, rng.randint(-span, span)])
        kind = rng.random()
        if kind < 0.55:
            sent = a_hit(rng, number, at, session_key=key, website_id=website_id)
            if rng.random() < 0.2:
                sent = a_hit(rng, number, at, session_key=key, client_id=f"{rng.randint(0, size):032x}")
            made.append(sent)
        elif kind < 0.85:
            ids = [one.event_id for one in made if isinstance(one, Hit)] or [1]
            made.append(
                a_heartbeat(
                    rng, rng.choice(ids), at, session_key=rng.choice(KEYS), website_id=rng.choice([0, *WEBSITES])
                )
            )
        else:
            made.append(Leave(at_ms=at, session_key=key, website_id=rng.choice([0, *WEBSITES])))
    return made


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
    for first, last in zip(points, points[1:], strict=False):
        ledger.batch(hits[first:last])
        ledger.check(bounce_engaged_s)
    assert len(ledger.events) == len({one.client_id for one in hits if isinstance(one, Hit)}) or any(
        one.website_id == 8 for one in hits if isinstance(one, Hit)
    )


@thorough
@given(seeds, st.integers(1, 40))
def test_no_session_is_longer_than_a_day_and_none_has_a_gap_that_ends_one(seed, size):
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
