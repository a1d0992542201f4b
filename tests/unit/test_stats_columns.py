"""Columns of a day: they come back as they were, and count what a walk over their rows counts."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.stats.column_counting import Asked, Counter, Must
from analytics_app.stats.columns import (
    EVENT_DIMENSIONS,
    OF_DIMENSION,
    SESSION_DIMENSIONS,
    Coded,
    Column,
    columns_of,
    packed,
    unpacked,
)
from analytics_app.stats.filters import DIMENSIONS
from analytics_app.stats.tallies import SEALED_SUMS

WIDE = (1 << 33) + 5
SMALL = st.integers(0, 3)


@given(st.lists(st.integers(0, 1 << 62)), st.lists(st.integers(0, (1 << 31) - 1)))
def test_a_column_comes_back_as_it_was(numbers, terms):
    assert unpacked(Column.VISITOR, packed(Column.VISITOR, np.array(numbers, np.int64))).tolist() == numbers
    held = unpacked(OF_DIMENSION["page"], packed(OF_DIMENSION["page"], np.array(terms, np.int64)))
    assert isinstance(held, Coded)
    assert held.values[held.codes].tolist() == terms
    assert held.values.tolist() == sorted(set(terms))


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="negative"):
        packed(Column.TIME_S, np.array([3, -1]))


@st.composite
def days(draw):
    """Sessions with their events, as rows: `at` is the hour, of which the day has 24."""
    sessions, events = [], []
    for id_ in range(draw(st.integers(0, 8))):
        begun = draw(st.booleans())
        row = {"id": 10 * id_, "visitor": draw(st.sampled_from([1, 2, 3, WIDE])), "begun": int(begun)}
        row |= {name: draw(SMALL) for name in ("duration_s", "pageviews")} | {"is_bounce": draw(st.integers(0, 1))}
        sessions.append(row | {name: draw(SMALL) for name in SESSION_DIMENSIONS})
        for _ in range(draw(st.integers(0, 4))):
            event = {"session_id": 10 * id_, "later": draw(st.integers(0, 1)) if begun else 0}
            event |= {
                "is_pageview": draw(st.integers(0, 1)),
                "time_on_page_s": draw(SMALL),
                "scroll_depth": draw(SMALL),
            }
            events.append(event | {name: draw(SMALL) for name in EVENT_DIMENSIONS})
    return sessions, events


NAMES = ("page", "event", "country", "browser")
TESTS = st.builds(Must, st.sampled_from(NAMES), st.lists(SMALL, max_size=3).map(tuple), st.booleans())


def walked(sessions, events, asked):
    """By group: the sums and the visitors, row by row."""
    found = defaultdict(lambda: (dict.fromkeys(SEALED_SUMS, 0), set()))
    by = DIMENSIONS[asked.by] if asked.by else None

    def meets(row, *, of_event):
        return all(
            (row[DIMENSIONS[test.dimension].column] in test.values) is not test.but
            for test in asked.tests
            if test.of_event is of_event
        )

    for session in sessions:
        if not meets(session, of_event=False):
            continue
        its = [event for event in events if event["session_id"] == session["id"] and meets(event, of_event=True)]
        groups = set()
        for event in its:
            group = (event if by and by.of_event else session)[by.column] if by else 0
            groups.add(group)
            if event["later"]:
                continue
            sums, who = found[group]
            who.add(session["visitor"])
            sums["pageviews" if event["is_pageview"] else "events"] += 1
            if event["is_pageview"] and asked.engagement:
                sums["time_on_page_s"] += event["time_on_page_s"]
                sums["scroll_depth"] += event["scroll_depth"]
        if not asked.of_events:
            groups = {session[by.column] if by else 0}
            found[groups.copy().pop()][1].add(session["visitor"])
        for group in groups if session["begun"] else ():
            sums, _ = found[group]
            sums["sessions"] += 1
            sums["bounces"] += session["is_bounce"]
            sums["duration_s"] += session["duration_s"]
            sums["session_pageviews"] += session["pageviews"]
    return {group: (sums, who) for group, (sums, who) in found.items() if who or any(sums.values())}


@given(
    st.lists(days(), max_size=3),
    st.builds(Asked, st.lists(TESTS, max_size=3).map(tuple), st.sampled_from((None, *NAMES)), st.booleans()),
)
def test_any_question_to_columns_gives_what_a_walk_over_the_rows_gives(some, asked):
    counter, expected = Counter(asked), {}
    for sessions, events in some:
        names = ("id", "visitor", "begun", "is_bounce", "duration_s", "pageviews", *SESSION_DIMENSIONS)
        of_events = ("session_id", "later", "is_pageview", "time_on_page_s", "scroll_depth", *EVENT_DIMENSIONS)
        made = columns_of(
            {name: np.array([row[name] for row in sessions], np.int64) for name in names},
            {name: np.array([row[name] for row in events], np.int64) for name in of_events},
        )
        counter.add({number: unpacked(number, packed(number, made[number])) for number in asked.columns})
        for group, (sums, who) in walked(sessions, events, asked).items():
            held, seen = expected.setdefault(group, (dict.fromkeys(SEALED_SUMS, 0), set()))
            seen |= who
            for name in SEALED_SUMS:
                held[name] += sums[name]
    found = {group: (tally.sums, set(tally.seen())) for group, tally in counter.tallies().items()}
    assert found == expected
