"""What a goal asks for, and when a session meets it: pure, and the same for live hits and stored rows.

A conversion is the earliest moment at which the rows of a session meet a goal, under the key it is stored by: of a goal
that counts `once` the session, of one that counts `every` the session and the event. So it may be found from any part
of the rows, in any order and more than once: the earliest of what was found stays.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from analytics_app.goals.goal import Goal
from analytics_app.goals.matching import Texts

Moment = tuple[int, int]
"""Milliseconds since 1970, and the event's id (0 where it is no event's): equal times have an order."""

ONCE = 0
"""The key of what counts once a session."""


class Conversion(NamedTuple):
    """One conversion; the first four name it, and are the order in which rows are written."""

    session_id: int
    goal_id: int
    revision: int
    key: int
    at_ms: int
    event_id: int
    website_id: int
    visitor: int
    value: str | None = None
    currency: str | None = None


class Who(NamedTuple):
    """Whose session it is."""

    session_id: int
    website_id: int
    visitor: int


class Worth(NamedTuple):
    """What an event says it is worth."""

    value: str | None
    currency: str | None


class GoalSet:
    """The goals of one website, put together so that most hits cost one look at a dictionary."""

    def __init__(self, goals: Iterable[Goal]) -> None:
        held = list(goals)
        self.of_page = Texts([goal for goal in held if goal.type == "pageview"])
        self.of_event = Texts([goal for goal in held if goal.type == "event"])
        self.durations = _by_threshold(goal for goal in held if goal.type == "duration")
        self.pages = _by_threshold(goal for goal in held if goal.type == "pages_per_session")

    def met_by(self, text: str, *, is_pageview: bool) -> tuple[Goal, ...]:
        """The goals that a pageview of that path, or an event of that name, meets; an empty text meets none."""
        return (self.of_page if is_pageview else self.of_event).found_in(text) if text else ()


def _by_threshold(goals: Iterable[Goal]) -> list[tuple[int, Goal]]:
    """Goals with their thresholds, the lowest first: most sessions reach few of them."""
    return sorted(((goal.threshold, goal) for goal in goals), key=lambda pair: pair[0])


def of_event(who: Who, goals: Iterable[Goal], moment: Moment, worth: Worth) -> Iterator[Conversion]:
    """The conversions that an event which meets `goals` is."""
    at_ms, event_id = moment
    for goal in goals:
        key = event_id if goal.every else ONCE
        yield Conversion(
            who.session_id, goal.id, goal.revision, key, at_ms, event_id, who.website_id, who.visitor, *worth
        )


def of_duration(who: Who, goal: Goal, started_ms: int) -> Conversion:
    """The conversion of a session that lasts as long as the goal asks: at the moment it had lasted so long."""
    at_ms = started_ms + 1000 * goal.threshold
    return Conversion(who.session_id, goal.id, goal.revision, ONCE, at_ms, 0, who.website_id, who.visitor)


def of_pages(who: Who, goal: Goal, view: Moment) -> Conversion:
    """The conversion of a session with as many pageviews as the goal asks for, of which `view` is the last needed."""
    return Conversion(who.session_id, goal.id, goal.revision, ONCE, *view, who.website_id, who.visitor)


def earliest(found: Iterable[Conversion]) -> list[Conversion]:
    """Of each conversion the earliest, in the order in which they are written."""
    kept: dict[tuple[int, int, int, int], Conversion] = {}
    for one in found:
        key = one[:4]
        if key not in kept or one[4:6] < kept[key][4:6]:
            kept[key] = one
    return sorted(kept.values())


GoalsOf = Callable[[int], GoalSet | None]
"""The goals of a website; None where it has none."""
