"""Who sees which variant, what may be done when, what a goal matches."""

import itertools
import random
import re
import secrets
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from analytics_app.errors import Conflict
from analytics_app.experiments import logic
from analytics_app.experiments.logic import Experiment, First, Status, Variant, assign

A, B = Variant(1, "Control", is_control=True, weight=50), Variant(2, "Blue", weight=50)
RUNNING = Experiment(7, 1, Status.RUNNING, 100, (A, B))
_rng = random.Random(5)
VISITORS = [f"{_rng.getrandbits(128):032x}" for _ in range(20_000)]


def shares(experiment, visitors=VISITORS):
    """How many visitors are shown each variant, in the order of the variants."""
    shown = [assign(experiment, visitor) for visitor in visitors]
    return [sum(one.in_experiment and one.variant == variant for one in shown) for variant in experiment.variants]


# Assignment.


def test_a_visitor_is_shown_the_same_variant_at_every_asking():
    assert [assign(RUNNING, visitor) for visitor in VISITORS[:500]] == [
        assign(replace(RUNNING), visitor) for visitor in VISITORS[:500]
    ]


def test_an_assignment_is_what_it_was_in_every_version_of_the_service():
    shown = "".join(str(assign(RUNNING, f"{number:032x}").variant.id) for number in range(32))
    assert shown == "11112221221221222221212222111121"


def test_a_million_ids_in_a_row_are_split_evenly():
    counts = np.zeros(4, dtype=int)
    for number in range(1_000_000):
        counts[logic.share_of(7, f"{number:032x}", b"variant", 4)] += 1
    assert chisquare(counts).pvalue > 0.001


def test_weights_are_shares():
    experiment = replace(RUNNING, variants=(replace(A, weight=1), replace(B, weight=2), Variant(3, "Red", weight=7)))
    found = shares(experiment)
    assert sum(found) == len(VISITORS)
    assert chisquare(found, [len(VISITORS) * part / 10 for part in (1, 2, 7)]).pvalue > 0.001


def test_what_a_visitor_is_shown_in_one_experiment_says_nothing_about_another():
    table = np.zeros((2, 2), dtype=int)
    for visitor in VISITORS:
        one, other = (assign(replace(RUNNING, id=id_), visitor).variant.id for id_ in (7, 8))
        table[one - 1, other - 1] += 1
    assert chi2_contingency(table).pvalue > 0.001


def test_who_takes_part_says_nothing_about_the_variant():
    table = np.zeros((2, 2), dtype=int)
    for visitor in VISITORS:
        inside = assign(replace(RUNNING, traffic=30), visitor).in_experiment
        table[int(inside), assign(RUNNING, visitor).variant.id - 1] += 1
    assert chi2_contingency(table).pvalue > 0.001


def test_more_traffic_lets_visitors_in_and_moves_nobody():
    before: dict[str, int] = {}
    for traffic in range(10, 101, 10):
        shown = {visitor: assign(replace(RUNNING, traffic=traffic), visitor) for visitor in VISITORS}
        now = {visitor: one.variant.id for visitor, one in shown.items() if one.in_experiment}
        assert before.items() <= now.items()
        assert len(now) == pytest.approx(len(VISITORS) * traffic / 100, rel=0.05)
        before = now
    assert len(before) == len(VISITORS)


def test_nobody_is_in_an_experiment_without_traffic():
    assert not any(assign(replace(RUNNING, traffic=0), visitor).in_experiment for visitor in VISITORS)


def test_whoever_lies_outside_the_traffic_sees_the_control_and_is_not_counted():
    outside = [
        one for visitor in VISITORS[:1000] if not (one := assign(replace(RUNNING, traffic=50), visitor)).in_experiment
    ]
    assert outside
    assert all(one.variant == A for one in outside)


@pytest.mark.parametrize("status", [Status.DRAFT, Status.PAUSED, Status.STOPPED])
def test_an_experiment_that_does_not_run_shows_everybody_the_control(status):
    shown = [assign(replace(RUNNING, status=status), visitor) for visitor in VISITORS[:200]]
    assert all(one == logic.Assignment(A, in_experiment=False) for one in shown)


def test_the_control_need_not_come_first():
    experiment = Experiment(7, 1, Status.DRAFT, 100, (replace(A, is_control=False), replace(B, is_control=True)))
    assert assign(experiment, VISITORS[0]).variant.id == 2


def test_without_variants_there_is_nothing_to_show():
    assert assign(Experiment(7, 1, Status.RUNNING), VISITORS[0]) == logic.Assignment(None, in_experiment=False)


# The life of an experiment.

ALLOWED = {
    ("draft", "start"): "running",
    ("running", "pause"): "paused",
    ("paused", "start"): "running",
    ("running", "stop"): "stopped",
    ("paused", "stop"): "stopped",
}


@pytest.mark.parametrize(("status", "move"), list(itertools.product(Status, logic.MOVES)))
def test_an_experiment_goes_from_draft_over_running_and_paused_to_stopped_and_no_other_way(status, move):
    if (status, move) in ALLOWED:
        assert logic.moved(status, move) == ALLOWED[status, move]
    else:
        with pytest.raises(Conflict, match=str(status)):
            logic.moved(status, move)


@pytest.mark.parametrize(
    "variants",
    [(), (A,), (B, replace(B, id=3)), (A, replace(A, id=3)), (A, B, replace(A, id=3))],
    ids=["none", "control alone", "no control", "two controls", "two controls and another"],
)
def test_without_two_variants_and_one_control_it_cannot_be_started(variants):
    with pytest.raises(Conflict):
        logic.check_startable(variants)


def test_two_variants_and_one_control_are_enough():
    logic.check_startable((B, A))


BEFORE = {"goal_type": "pageview", "goal_value": "/done", "traffic_percentage": 40}


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"name": "Another"}, True),
        ({"traffic_percentage": 40}, True),
        ({"traffic_percentage": 100}, True),
        ({"traffic_percentage": 39}, False),
        ({"goal_value": "/done"}, True),
        ({"goal_value": "/other"}, False),
        ({"goal_type": "event"}, False),
        (BEFORE, True),
    ],
)
@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED, Status.STOPPED])
def test_once_started_only_the_name_changes_and_the_traffic_grows(values, allowed, status):
    logic.check_change(Status.DRAFT, BEFORE, values)
    if allowed:
        logic.check_change(status, BEFORE, values)
    else:
        with pytest.raises(Conflict):
            logic.check_change(status, BEFORE, values)


# Goals.


@pytest.mark.parametrize(
    ("goal_type", "value", "kept"),
    [
        ("pageview", "/signup/complete", "/signup/complete"),
        ("pageview", "signup", "/signup"),
        ("pageview", "https://example.com/signup?utm_source=x#top", "/signup"),
        ("pageview", "/blog/*", "/blog/*"),
        ("pageview", "*/complete", "*/complete"),
        ("pageview", "*", "*"),
        ("event", "signup", "signup"),
        ("event", "Sign\u0000up ", "Signup"),
        ("event", "/not/a/path", "/not/a/path"),
    ],
)
def test_a_goal_is_kept_as_what_it_is_to_meet_is_stored(goal_type, value, kept):
    assert logic.goal_text(goal_type, value) == kept
    assert logic.goal_text(goal_type, kept) == kept


@given(st.text(alphabet="ab%_\\*/", max_size=12), st.text(alphabet="ab%_\\*/", max_size=12))
def test_a_star_stands_for_any_text_and_all_else_for_itself(value, text):
    pattern = logic.like_pattern(value)
    # SQL's LIKE as its manual defines it, read anew.
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    like = "".join(".*" if part == "%" else "." if part == "_" else re.escape(part[-1]) for part in parts)
    want = "".join(".*" if letter == "*" else re.escape(letter) for letter in value)
    assert bool(re.fullmatch(like, text, re.DOTALL)) is bool(re.fullmatch(want, text, re.DOTALL))


# Exposures.

firsts = st.builds(First, st.just(1), st.integers(1, 3), st.integers(0, 4))


@given(st.lists(firsts, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_exposures_come_to_the_same_in_whatever_order_and_however_often(given_firsts, rng):
    def put_together(ones):
        held = ones[0]
        for one in ones[1:]:
            held = held.joined(one)
        return held

    again = given_firsts + rng.choices(given_firsts, k=3)
    rng.shuffle(again)
    found = put_together(given_firsts)
    assert put_together(again) == found
    assert found.multiple == (len({one.variant_id for one in given_firsts}) > 1)
    assert (found.at_ms, found.variant_id) == min((one.at_ms, one.variant_id) for one in given_firsts)


def test_visitors_hashes_of_any_kind_are_taken():
    assert {assign(RUNNING, secrets.token_hex(16)).variant.id for _ in range(64)} == {1, 2}
