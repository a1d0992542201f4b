"""Funnels: what they are, and which attempts at one a visitor's events hold. Pure.

An attempt begins with every event that matches step 1. It takes later events, in the order of (time, event id), each
for one step; steps in their order, the required ones without gap, optional ones where they fit; nothing later than
the window after its start. Of a strict funnel it takes every event of the visitor until one does not fit.

Several choices may be possible. The one with the most required steps counts, then the one with the most steps; of
equal ones that which reaches its last step first, then the step before it, and so on; a lower step before a higher.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from analytics_app.sessions.kinds import EventKind

MatchType = Literal["pageview", "event"]

HOUR_MS = 3_600_000
MOST_STEPS = 20
TEXTS_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a pageview of a path, or an event of a name; in `match_value` each `*` stands for any text."""

    id: int
    match_type: MatchType
    match_value: str
    is_optional: bool = False

    def matches(self, kind: int, text: str) -> bool:
        """Whether an event of that kind, and that path or name, takes the step."""
        if (kind == EventKind.PAGEVIEW) is not (self.match_type == "pageview"):
            return False
        return matches(self.match_value, text)


def matches(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, in which each `*` stands for any text, or none. Linear in their product at worst."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


@dataclass(frozen=True)
class Funnel:
    """A funnel as it is counted. `revision` changes whenever its meaning does. Its first step is never optional."""

    id: int
    revision: int
    is_strict: bool
    window_ms: int
    steps: tuple[Step, ...]

    @cached_property
    def required_before(self) -> tuple[int, ...]:
        """For each step the place of the last required one before it; -1 for the first."""
        places, last = [], -1
        for place, step in enumerate(self.steps):
            places.append(last)
            if not step.is_optional:
                last = place
        return tuple(places)

    @cached_property
    def required(self) -> int:
        """How many steps are required."""
        return sum(not step.is_optional for step in self.steps)


class Event(NamedTuple):
    """An event as a funnel sees it: when, which, in which session, and the steps it can take, as bits."""

    at_ms: int
    id: int
    session_id: int
    mask: int


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt: its first event, and of each step how long after that it was taken (in ms; None: not)."""

    event_id: int
    started_ms: int
    session_id: int
    offsets_ms: tuple[int | None, ...]
    required: int
    """Required steps taken."""
    is_open: bool
    """Whether more may follow within the window: required steps are missing, and nothing broke a strict funnel."""

    @property
    def taken(self) -> int:
        """Steps taken."""
        return sum(offset is not None for offset in self.offsets_ms)


def runs(funnel: Funnel, events: Sequence[Event], since_ms: int = 0, fresh: Collection[int] | None = None) -> list[Run]:
    """The attempts that begin at or after `since_ms`, in order; of these, where `fresh` is given, those it changes.

    `events` are the visitor's, ordered by time and id: of a strict funnel all of them, else those with a mask. `fresh`:
    the ids of those that are new. An attempt that takes none of them, and is not ended by one, was there before.
    """
    starts = [first for first, event in enumerate(events) if event.mask & 1 and event.at_ms >= since_ms]
    if not starts:
        return []
    follow = _Strict(funnel, events) if funnel.is_strict else _Loose(funnel, events)
    found = (follow.taken(first) for first in starts)
    if fresh is not None:
        found = (taken for taken in found if _is_new(funnel, events, taken, fresh))
    return [_run(funnel, events, taken) for taken in found]


def _is_new(funnel: Funnel, events: Sequence[Event], taken: Sequence[tuple[int, int]], fresh: Collection[int]) -> bool:
    after = taken[-1][1] + 1
    if funnel.is_strict and after < len(events) and events[after].id in fresh:
        return True
    return any(events[place].id in fresh for _, place in taken)


def _run(funnel: Funnel, events: Sequence[Event], taken: Sequence[tuple[int, int]]) -> Run:
    """The attempt that takes those (step, event)s, by their places."""
    start = events[taken[0][1]]
    offsets: list[int | None] = [None] * len(funnel.steps)
    for step, place in taken:
        offsets[step] = events[place].at_ms - start.at_ms
    required = sum(not funnel.steps[step].is_optional for step, _ in taken)
    after = taken[-1][1] + 1
    unbroken = not funnel.is_strict or after == len(events) or events[after].at_ms > start.at_ms + funnel.window_ms
    return Run(
        start.id, start.at_ms, start.session_id, tuple(offsets), required, required < funnel.required and unbroken
    )


class _Loose:
    """Other activity may come between: each step looks for the next event that takes it.

    For each step and number of steps taken by then, the earliest event at which that can be: an earlier one never
    closes a way that a later one has.
    """

    def __init__(self, funnel: Funnel, events: Sequence[Event]) -> None:
        self.funnel, self.events = funnel, events
        self.places: list[list[int]] = [[] for _ in funnel.steps]
        for place, event in enumerate(events):
            for step in range(len(funnel.steps)):
                if event.mask >> step & 1:
                    self.places[step].append(place)

    def taken(self, first: int) -> list[tuple[int, int]]:
        """The (step, event)s of the attempt that begins at the event `first`."""
        steps, before = self.funnel.steps, self.funnel.required_before
        until_ms = self.events[first].at_ms + self.funnel.window_ms
        # By step: for a number of steps taken, (event, the step before).
        best: list[dict[int, tuple[int, int]]] = [{1: (first, -1)}]
        reached = 0
        for step in range(1, len(steps)):
            best.append(self._next(step, best, before[step], until_ms))
            if not steps[step].is_optional:
                if not best[step]:
                    break
                reached = step
        ends = [step for step in range(reached, len(best)) if best[step]]
        most = max(max(best[step]) for step in ends)
        end = min((best[step][most][0], step) for step in ends if most in best[step])[1]
        chain = []
        while end >= 0:
            place, previous = best[end][most]
            chain.append((end, place))
            end, most = previous, most - 1
        return chain[::-1]

    def _next(
        self, step: int, best: Sequence[dict[int, tuple[int, int]]], required: int, until_ms: int
    ) -> dict[int, tuple[int, int]]:
        """How `step` can be taken, coming from the required step before it or an optional one since."""
        ways: dict[int, tuple[int, int]] = {}
        for previous in range(required, step):
            for count, (place, _) in best[previous].items():
                if count not in ways or place < ways[count][0]:
                    ways[count] = place, previous
        places, found = self.places[step], {}
        for count, (place, previous) in ways.items():
            at = bisect_right(places, place)
            if at < len(places) and self.events[places[at]].at_ms <= until_ms:
                found[count + 1] = places[at], previous
        return found


class _Strict:
    """Nothing may come between: every event takes a step, or ends the attempt."""

    def __init__(self, funnel: Funnel, events: Sequence[Event]) -> None:
        self.funnel, self.events = funnel, events

    def taken(self, first: int) -> list[tuple[int, int]]:
        """The (step, event)s of the attempt that begins at the event `first`."""
        steps, before = self.funnel.steps, self.funnel.required_before
        until_ms = self.events[first].at_ms + self.funnel.window_ms
        standing: dict[int, list[tuple[int, int]]] = {0: [(0, first)]}
        best, most = standing[0], 1
        for place in range(first + 1, min(first + len(steps), len(self.events))):
            event = self.events[place]
            if event.at_ms > until_ms:
                break
            taken: dict[int, list[tuple[int, int]]] = {}
            for step in range(1, len(steps)):
                if event.mask >> step & 1:
                    previous = next((held for held in range(before[step], step) if held in standing), None)
                    if previous is not None:
                        taken[step] = [*standing[previous], (step, place)]
            if not taken:
                break
            standing = taken
            for step in sorted(standing):
                required = sum(not held.is_optional for held in steps[: step + 1])
                if required > most or (required == most and len(standing[step]) > len(best)):
                    best, most = standing[step], required
        return best


def best_of(attempts: Iterable[Run]) -> Run | None:
    """The attempt that counts: with the most required steps, then the most steps, then the earliest."""
    return min(attempts, key=lambda run: (-run.required, -run.taken, run.started_ms, run.event_id), default=None)


class FunnelSet:
    """All funnels of a website that have steps, as of a version.

    `since`: states of visitors made under an earlier version lack events that matter now. `is_settled`: all that was
    stored before has been gone through under this version.
    """

    def __init__(
        self, website_id: int, version: int, funnels: Sequence[Funnel] = (), *, since: int = 0, is_settled: bool = True
    ) -> None:
        self.website_id, self.version, self.since, self.is_settled = website_id, version, since, is_settled
        self.funnels = tuple(funnels)
        self.revisions = {funnel.id: funnel.revision for funnel in funnels}
        self.strict = tuple(place for place, funnel in enumerate(funnels) if funnel.is_strict)
        self.widest_ms = max((funnel.window_ms for funnel in funnels), default=0)
        self._exact: defaultdict[tuple[bool, str], list[tuple[int, int]]] = defaultdict(list)
        self._patterns: list[tuple[Step, int, int]] = []
        for place, funnel in enumerate(funnels):
            for number, step in enumerate(funnel.steps):
                if "*" in step.match_value:
                    self._patterns.append((step, place, 1 << number))
                else:
                    self._exact[step.match_type == "pageview", step.match_value].append((place, 1 << number))
        self._known: dict[tuple[int, str], Mapping[int, int]] = {}

    def met(self, kind: int, text: str) -> Mapping[int, int]:
        """The steps that such an event can take, as bits, by the places of the funnels it can take any of."""
        what = (kind, text)
        found = self._known.get(what)
        if found is None:
            if len(self._known) >= TEXTS_REMEMBERED:
                self._known.clear()
            found = self._known[what] = self._compared(kind, text)
        return found

    def _compared(self, kind: int, text: str) -> Mapping[int, int]:
        masks: dict[int, int] = {}
        patterns = ((place, bit) for step, place, bit in self._patterns if step.matches(kind, text))
        for place, bit in (*self._exact.get((kind == EventKind.PAGEVIEW, text), ()), *patterns):
            masks[place] = masks.get(place, 0) | bit
        return masks or _NOTHING

    def wants(self, kind: int, text: str) -> bool:
        """Whether such an event matters to any of the funnels."""
        return bool(self.strict) or bool(self.met(kind, text))


_NOTHING: Mapping[int, int] = {}
