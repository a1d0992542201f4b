"""What is held of a visitor between batches, and how it goes on: pure.

The state is the visitor's events that an event still to come may meet in one attempt. Attempts are found anew from
them, so the order in which events arrive, and events that arrive twice, make no difference.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from analytics_app.funnels.logic import Event, FunnelSet, Run, runs
from analytics_app.records import VisitorEvent

LATE_MS = 25 * 3_600_000
"""A hit may be a day late, and its record a while on its way."""
UNDER_WAY_MS = 600_000
"""An event is told of before the transaction that stores it is committed; so long it may lack its row."""
MOST_HELD = 10_000
"""Of a visitor with more events within reach (no person has them) the latest are held."""


class Seen(Struct, array_like=True, frozen=True, order=True, gc=False):
    """An event of the visitor. `told_ms`: when it was told of."""

    at_ms: int
    id: int
    session_id: int
    told_ms: int
    kind: int
    text: str


class Progress(Struct, array_like=True, frozen=True):
    """A visitor's state, made under a version of the website's funnels (0: there was none).

    It lacks no event that one at or after `since_ms` may meet in an attempt.
    """

    version: int = 0
    since_ms: int = 0
    seen: tuple[Seen, ...] = ()


@dataclass(slots=True)
class Advanced:
    """What a visitor's new events come to: the state, and the attempts that are new or changed, by funnel."""

    progress: Progress
    changed: dict[int, list[Run]] = field(default_factory=dict)


def seen_of(event: VisitorEvent) -> Seen:
    """An event as the state holds it."""
    return Seen(event.at_ms, event.event_id, event.session_id, event.told_ms, event.kind, event.text)


def is_behind(state: Progress, funnels: FunnelSet, new: Iterable[Seen], now_ms: int) -> bool:
    """Whether the state may lack events that `new` ones meet: then it is to be made again from what is stored.

    It is of earlier funnels, or they are older than it reaches. Where there was no state, there is nothing within
    reach of what is not late, once all that is stored has been gone through.
    """
    earliest_ms = min((seen.at_ms for seen in new), default=now_ms)
    if state.version == 0:
        return not funnels.is_settled or earliest_ms < now_ms - LATE_MS
    return state.version < funnels.since or earliest_ms < state.since_ms


def advance(progress: Progress, funnels: FunnelSet, new: Iterable[Seen], horizon_ms: int) -> Advanced:
    """Take in events that were told of. What lies before `horizon_ms` is hardly still to come."""
    held = {seen.id for seen in progress.seen}
    fresh = {seen.id: seen for seen in new if seen.id not in held}
    after = tuple(sorted((*progress.seen, *fresh.values())))
    advanced = Advanced(_state(funnels, after, max(horizon_ms, progress.since_ms)))
    if not fresh:
        return advanced
    first = bisect_left(after, min(fresh.values()))
    for place, earliest_ms in _concerned(funnels, fresh.values()).items():
        funnel = funnels.funnels[place]
        since_ms = earliest_ms - funnel.window_ms
        # An attempt at a strict funnel knows no more events than it has steps, and the one that ends it.
        start = max(0, first - len(funnel.steps)) if funnel.is_strict else 0
        events = _events_of(funnels, place, after[start:])
        if changed := runs(funnel, events, since_ms, fresh):
            advanced.changed[funnel.id] = changed
    return advanced


def _concerned(funnels: FunnelSet, fresh: Iterable[Seen]) -> dict[int, int]:
    """The earliest of the events that matters to each funnel, by its place; nearly always these are few funnels."""
    earliest: dict[int, int] = {}
    for seen in fresh:
        for place in (*funnels.strict, *funnels.met(seen.kind, seen.text)):
            earliest[place] = min(earliest.get(place, seen.at_ms), seen.at_ms)
    return earliest


def all_runs(funnels: FunnelSet, seen: Iterable[Seen]) -> dict[int, list[Run]]:
    """Every attempt that those events hold, by funnel."""
    ordered = sorted(seen)
    return {
        funnel.id: runs(funnel, _events_of(funnels, place, ordered)) for place, funnel in enumerate(funnels.funnels)
    }


def known_now(stored: Collection[Seen], told: Iterable[Seen], gone: Collection[int], now_ms: int) -> list[Seen]:
    """The events of a visitor by its rows, and those told of that have none yet, but of sessions that are gone."""
    have = {seen.id for seen in stored}
    coming = (
        seen
        for seen in told
        if seen.id not in have and seen.session_id not in gone and seen.told_ms > now_ms - UNDER_WAY_MS
    )
    return sorted((*stored, *coming))


def rebuilt(funnels: FunnelSet, seen: Iterable[Seen], horizon_ms: int) -> Progress:
    """The state that holds of all of a visitor's events, in order, what still matters."""
    return _state(funnels, [one for one in seen if funnels.wants(one.kind, one.text)], horizon_ms)


def _state(funnels: FunnelSet, seen: Sequence[Seen], horizon_ms: int) -> Progress:
    return Progress(funnels.version, horizon_ms, within_reach(funnels, seen, horizon_ms))


def within_reach(funnels: FunnelSet, seen: Sequence[Seen], horizon_ms: int) -> tuple[Seen, ...]:
    """Those of the events, in order, that one at or after the horizon may meet in an attempt."""
    if seen and seen[0].at_ms >= horizon_ms - funnels.widest_ms and len(seen) <= MOST_HELD:
        return tuple(seen)
    kept = [one for one in seen if one.at_ms >= horizon_ms - _reach(funnels, one)]
    return tuple(kept[-MOST_HELD:])


def over_ms(funnels: FunnelSet, progress: Progress) -> int:
    """When the state is over: no event at or after it can meet one of the state's."""
    return max((seen.at_ms for seen in progress.seen), default=0) + funnels.widest_ms


def horizon(now_ms: int, told: Iterable[Seen]) -> int:
    """Hardly an event still to come lies before it. The stream's own time decides: a worker may be late itself."""
    return min((now_ms, *(seen.at_ms for seen in told))) - LATE_MS


def _reach(funnels: FunnelSet, seen: Seen) -> int:
    """The widest window of the funnels that the event matters to."""
    return max(
        (funnel.window_ms for place, funnel in enumerate(funnels.funnels) if _matters(funnels, place, seen)), default=0
    )


def _matters(funnels: FunnelSet, place: int, seen: Seen) -> bool:
    return funnels.funnels[place].is_strict or place in funnels.met(seen.kind, seen.text)


def _events_of(funnels: FunnelSet, place: int, seen: Iterable[Seen]) -> list[Event]:
    """The events that a funnel looks at, each with what it meets: of a strict one all."""
    met, is_strict = funnels.met, funnels.funnels[place].is_strict
    found = ((one, met(one.kind, one.text).get(place, 0)) for one in seen)
    return [Event(one.at_ms, one.id, one.session_id, mask) for one, mask in found if mask or is_strict]


_decoder = msgspec.msgpack.Decoder(Progress)
_encoder = msgspec.msgpack.Encoder()


def encode_progress(progress: Progress) -> bytes:
    """The state as row and table hold it."""
    return _encoder.encode(progress)


def decode_progress(value: bytes) -> Progress:
    """The state that `value` holds; an empty one was made, and never written."""
    return _decoder.decode(value) if value else Progress()
