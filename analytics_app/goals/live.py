"""The conversions in what a batch of hits came to: pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from analytics_app.goals.goal import Goal
from analytics_app.goals.logic import Conversion, GoalSet, Moment, Who, Worth, of_duration, of_event, of_pages
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.logic import Change, Folded
from analytics_app.sessions.state import Visit


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pageview that only rows know any more: the `goal.threshold`-th of a long session."""

    who: Who
    goal: Goal
    started_ms: int


@dataclass(slots=True)
class Found:
    """What was found: conversions, and what must be read to tell about others."""

    conversions: list[Conversion] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)


def found_in(folded: Folded, goals_of: Callable[[int], GoalSet | None]) -> Found:
    """What of `folded`, its visitors numbered, may convert.

    Of sessions that go on, what they had met before is not found again, unless it may have moved.
    """
    out = Found()
    first_new_view: dict[int, Moment] = {}
    for hit, visit in folded.events:
        goals = goals_of(visit.website_id)
        if goals is None:
            continue
        is_pageview = hit.kind == EventKind.PAGEVIEW
        moment = (hit.at_ms, hit.event_id)
        if is_pageview and goals.pages:
            first_new_view[visit.id] = min(first_new_view.get(visit.id, moment), moment)
        met = goals.met_by(hit.path if is_pageview else hit.name, is_pageview=is_pageview)
        if met:
            out.conversions += of_event(_who(visit), met, moment, Worth(hit.value, hit.currency))
    for change in folded.changes.values():
        goals = goals_of(change.visit.website_id)
        if goals is not None:
            _by_duration(out, change, goals)
            _by_pages(out, change, goals, first_new_view.get(change.visit.id))
    return out


def _who(visit: Visit) -> Who:
    return Who(visit.id, visit.website_id, visit.visitor)


def _moved(change: Change) -> bool:
    """Whether the session is new, or starts earlier than it did."""
    return change.before is None or change.was_started_ms != change.visit.started_ms


def _by_duration(out: Found, change: Change, goals: GoalSet) -> None:
    visit = change.visit
    duration_s = visit.duration_s
    had = change.before.duration_s if change.before and not _moved(change) else -1
    for threshold, goal in goals.durations:
        if threshold > duration_s:
            return
        if threshold > had:
            out.conversions.append(of_duration(_who(visit), goal, visit.started_ms))


def _by_pages(out: Found, change: Change, goals: GoalSet, new: Moment | None) -> None:
    """`new` is the earliest of the pageviews that are new."""
    visit = change.visit
    had = change.before.pageviews if change.before and not _moved(change) else -1
    held: list[Moment] | None = None
    for threshold, goal in goals.pages:
        if threshold > visit.pageviews:
            return
        due = threshold > had
        if not due and new is None:
            continue
        held = held or moments_held(visit)
        place = threshold - 1 - (visit.pageviews - len(held))
        if place >= 0:
            if due or (new is not None and new <= held[place]):
                out.conversions.append(of_pages(_who(visit), goal, held[place]))
        elif due or (new is not None and new < held[0]):
            out.wanted.append(Wanted(_who(visit), goal, visit.started_ms))


def moments_held(visit: Visit) -> list[Moment]:
    """The moments of the pageviews that a visit holds, in order: all of them, or the latest of a long one."""
    return sorted((view.at_ms, view.event_id) for view in visit.views)
