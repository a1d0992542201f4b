"""Counting any selection from the columns of days. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics_app.stats.columns import OF_DIMENSION, Array, Coded, Column
from analytics_app.stats.filters import DIMENSIONS
from analytics_app.stats.tallies import SEALED_SUMS, Tally
from analytics_app.stats.visitors import narrow, visitors_of

_OF_SESSIONS = (Column.BEGUN, Column.IS_BOUNCE, Column.DURATION_S, Column.PAGEVIEWS, Column.VISITOR)
_SEEN = (Column.SEEN_PAGEVIEWS, Column.SEEN_EVENTS)
_SEEN_ENGAGEMENT = (Column.SEEN_TIME_S, Column.SEEN_SCROLL)
_OF_EVENTS = (Column.HELD, Column.LATER, Column.IS_PAGEVIEW)
_ENGAGEMENT = (Column.TIME_S, Column.SCROLL)


@dataclass(frozen=True, slots=True)
class Must:
    """What a dimension's value must be: one of `values` (`but`: none of them)."""

    dimension: str
    values: tuple[int, ...]
    but: bool

    @property
    def of_event(self) -> bool:
        """Whether it is one on events."""
        return DIMENSIONS[self.dimension].of_event

    def met(self, day: Mapping[int, Any]) -> Array:
        """Which rows meet it."""
        held: Coded = day[OF_DIMENSION[self.dimension]]
        good = np.isin(held.values, self.values, invert=self.but)
        met: Array = good[held.codes]
        return met


@dataclass(frozen=True, slots=True)
class Asked:
    """What is counted: whatever meets all tests (those on events: in one and the same event), by a dimension or all."""

    tests: tuple[Must, ...]
    by: str | None = None
    engagement: bool = False

    @property
    def of_events(self) -> bool:
        """Whether single events are counted, and sessions only for having one."""
        return any(test.of_event for test in self.tests) or (self.by is not None and DIMENSIONS[self.by].of_event)

    @property
    def columns(self) -> list[int]:
        """The columns that tell."""
        named: list[int] = [*_OF_SESSIONS]
        if self.of_events:
            named += [*_OF_EVENTS, *(_ENGAGEMENT if self.engagement else ())]
        else:
            named += [*_SEEN, *(_SEEN_ENGAGEMENT if self.engagement else ())]
        dimensions = {test.dimension for test in self.tests} | ({self.by} if self.by else set())
        return named + sorted(OF_DIMENSION[name] for name in dimensions)


class Counter:
    """Counts days, and puts together what they come to by group."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._groups: list[Array] = []
        self._sums: dict[str, list[Array]] = {name: [] for name in SEALED_SUMS}
        self._who: list[tuple[Array, Array]] = []

    def add(self, day: Mapping[int, Any], group: int = 0) -> None:
        """Count a day; without a dimension, what it comes to is added to `group`."""
        asked = self.asked
        by: Coded | None = day[OF_DIMENSION[asked.by]] if asked.by else None
        groups = by.values.astype(np.int64) if by else np.array([group])
        chosen = np.ones(len(day[Column.VISITOR]), bool)
        for test in asked.tests:
            if not test.of_event:
                chosen &= test.met(day)
        count = self._count_events if asked.of_events else self._count_sessions
        self._groups.append(groups)
        sums = count(day, chosen, by, groups)
        for name in SEALED_SUMS:
            self._sums[name].append(sums.get(name, np.zeros(len(groups))))

    def _count_sessions(self, day: Mapping[int, Any], chosen: Array, by: Coded | None, groups: Array) -> dict[str, Any]:
        rows = np.flatnonzero(chosen)
        codes = by.codes[rows] if by else np.zeros(len(rows), np.intp)
        seen = {"pageviews": Column.SEEN_PAGEVIEWS, "events": Column.SEEN_EVENTS}
        if self.asked.engagement:
            seen |= {"time_on_page_s": Column.SEEN_TIME_S, "scroll_depth": Column.SEEN_SCROLL}
        self._who.append((groups[codes], day[Column.VISITOR][rows]))
        sums = {name: np.bincount(codes, day[column][rows], len(groups)) for name, column in seen.items()}
        return sums | _of_begun(day, rows, codes, len(groups))

    def _count_events(self, day: Mapping[int, Any], chosen: Array, by: Coded | None, groups: Array) -> dict[str, Any]:
        held = day[Column.HELD]
        met = np.repeat(chosen, held)
        for test in self.asked.tests:
            if test.of_event:
                met &= test.met(day)
        events = np.flatnonzero(met)
        rows = np.repeat(np.arange(len(held)), held)[events]
        if by is None:
            codes = np.zeros(len(events), np.int64)
        else:
            at = events if self.asked.by and DIMENSIONS[self.asked.by].of_event else rows
            codes = by.codes[at].astype(np.int64)
        # A session counts once in each group of its events, whenever in it they were.
        pairs = _different(rows * len(groups) + codes)
        sums = _of_begun(day, pairs // len(groups), pairs % len(groups), len(groups))
        now = day[Column.LATER][events] == 0
        events, rows, codes = events[now], rows[now], codes[now]
        self._who.append((groups[codes], day[Column.VISITOR][rows]))
        views = day[Column.IS_PAGEVIEW][events] == 1
        sums["pageviews"] = np.bincount(codes[views], None, len(groups))
        sums["events"] = np.bincount(codes[~views], None, len(groups))
        if self.asked.engagement:
            for name, column in (("time_on_page_s", Column.TIME_S), ("scroll_depth", Column.SCROLL)):
                sums[name] = np.bincount(codes[views], day[column][events][views], len(groups))
        return sums

    def tallies(self) -> dict[int, Tally]:
        """What all days come to, by group. Groups of nothing are missing."""
        if not self._groups:
            return {}
        groups, at = np.unique(np.concatenate(self._groups), return_inverse=True)
        sums = {name: np.bincount(at, np.concatenate(parts), len(groups)) for name, parts in self._sums.items()}
        table = np.array([sums[name] for name in SEALED_SUMS]).T.astype(np.int64)  # floats hold 2 ** 53 exactly
        some = table.any(axis=1)
        found = {
            group: Tally(dict(zip(SEALED_SUMS, held, strict=True)))
            for group, held in zip(groups[some].tolist(), table[some].tolist(), strict=True)
        }
        for group, visitors in _sets(self._who):
            found.setdefault(group, Tally()).visitors.append(visitors)
        return found


def _of_begun(day: Mapping[int, Any], rows: Array, codes: Array, count: int) -> dict[str, Array]:
    """What sessions that began on the day add up to."""
    begun = day[Column.BEGUN][rows] == 1
    rows, codes = rows[begun], codes[begun]
    return {
        "sessions": np.bincount(codes, None, count),
        "bounces": np.bincount(codes, day[Column.IS_BOUNCE][rows], count),
        "duration_s": np.bincount(codes, day[Column.DURATION_S][rows], count),
        "session_pageviews": np.bincount(codes, day[Column.PAGEVIEWS][rows], count),
    }


def _sets(pairs: Iterable[tuple[Array, Array]]) -> Iterator[tuple[int, Any]]:
    """The different visitors of each group, from pairs of group and visitor."""
    pairs = list(pairs)
    who = np.concatenate([visitors for _, visitors in pairs])
    if not len(who):
        return
    known: Array | None = None
    if who.max() >> 32:  # do not go beside a group into one number
        known, who = np.unique(who, return_inverse=True)
    keys = np.concatenate([groups for groups, _ in pairs]).astype(np.uint64) << np.uint64(32)
    keys |= who.astype(np.uint64)
    keys = _different(keys)
    groups, who = keys >> np.uint64(32), keys.astype(np.uint32)
    starts = np.flatnonzero(_first_ones(groups))
    for group, start, end in zip(groups[starts].tolist(), starts, [*starts[1:], len(keys)], strict=True):
        part = who[start:end]
        yield group, narrow(part.tobytes()) if known is None else visitors_of(known[part].tolist())


def _different(values: Array) -> Array:
    """The different values, in order; `values` are put in order themselves."""
    values.sort()
    return values[_first_ones(values)]


def _first_ones(values: Array) -> Array:
    """Where in ordered `values` another one begins."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first
