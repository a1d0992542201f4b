"""Many goals' comparisons with paths and names, put together: each text is compared once."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import re2

from analytics_app.goals.goal import Goal

REMEMBERED = 20_000
SET_MEMORY = 16 << 20


class Texts:
    """Which of several goals a text meets."""

    def __init__(self, goals: Sequence[Goal]) -> None:
        self._any = bool(goals)
        self._equal: defaultdict[str, list[Goal]] = defaultdict(list)
        for goal in goals:
            if goal.match_type == "equals":
                self._equal[goal.match_value].append(goal)
        self._others = [goal for goal in goals if goal.match_type not in ("equals", "regex")]
        self._expressions = [goal for goal in goals if goal.match_type == "regex"]
        self._set = _together([goal.match_value for goal in self._expressions])
        self._known: dict[str, tuple[Goal, ...]] = {}

    def found_in(self, text: str) -> tuple[Goal, ...]:
        """The goals that `text` meets."""
        if not self._any:
            return ()
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[text] = tuple(self._compared(text))
        return found

    def _compared(self, text: str) -> list[Goal]:
        found = list(self._equal.get(text, ()))
        found += [goal for goal in self._others if goal.matches(text)]
        if self._set is None:
            return found + [goal for goal in self._expressions if goal.matches(text)]
        return found + [self._expressions[number] for number in self._set.Match(text) or ()]


def _together(patterns: Sequence[str]) -> Any:
    """The expressions as one automaton (an `re2.Set`); None where there are too few for it, or they are too large."""
    if len(patterns) < 2:
        return None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = SET_MEMORY
    made = re2.Set.SearchSet(options)
    try:
        for pattern in patterns:
            made.Add(pattern)
        made.Compile()
    except re2.error:
        return None
    return made
