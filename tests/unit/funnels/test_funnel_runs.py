"""Attempts at a funnel, against every way of taking its steps written out."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_app.funnels.logic import Event, Funnel, FunnelSet, Run, Step, best_of, matches, runs
from analytics_app.funnels.progress import Progress, Seen, advance
from analytics_app.verify.funnels import attempts as recounted
from tests import funnel_oracle as oracle

WINDOW_MS = 10
VALUES = ["/a", "/b", "/c", "/*", "*"]
TEXTS = ["/a", "/b", "/c", "/ab", "x"]


@st.composite
def steps(draw):
    many = draw(st.integers(1, 5))
    return [
        oracle.Step(
            draw(st.sampled_from(["pageview", "pageview", "pageview", "event"])),
            draw(st.sampled_from(VALUES)),
            place > 0 and draw(st.booleans()),
        )
        for place in range(many)
    ]


@st.composite
def histories(draw):
    """A visitor's events in any order, some of them twice, many at the same time, in several sessions."""
    happened = [
        oracle.Happened(
            draw(st.integers(0, 24)), number, draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 1, 2])), text
        )
        for number, text in enumerate(draw(st.lists(st.sampled_from(TEXTS), max_size=11)))
    ]
    again = draw(st.lists(st.sampled_from(happened), max_size=3)) if happened else []
    return draw(st.permutations(happened + again))


def funnel_of(wanted, *, is_strict=False, window_ms=WINDOW_MS, funnel_id=1):
    made = tuple(Step(n, one.match_type, one.match_value, one.is_optional) for n, one in enumerate(wanted, 1))
    return Funnel(funnel_id, 1, is_strict, window_ms, made)


def events_of(funnel, happened):
    """What the service makes of a history before it looks for attempts."""
    seen = sorted({one.id: one for one in happened}.values(), key=lambda one: (one.at_ms, one.id))
    met = FunnelSet(1, 1, [funnel]).met
    events = [Event(one.at_ms, one.id, one.session_id, met(one.kind, one.text).get(0, 0)) for one in seen]
    return events if funnel.is_strict else [event for event in events if event.mask]


def told(run):
    return oracle.Attempt(run.event_id, run.started_ms, run.session_id, run.offsets_ms, run.required, run.is_open)


@given(steps(), histories(), st.booleans(), st.integers(0, 25))
@settings(max_examples=2000, deadline=None)
def test_the_attempts_are_those_that_brute_force_finds_and_verify_recounts(wanted, happened, is_strict, window_ms):
    funnel = funnel_of(wanted, is_strict=is_strict, window_ms=window_ms)
    expected = oracle.attempts(wanted, is_strict, window_ms, happened)
    events = events_of(funnel, happened)
    assert [told(run) for run in runs(funnel, events)] == expected
    assert [told(run) for run in recounted(funnel, events)] == expected


@given(st.lists(st.tuples(steps(), st.booleans(), st.integers(0, 25)), min_size=1, max_size=4), histories(), st.data())
@settings(max_examples=1000, deadline=None)
def test_events_that_come_in_any_order_and_in_any_parts_end_in_the_same_attempts(asked, happened, data):
    made = [
        funnel_of(wanted, is_strict=is_strict, window_ms=window_ms, funnel_id=number)
        for number, (wanted, is_strict, window_ms) in enumerate(asked, 1)
    ]
    funnels, progress, rows, coming = FunnelSet(1, 1, made), Progress(1), {}, happened
    while coming:
        many = data.draw(st.integers(1, len(coming)))
        told_of, coming = coming[:many], coming[many:]
        seen = [Seen(one.at_ms, one.id, one.session_id, 0, one.kind, one.text) for one in told_of]
        advanced = advance(progress, funnels, [one for one in seen if funnels.wants(one.kind, one.text)], 0)
        progress = advanced.progress
        rows |= {(funnel, run.event_id): run for funnel, found in advanced.changed.items() for run in found}
    for number, (wanted, is_strict, window_ms) in enumerate(asked, 1):
        found = [told(run) for (funnel, _), run in rows.items() if funnel == number]
        expected = oracle.attempts(wanted, is_strict, window_ms, happened)
        assert sorted(found, key=lambda one: (one.started_ms, one.event_id)) == expected


@given(steps(), histories(), st.booleans(), st.integers(0, 25))
@settings(max_examples=200, deadline=None)
def test_attempts_since_a_moment_are_those_of_all_that_begin_then(wanted, happened, is_strict, since_ms):
    funnel = funnel_of(wanted, is_strict=is_strict)
    events = events_of(funnel, happened)
    assert runs(funnel, events, since_ms) == [run for run in runs(funnel, events) if run.started_ms >= since_ms]


A, B, C = (oracle.Step("pageview", f"/{letter}") for letter in "abc")
OPTIONAL_B = oracle.Step("pageview", "/b", is_optional=True)
ANY = oracle.Step("pageview", "/*", is_optional=True)


def attempt_at(wanted, history, *, is_strict=False):
    """The offsets of the first attempt, `history` being pages by their time."""
    happened = [oracle.Happened(at, number, 1, 1, f"/{page}") for number, (at, page) in enumerate(history)]
    funnel = funnel_of(wanted, is_strict=is_strict)
    found = runs(funnel, events_of(funnel, happened))
    assert [told(run) for run in found] == oracle.attempts(wanted, is_strict, WINDOW_MS, happened)
    return found[0].offsets_ms


@pytest.mark.parametrize(
    ("case", "wanted", "history", "offsets"),
    [
        ("the end of the window counts", [A, B], [(0, "a"), (10, "b")], (0, 10)),
        ("what comes after it does not", [A, B], [(0, "a"), (11, "b")], (0, None)),
        ("the window runs from step 1", [A, B, C], [(0, "a"), (9, "b"), (11, "c")], (0, 9, None)),
        ("other activity may come between", [A, B], [(0, "a"), (1, "c"), (2, "b")], (0, 2)),
        ("order matters", [A, B, C], [(0, "a"), (1, "c"), (2, "b")], (0, 2, None)),
        ("an event takes one step", [A, A], [(0, "a")], (0, None)),
        ("at one time the event id decides", [A, B], [(0, "a"), (0, "b")], (0, 0)),
        ("and decides against, too", [B, A], [(0, "a"), (0, "b")], (0, None)),
        ("an optional step may be left out", [A, OPTIONAL_B, C], [(0, "a"), (1, "c")], (0, None, 1)),
        ("and is counted where it is not", [A, OPTIONAL_B, C], [(0, "a"), (1, "b"), (2, "c")], (0, 1, 2)),
        ("it takes nothing from a required one", [A, ANY, B], [(0, "a"), (1, "b")], (0, None, 1)),
        ("the way with more steps counts", [A, OPTIONAL_B, C], [(0, "a"), (1, "c"), (2, "b"), (3, "c")], (0, 2, 3)),
    ],
)
def test_a_loose_funnel(case, wanted, history, offsets):
    assert attempt_at(wanted, history) == offsets, case


@pytest.mark.parametrize(
    ("case", "wanted", "history", "offsets"),
    [
        ("nothing comes between", [A, B], [(0, "a"), (1, "b")], (0, 1)),
        ("what does ends the attempt", [A, B], [(0, "a"), (1, "c"), (2, "b")], (0, None)),
        ("a repeat does, too", [A, B], [(0, "a"), (1, "a"), (2, "b")], (0, None)),
        ("an optional step may be left out", [A, OPTIONAL_B, C], [(0, "a"), (1, "c")], (0, None, 1)),
        ("or taken", [A, OPTIONAL_B, C], [(0, "a"), (1, "b"), (2, "c")], (0, 1, 2)),
        ("but not twice", [A, OPTIONAL_B, C], [(0, "a"), (1, "b"), (2, "b"), (3, "c")], (0, 1, None)),
        ("the end of the window counts", [A, B], [(0, "a"), (10, "b")], (0, 10)),
        ("what comes after it does not", [A, B], [(0, "a"), (11, "b")], (0, None)),
    ],
)
def test_a_strict_funnel(case, wanted, history, offsets):
    assert attempt_at(wanted, history, is_strict=True) == offsets, case


def test_a_strict_attempt_goes_on_from_one_session_into_the_next():
    happened = [oracle.Happened(0, 1, 1, 1, "/a"), oracle.Happened(1, 2, 2, 1, "/b")]
    funnel = funnel_of([A, B], is_strict=True)
    assert runs(funnel, events_of(funnel, happened))[0].offsets_ms == (0, 1)


def run(at, required, *offsets):
    return Run(at, at, 1, offsets, required, is_open=False)


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        ([run(1, 1, 0, None, None), run(2, 2, 0, None, 1)], 2),
        ([run(1, 2, 0, None, 1), run(2, 2, 0, 1, 2)], 2),
        ([run(2, 2, 0, 1, 2), run(1, 2, 0, 1, 2)], 1),
    ],
)
def test_the_best_attempt_has_most_required_steps_then_most_steps_then_is_the_earliest(attempts, best):
    assert best_of(attempts).event_id == best
    assert best_of([]) is None


@given(st.text("ab*", max_size=7), st.text("ab", max_size=9))
@example("*", "")
@example("a*a", "a")
@settings(max_examples=500, deadline=None)
def test_a_star_stands_for_any_text(pattern, text):
    assert matches(pattern, text) is oracle.fits(pattern, text)


def test_a_visitor_with_ten_thousand_attempts_is_gone_through_in_moments():
    wanted = [A, *[OPTIONAL_B] * 3, C]
    happened = [oracle.Happened(n, n, 1, 1, "/a" if n % 3 else "/b") for n in range(10_000)]
    funnel = funnel_of(wanted, window_ms=100_000)
    assert len(runs(funnel, events_of(funnel, happened))) == 6666
