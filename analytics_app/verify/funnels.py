"""Attempts at funnels counted again, in another way than they are counted: event by event, step by step. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from analytics_app.funnels.logic import Event, Funnel


class Attempt(NamedTuple):
    """An attempt, as its row has it."""

    event_id: int
    session_id: int
    started_ms: int
    required: int
    is_open: bool
    offsets_ms: tuple[int | None, ...]


def attempts(funnel: Funnel, events: Sequence[Event]) -> list[Attempt]:
    """Every attempt at the funnel; `events` are the visitor's in order, of a loose funnel those that take a step."""
    return [_attempt(funnel, events[place:]) for place, event in enumerate(events) if event.mask & 1]


def _attempt(funnel: Funnel, events: Sequence[Event]) -> Attempt:
    """The attempt that begins with the first of `events`: for each step the longest way to it, the earliest of several.

    A way is the places of the events that take its steps, by step.
    """
    start, steps = events[0], funnel.steps
    ways: dict[int, dict[int, int]] = {0: {0: 0}}
    within = [event for event in events if event.at_ms <= start.at_ms + funnel.window_ms]
    for place, event in enumerate(within[1:], 1):
        for step in range(len(steps) - 1, 0, -1):
            if not event.mask >> step & 1:
                continue
            before = [
                (-len(way), max(way.values()), previous)
                for previous, way in ways.items()
                if previous < step
                and all(steps[between].is_optional for between in range(previous + 1, step))
                and (not funnel.is_strict or max(way.values()) == place - 1)
            ]
            if before and (step not in ways or 1 - min(before)[0] > len(ways[step])):
                ways[step] = {**ways[min(before)[2]], step: place}

    def rank(step: int) -> tuple[int, int, int, int]:
        way = ways[step]
        return -_required(funnel, way), -len(way), max(way.values()), step

    best = ways[min(ways, key=rank)]
    required = _required(funnel, best)
    broken = funnel.is_strict and max(best.values()) < len(within) - 1
    offsets = (within[best[step]].at_ms - start.at_ms if step in best else None for step in range(len(steps)))
    is_open = required < sum(not step.is_optional for step in steps) and not broken
    return Attempt(start.id, start.session_id, start.at_ms, required, is_open, tuple(offsets))


def _required(funnel: Funnel, way: dict[int, int]) -> int:
    return sum(not funnel.steps[step].is_optional for step in way)
