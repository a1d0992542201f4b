"""Funnels by brute force: every way in which a visitor's events can take the steps is written out, and the best kept.

It shares nothing with the service but the definition: no masks, no pointers, no order of work.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Step:
    """A step: a pageview of a path or an event of a name, `*` for any text."""

    match_type: str
    match_value: str
    is_optional: bool = False


@dataclass(frozen=True)
class Happened:
    """An event: `kind` 1 is a pageview of `text`, anything else an event of that name."""

    at_ms: int
    id: int
    session_id: int
    kind: int
    text: str


@dataclass(frozen=True)
class Attempt:
    """An attempt as the service tells it."""

    event_id: int
    started_ms: int
    session_id: int
    offsets_ms: tuple[int | None, ...]
    required: int
    is_open: bool


def fits(pattern, text):
    """Whether the text is the pattern, one character after the other."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
    return bool(text) and pattern[0] == text[0] and fits(pattern[1:], text[1:])


def takes(step, event):
    return (event.kind == 1) == (step.match_type == "pageview") and fits(step.match_value, event.text)


def chains(steps, is_strict, window_ms, events, chain):
    """Every way to go on from `chain`, itself included; a chain is of (step, place of the event)."""
    yield chain
    step, place = chain[-1]
    start = events[chain[0][1]].at_ms
    for later in range(place + 1, len(events)):
        if events[later].at_ms - start > window_ms or (is_strict and later != place + 1):
            break
        for following in range(step + 1, len(steps)):
            if takes(steps[following], events[later]):
                yield from chains(steps, is_strict, window_ms, events, [*chain, (following, later)])
            if not steps[following].is_optional:
                break


def attempts(steps, is_strict, window_ms, happened):
    """The attempts that those events hold, whatever order they come in, repeats left out."""
    events = sorted({one.id: one for one in happened}.values(), key=lambda one: (one.at_ms, one.id))
    required = sum(not step.is_optional for step in steps)

    def rank(chain):
        return (-sum(not steps[step].is_optional for step, _ in chain), -len(chain), [(at, s) for s, at in chain[::-1]])

    found = []
    for first, event in enumerate(events):
        if not takes(steps[0], event):
            continue
        best = min(chains(steps, is_strict, window_ms, events, [(0, first)]), key=rank)
        assert all(a < b and x < y for (a, x), (b, y) in pairwise(best))
        at = dict(best)
        offsets = tuple(events[at[n]].at_ms - event.at_ms if n in at else None for n in range(len(steps)))
        done = sum(not steps[n].is_optional for n in at)
        after = events[best[-1][1] + 1 :]
        broken = is_strict and bool(after) and after[0].at_ms - event.at_ms <= window_ms
        found.append(Attempt(event.id, event.at_ms, event.session_id, offsets, done, done < required and not broken))
    return found
