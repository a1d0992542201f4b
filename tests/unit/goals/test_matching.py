"""Many goals at once find what each finds alone."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics_app.goals import matching
from analytics_app.goals.goal import Goal
from analytics_app.goals.logic import GoalSet
from analytics_app.goals.matching import REMEMBERED, Texts

TEXT = st.text(alphabet="ab/é.%_\n", max_size=6)
PLAIN = st.tuples(st.sampled_from(["equals", "contains", "starts_with", "ends_with"]), TEXT.filter(bool))
EXPRESSIONS = ["a", "^/", "b$", "^a+b?$", "é", "(?i)B", "[^/]+", "a|/b", ".", "^$", "\\n", "(?:a/?){2}", "\\p{L}"]
ASKED = st.lists(PLAIN | st.tuples(st.just("regex"), st.sampled_from(EXPRESSIONS)), max_size=12)


def goals_of(asked):
    return [Goal(number, 1, "pageview", value, type_) for number, (type_, value) in enumerate(asked)]


def meant(type_, value, text):
    return {
        "equals": text == value,
        "contains": text.find(value) >= 0,
        "starts_with": text[: len(value)] == value,
        "ends_with": value == "" or text[-len(value) :] == value,
    }[type_]


@given(ASKED, st.lists(TEXT, max_size=8))
@example([("regex", "a"), ("regex", "b")], ["ab", "a", "b", ""])
def test_goals_together_find_what_each_finds_alone(asked, texts):
    goals = goals_of(asked)
    together = Texts(goals)
    for text in [*texts, *texts]:
        alone = {goal.id for goal in goals if goal.matches(text)}
        assert sorted(goal.id for goal in together.found_in(text)) == sorted(alone)


@given(PLAIN, TEXT)
def test_the_plain_comparisons_are_what_their_names_say(asked, text):
    assert goals_of([asked])[0].matches(text) == meant(*asked, text)


def test_expressions_too_large_for_one_automaton_are_tried_one_by_one(monkeypatch):
    monkeypatch.setattr(matching, "SET_MEMORY", 1 << 14)
    together = Texts(goals_of([("regex", pattern) for pattern in ["[a-z]{300}", "\\p{L}{20}7", "^/x"]]))
    assert together._set is None
    assert [goal.id for goal in together.found_in("/xyz")] == [2]


def test_what_is_remembered_is_bounded():
    together = Texts(goals_of([("contains", "7")]))
    for number in range(REMEMBERED + 10):
        together.found_in(str(number))
    assert len(together._known) <= REMEMBERED
    assert together.found_in("17")


@pytest.mark.parametrize(("text", "is_pageview", "found"), [("/a", True, [1]), ("/a", False, [2]), ("", True, [])])
def test_pages_are_compared_with_pageviews_and_names_with_events(text, is_pageview, found):
    goals = GoalSet([Goal(1, 1, "pageview", ".*", "regex"), Goal(2, 1, "event", ".*", "regex")])
    assert [goal.id for goal in goals.met_by(text, is_pageview=is_pageview)] == found
