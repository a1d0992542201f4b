"""What a session is while it may still change, in integers of milliseconds.

One `State` holds what may still change of one client session id: its visits, of any website, that a hit could yet
join. A visit is a session as counted: activity of one visitor of one website with no gap above the timeout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec import Struct

QUARTER_MS = 900_000
VIEWS_HELD = 16
LATE_MS = 24 * 3_600_000
"""How late a hit may be."""
KEPT_MS = LATE_MS + 24 * 3_600_000
"""A visit whose activity ended so long before the latest one of its session id cannot change any more.

A hit may be a day late and join what ended a timeout before it, of a day at most.
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a website's settings say about its sessions."""

    timeout_ms: int = 1_800_000
    max_ms: int = 86_400_000
    bounce_engaged_s: int = 10


class View(Struct, array_like=True):
    """A pageview whose engagement may still grow."""

    event_id: int
    at_ms: int
    time_s: int = 0
    scroll: int = 0


class Visit(Struct, array_like=True):
    """A session so far. Moments are (time, event id), so that equal times have an order."""

    id: int
    website_id: int
    visitor: int
    started_ms: int
    last_ms: int
    first: tuple[int, int]
    pageviews: int = 0
    events: int = 0
    interactions: int = 0
    engaged_s: int = 0
    entry: tuple[int, int] | None = None
    exit: tuple[int, int] | None = None
    exit_path: str = ""
    country: str = ""
    views: list[View] = msgspec.field(default_factory=list)
    views_dropped: bool = False
    counted_bounce: bool = False  # as rows and rollups have it: the rule may have changed since

    def holds(self, event_id: int) -> View | None:
        """The pageview of that id, if its engagement is still held here."""
        for view in reversed(self.views):
            if view.event_id == event_id:
                return view
        return None

    def takes(self, at_ms: int, rules: Rules) -> bool:
        """Whether activity at `at_ms` belongs to this session: within the timeout of it, and not too long a session."""
        near = self.started_ms - rules.timeout_ms <= at_ms <= self.last_ms + rules.timeout_ms
        return near and max(self.last_ms, at_ms) - min(self.started_ms, at_ms) <= rules.max_ms

    def is_bounce(self, rules: Rules) -> bool:
        """Whether this was a glance: fewer than two pageviews, no interaction, hardly any engagement."""
        engaged = 0 < rules.bounce_engaged_s <= self.engaged_s
        return self.pageviews < 2 and self.interactions == 0 and not engaged

    @property
    def duration_s(self) -> int:
        """Whole seconds from the first activity to the last."""
        return (self.last_ms - self.started_ms) // 1000


class State(Struct, array_like=True):
    """What the fold of one client session id goes on from."""

    visits: list[Visit] = msgspec.field(default_factory=list)
    repeats: list[tuple[int, int]] = msgspec.field(default_factory=list)  # ids of repeats, and of what they repeat
    seen_ms: int = 0  # the latest hit that changed anything here

    @property
    def first_ms(self) -> int:
        """The start of the latest visit; where there is none, the latest hit."""
        return max(self.visits, key=lambda visit: visit.last_ms).started_ms if self.visits else self.seen_ms

    @property
    def last_ms(self) -> int:
        """The latest activity of any visit; 0 where there is none."""
        return max((visit.last_ms for visit in self.visits), default=0)

    def kept(self, event_id: int) -> int:
        """The event that counts under that id: another one where the id is that of a repeat."""
        return dict(self.repeats).get(event_id, event_id) if self.repeats else event_id

    def live(self, website_id: int) -> list[Visit]:
        """The visits that may still change; of one website, unless that is 0."""
        if len(self.visits) == 1:  # nearly always
            return self.visits if website_id in (0, self.visits[0].website_id) else []
        horizon = self.last_ms - KEPT_MS
        return [v for v in self.visits if v.last_ms >= horizon and website_id in (0, v.website_id)]


@dataclass(frozen=True, slots=True)
class Held:
    """A copy of a state, and the version of the row that it is a copy of."""

    version: int
    state: bytes


class Share(NamedTuple):
    """What a session adds to the rollup of the quarter hour it started in."""

    website_id: int
    bucket_ms: int
    sessions: int
    bounces: int
    duration_s: int
    pageviews: int


def bucket_of(at_ms: int) -> int:
    """The start of the quarter hour that `at_ms` lies in."""
    return at_ms - at_ms % QUARTER_MS


def share_of(visit: Visit) -> Share:
    """What `visit` adds to its rollup, as a bounce or none as it was last judged."""
    return Share(
        visit.website_id,
        bucket_of(visit.started_ms),
        1,
        int(visit.counted_bounce),
        visit.duration_s,
        visit.pageviews,
    )


def prune(state: State) -> None:
    """Drop from `state` what no hit can change any more, or only by way of its rows.

    Of a visit's pageviews the latest are held.
    """
    state.visits = state.live(0)
    for visit in state.visits:
        if len(visit.views) > VIEWS_HELD:
            visit.views.sort(key=lambda view: (view.at_ms, view.event_id))
            visit.views = visit.views[-VIEWS_HELD:]
            visit.views_dropped = True


_decoder = msgspec.json.Decoder(State)
_encoder = msgspec.json.Encoder()


def encode_state(state: State) -> bytes:
    """`state` as row and table hold it."""
    return _encoder.encode(state)


def decode_state(value: bytes) -> State:
    """A state of its own, to be changed."""
    return _decoder.decode(value)
