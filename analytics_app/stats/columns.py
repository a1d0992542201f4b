"""The rows of a past day as columns: what they hold, and how they rest. Pure.

A day holds the sessions under way on it, by id, and their events of the day in the order of their sessions; of those
that began on it also the events after its end. So what a day comes to is counted from its columns alone, and days
add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import zstandard

from analytics_app.stats.filters import DIMENSIONS
from analytics_app.stats.spans import DIMENSION_NUMBERS

Array: TypeAlias = npt.NDArray[Any]
_LEVEL = 6
_decompressor = zstandard.ZstdDecompressor()


class Column(IntEnum):
    """What a column holds. Those of a dimension have its number on top of 100. In the database: never change one."""

    # Of sessions:
    HELD = 0  # how many of the day's events are its own
    VISITOR = 1
    BEGUN = 2  # on this day
    IS_BOUNCE = 3
    DURATION_S = 4
    PAGEVIEWS = 5  # all of the session
    SEEN_PAGEVIEWS = 6  # those on this day, and what lies on them
    SEEN_EVENTS = 7
    SEEN_TIME_S = 8
    SEEN_SCROLL = 9
    # Of events:
    LATER = 20  # after the end of the day
    IS_PAGEVIEW = 21
    TIME_S = 22
    SCROLL = 23


OF_DIMENSION = {name: 100 + number for name, number in DIMENSION_NUMBERS.items()}
SESSION_DIMENSIONS = {DIMENSIONS[name].column: at for name, at in OF_DIMENSION.items() if not DIMENSIONS[name].of_event}
EVENT_DIMENSIONS = {DIMENSIONS[name].column: at for name, at in OF_DIMENSION.items() if DIMENSIONS[name].of_event}


# How columns rest.


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of a dimension: its different values (numbers of terms, 0 for a missing one), and which each row has."""

    values: Array
    codes: Array


def packed(column: int, values: Array) -> bytes:
    """A column as a row holds it: a Zstandard frame of a width and so wide numbers; of a dimension, behind its values.

    Raises ValueError for a negative number.
    """
    head = b""
    if column > 100:
        different, values = np.unique(values, return_inverse=True)
        head = len(different).to_bytes(4, "little") + different.astype("<i4").tobytes()
    if len(values) and values.min() < 0:
        raise ValueError("a column holds no negative numbers")
    most = int(values.max()) if len(values) else 0
    width = next(width for width in (1, 2, 4, 8) if most < 1 << 8 * width)
    return zstandard.ZstdCompressor(level=_LEVEL).compress(
        bytes([width]) + head + values.astype(f"<u{width}").tobytes()
    )


def unpacked(column: int, data: bytes) -> "Array | Coded":
    """What `packed` was given."""
    said = inflated(data)
    kind, start = f"<u{said[0]}", 1
    if column <= 100:
        return np.frombuffer(said, kind, offset=start)
    count = int.from_bytes(said[start : start + 4], "little")
    values = np.frombuffer(said, "<i4", count, start + 4)
    return Coded(values, np.frombuffer(said, kind, offset=start + 4 + 4 * count))


def inflated(data: bytes) -> bytes:
    """What a column is, however it was squeezed."""
    return _decompressor.decompress(data)


def same(one: bytes, other: bytes) -> bool:
    """Whether two columns are the same, however they were squeezed; what cannot be read is not."""
    try:
        return one == other or inflated(one) == inflated(other)
    except zstandard.ZstdError:
        return False


def columns_of(sessions: Mapping[str, Array], events: Mapping[str, Array]) -> dict[int, Array]:
    """The columns of a day.

    `sessions` by id: `id`, `visitor`, `begun`, `is_bounce`, `duration_s`, `pageviews` and dimensions. `events` by
    `session_id`: `later`, `is_pageview`, `time_on_page_s`, `scroll_depth` and dimensions.
    """
    ids, of = sessions["id"], events["session_id"]
    held = np.searchsorted(of, ids, "right") - np.searchsorted(of, ids, "left")
    row = np.repeat(np.arange(len(ids)), held)
    now, view = events["later"] == 0, events["is_pageview"] == 1

    def seen(which: Array, weights: Array | None = None) -> Array:
        counted = np.bincount(row[which], None if weights is None else weights[which], len(ids))
        return counted.astype(np.int64)

    time_s, scroll = events["time_on_page_s"], events["scroll_depth"]
    found = {
        Column.HELD: held,
        Column.VISITOR: sessions["visitor"],
        Column.BEGUN: sessions["begun"],
        Column.IS_BOUNCE: sessions["is_bounce"],
        Column.DURATION_S: sessions["duration_s"],
        Column.PAGEVIEWS: sessions["pageviews"],
        Column.SEEN_PAGEVIEWS: seen(now & view),
        Column.SEEN_EVENTS: seen(now & ~view),
        Column.SEEN_TIME_S: seen(now & view, time_s),
        Column.SEEN_SCROLL: seen(now & view, scroll),
        Column.LATER: events["later"],
        Column.IS_PAGEVIEW: events["is_pageview"],
        Column.TIME_S: time_s,
        Column.SCROLL: scroll,
    }
    dimensions = {at: sessions[name] for name, at in SESSION_DIMENSIONS.items()}
    dimensions |= {at: events[name] for name, at in EVENT_DIMENSIONS.items()}
    return {**{int(column): values for column, values in found.items()}, **dimensions}
