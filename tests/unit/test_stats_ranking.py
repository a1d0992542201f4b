"""The first lines of a breakdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.stats.breakdowns import LINE_METRICS, After, Sort
from analytics_app.stats.ranking import first_values, key_of
from analytics_app.stats.tallies import Tally
from analytics_app.stats.visitors import visitors_of, written


def tally(pieces: list[list[int]], further: int = 0, sessions: int = 0) -> Tally:
    """What visitors did in pieces of time: a pageview each, and some events, in so many sessions."""
    made = Tally()
    for seen in pieces:
        made.add({"pageviews": len(seen), "duration_s": 7 * len(seen)}, unread=[written(visitors_of(seen))])
    made.add({"events": further, "sessions": sessions, "bounces": sessions // 2})
    return made


pieces = st.lists(st.lists(st.integers(0, 30), max_size=8, unique=True), min_size=1, max_size=4)
traffic = st.lists(st.tuples(pieces, st.integers(0, 3), st.integers(0, 5)), max_size=25)


def told(value: int) -> str:
    """The text of a value: not in the order of the numbers."""
    return f"/{(value * 7) % 25:02}"


def page(held, sort: Sort, limit: int, after: After | None) -> list[tuple[float, str]]:
    """One page of lines, as key and text, from what `first_values` leaves over."""
    sign = -1 if sort.descending else 1
    lines = sorted((order, told(value)) for order, value in held)
    if after is not None:
        lines = [line for line in lines if line > (sign * after.key, after.value)]
    return [(sign * order, text) for order, text in lines[:limit]]


@given(traffic, st.sampled_from(LINE_METRICS), st.booleans(), st.integers(1, 6), st.booleans())
def test_pages_of_first_values_are_the_whole_list_in_order(given_traffic, metric, descending, limit, of_event):
    sort = Sort(metric, descending)
    sign = -1 if descending else 1
    tallies = [tally(*one) for one in given_traffic]
    whole = sorted((sign * key_of(one, sort), told(value)) for value, one in enumerate(tallies))
    found: list[tuple[float, str]] = []
    after = None
    while True:
        fresh = {value: tally(*one) for value, one in enumerate(given_traffic)}
        lines = page(first_values(fresh, sort, limit, after, of_event=of_event), sort, limit, after)
        found += lines
        if len(lines) < limit:
            break
        after = After(*lines[-1])
    assert found == [(sign * order, text) for order, text in whole]


def test_who_did_too_little_to_be_among_the_most_seen_is_not_counted():
    tallies = {value: tally([list(range(value)), list(range(value))]) for value in range(1, 101)}
    assert [value for _, value in first_values(tallies, Sort(), 5, None, of_event=True)] == [100, 99, 98, 97, 96]
    assert [value for value, one in tallies.items() if not one.unread] == list(range(48, 101))


@pytest.mark.parametrize("metric", [metric for metric in LINE_METRICS if metric != "visitors"])
def test_for_another_order_no_visitors_are_counted(metric):
    tallies = {value: tally([list(range(value))]) for value in range(1, 20)}
    first_values(tallies, Sort(metric), 5, None, of_event=True)
    assert all(one.unread for one in tallies.values())


def test_visitors_who_did_nothing_that_counts_in_a_line_are_among_the_most_seen():
    tallies = {1: tally([[1, 2]]), 2: Tally(unread=[written(visitors_of([1, 2, 3]))])}
    assert [value for _, value in first_values(tallies, Sort(), 1, None, of_event=False)] == [2]
