"""What a sender does, judged by rate and crawl shape: pure.

A source is an address with a user agent, of one website. What it sent in the last minute is held; once that looks like
a machine's doing, its sessions are asked for: whoever read pages, or touched them, is a person, however many share the
address.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import NamedTuple

from analytics_app.records import Seen

WINDOW_MS = 60_000
HELD = 600
"""Hits of a source that are held: ten a second for a minute, enough for any verdict."""

SLOT_MS, SLOTS = 10_000, 3
RATE_IN_SLOT = 20
"""Two pages a second for half a minute."""

FEWEST = 30
FEWEST_AGAIN = 15
"""Of a source that was condemned within the hour."""
SHORTEST_MS = 15_000
DISTINCT = 0.9
REGULAR = 0.35
"""Standard deviation of the pauses, as a part of their mean: people's is about 1 or more."""
BRISK_MS = 1_000
ORDERED = 0.9

HOLDS_MS = 5 * 60_000
READ_S = 1.0
"""A second of attention for each page: nobody who crawls pays that, and the tracker reports it."""


class Condemned(NamedTuple):
    """A verdict about a source: why, when, and until when its hits are left out."""

    reason: str
    decided_ms: int
    holds_until_ms: int


class Sent(NamedTuple):
    """One hit of a source."""

    at_ms: int
    event_id: int
    session_key: str
    path: str | None


class Source:
    """What one source sent in the last minute, each hit once however often it is told."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.hits: OrderedDict[int, Sent] = OrderedDict()
        self.asked_ms = 0
        self.condemned_ms: int | None = None
        self.reason = ""  # of the verdict that this process passed

    def see(self, seen: Seen) -> None:
        """Take in a hit."""
        self.hits.setdefault(seen.event_id, Sent(seen.at_ms, seen.event_id, seen.session_key, seen.path))
        while len(self.hits) > HELD:
            self.hits.popitem(last=False)

    def leave_before(self, horizon_ms: int) -> bool:
        """Forget what was sent before; returns whether anything is left."""
        if any(sent.at_ms < horizon_ms for sent in self.hits.values()):
            self.hits = OrderedDict((key, sent) for key, sent in self.hits.items() if sent.at_ms >= horizon_ms)
        return bool(self.hits)

    def keys(self) -> set[str]:
        """The session keys it sent under."""
        return {sent.session_key for sent in self.hits.values()}


def suspicion(hits: Iterable[Sent], fewest: int = FEWEST) -> str | None:
    """Why hits of one source look like a machine's (`rate`, `crawl_shape`), or None."""
    views = sorted(sent for sent in hits if sent.path is not None)
    if len(views) < fewest:
        return None
    if _is_sustained(views):
        return "rate"
    return "crawl_shape" if _is_crawl(views) else None


def joint_suspicion(hits: Iterable[Sent]) -> str | None:
    """The same of all sources of an address together, which may be many people's: only a crawl in order counts."""
    views = sorted(sent for sent in hits if sent.path is not None)
    if len(views) < FEWEST or views[-1].at_ms - views[0].at_ms < SHORTEST_MS:
        return None
    paths = [sent.path or "" for sent in views]
    return "crawl_shape" if len(set(paths)) >= 0.95 * len(paths) and _in_order(paths) else None


def is_read(engaged_s: int, pageviews: int, interactions: int) -> bool:
    """Whether sessions were a person's: pages were read, or something on them was done."""
    return engaged_s >= READ_S * pageviews or interactions * 5 >= pageviews


def _is_sustained(views: Sequence[Sent]) -> bool:
    """Whether each of the last slots is full."""
    last = views[-1].at_ms
    counts = [0] * SLOTS
    for sent in views:
        slot = (last - sent.at_ms) // SLOT_MS
        if slot < SLOTS:
            counts[slot] += 1
    return all(count >= RATE_IN_SLOT for count in counts)


def _is_crawl(views: Sequence[Sent]) -> bool:
    """Whether pages were called one after the other, hardly any twice, in a machine's time or order."""
    if views[-1].at_ms - views[0].at_ms < SHORTEST_MS:
        return False
    paths = [sent.path or "" for sent in views]
    pauses = [after.at_ms - before.at_ms for before, after in pairwise(views)]
    regular = pstdev(pauses) <= REGULAR * fmean(pauses)
    if len(set(paths)) < DISTINCT * len(paths):
        return False
    return regular or median(pauses) <= BRISK_MS or _in_order(paths)


_PARTS = re.compile(r"(\d{1,18})")


def _in_order(paths: Sequence[str]) -> bool:
    """Whether nearly each path follows the one before it: `/p/2` before `/p/10`."""
    keys = [[int(part) if part.isdecimal() else part for part in _PARTS.split(path)] for path in paths]
    rising = sum(_precedes(before, after) for before, after in pairwise(keys))
    return rising >= ORDERED * (len(keys) - 1)


def _precedes(before: list[int | str], after: list[int | str]) -> bool:
    for one, other in zip(before, after, strict=False):
        if one != other:
            return one < other if type(one) is type(other) else False  # type: ignore[operator]
    return len(before) < len(after)
