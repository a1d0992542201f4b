"""Which pages a heatmap is of, and what samples come to: rows, and counts by cell. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from analytics_app.records import Samples

TYPES = ("click", "move", "scroll")
GRID = 10
"""Pixels that a stored cell is wide and high; every coarser grid is a multiple of it."""
WIDE_BITS = 14
WIDE = 1 << WIDE_BITS
"""Cells that a row of the grid may have: the number of a cell is `row * WIDE + column`, and fits 32 bits."""
MOST_X = 100_000
MOST_Y = 1_000_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Kind(IntEnum):
    """What is counted. The numbers are in the database: never change one."""

    CLICK = 1
    MOVE = 2
    SCROLL = 3  # by reach
    WIDTH = 4  # of the page, in pixels, a row of samples each
    HEIGHT = 5


class Viewport(IntEnum):
    """The groups of window widths. The numbers are in the database: never change one."""

    MOBILE = 1
    TABLET = 2
    DESKTOP = 3


REFERENCES = {Viewport.MOBILE: (390, 844), Viewport.TABLET: (768, 1024), Viewport.DESKTOP: (1920, 1080)}
"""The window that stands for a group: width and height."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A heatmap as every process knows it."""

    id: int
    type: str
    url_pattern: str


class Key(NamedTuple):
    """What counts are kept by. `page` is the number of the path, `day` in UTC since 1970."""

    website_id: int
    page: int
    kind: int
    viewport: int
    device: str
    day: int


Bins = Mapping[Key, Mapping[int, int]]
"""How often each cell was met; a difference may be negative."""


class Frame(NamedTuple):
    """What samples of one row have in common. `at_ms` is a whole minute."""

    website_id: int
    page: int
    at_ms: int
    visitor: str
    session_key: str
    device: str
    viewport_width: int
    viewport_height: int
    page_width: int
    page_height: int

    def key(self, kind: Kind) -> Key:
        """What its counts of that kind are kept by."""
        viewport = viewport_of(self.viewport_width)
        return Key(self.website_id, self.page, kind, viewport, self.device, self.at_ms // DAY_MS)


class Visit(NamedTuple):
    """What scrolling counts once: a session on a page, by day and group of windows."""

    website_id: int
    page: int
    session_key: str
    viewport: int
    day: int


@dataclass(slots=True)
class Points:
    """The clicks and moves of a row, beside each other."""

    kinds: list[int] = field(default_factory=list)
    xs: list[int] = field(default_factory=list)
    ys: list[int] = field(default_factory=list)
    selectors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reach:
    """How deep a visit scrolled: the lowest pixel it saw, and the frame of that sample."""

    frame: Frame
    y: int


@dataclass(slots=True)
class Folded:
    """What samples come to: rows of points, and the deepest reach of each visit."""

    points: dict[Frame, Points] = field(default_factory=dict)
    reaches: dict[Visit, Reach] = field(default_factory=dict)


def viewport_of(width: int) -> Viewport:
    """The group of a window's width."""
    if width < 768:
        return Viewport.MOBILE
    return Viewport.TABLET if width < 1024 else Viewport.DESKTOP


def cell_of(x: int, y: int) -> int:
    """The number of the cell that a point lies in."""
    return y // GRID * WIDE + x // GRID


def is_of(pattern: str, path: str) -> bool:
    """Whether a page of that path belongs to the pattern: exactly, or with `*` for anything.

    A pattern without a `?` is of the page whatever its query. The same rule in SQL is `store.pages_of`.
    """
    if "?" not in pattern:
        path = path.partition("?")[0]
    first, *parts = pattern.split("*")
    if not parts:
        return path == pattern
    *middle, last = parts
    if not path.startswith(first):
        return False
    at = len(first)
    for part in middle:  # the leftmost place leaves most for what follows
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(path) - at >= len(last) and path.endswith(last)


def like_of(pattern: str) -> str:
    r"""The pattern for Postgres' LIKE, `\` being its escape."""
    for letter in "\\%_":
        pattern = pattern.replace(letter, f"\\{letter}")
    return pattern.replace("*", "%")


def wanted_of(heatmaps: Iterable[Heatmap], path: str) -> list[str]:
    """The types that heatmaps want of a page, each once, in order."""
    found = {heatmap.type for heatmap in heatmaps if is_of(heatmap.url_pattern, path)}
    return [type_ for type_ in TYPES if type_ in found]


def fold(lots: Iterable[Samples], page_of: Mapping[tuple[int, str], int]) -> Folded:
    """Put samples into rows; `page_of` numbers the paths of websites."""
    folded = Folded()
    for lot in lots:
        page = page_of[lot.website_id, lot.path]
        for sample in lot.samples:
            at_ms = sample.at_ms // MINUTE_MS * MINUTE_MS
            frame = Frame(lot.website_id, page, at_ms, lot.visitor, lot.session_key, lot.device_type, *sample.sizes)
            if sample.kind == Kind.SCROLL:
                day = at_ms // DAY_MS
                visit = Visit(lot.website_id, page, lot.session_key, viewport_of(frame.viewport_width), day)
                folded.reaches.update(deeper({visit: Reach(frame, sample.y)}, folded.reaches))
                continue
            points = folded.points.setdefault(frame, Points())
            points.kinds.append(sample.kind)
            points.xs.append(sample.x)
            points.ys.append(sample.y)
            points.selectors.append(sample.selector)
    return folded


def deeper(reaches: Mapping[Visit, Reach], stored: Mapping[Visit, Reach]) -> dict[Visit, Reach]:
    """The reaches that go deeper than what is stored. A visit keeps the time, device and visitor it began with."""
    found: dict[Visit, Reach] = {}
    for visit, reach in reaches.items():
        before = stored.get(visit)
        if before is None:
            found[visit] = reach
        elif reach.y > before.y:
            kept = before.frame
            frame = reach.frame._replace(at_ms=kept.at_ms, visitor=kept.visitor, device=kept.device)
            found[visit] = Reach(frame, reach.y)
    return found


def bins_of(
    points: Iterable[tuple[Frame, Points]], gone: Iterable[Reach] = (), come: Iterable[Reach] = ()
) -> dict[Key, Counter[int]]:
    """What rows count for, cell by cell: each point one in its cell, each row one for the size of its page.

    Reaches `gone` take away what they counted.
    """
    bins: defaultdict[Key, Counter[int]] = defaultdict(Counter)
    for frame, row in points:
        _count_size(bins, frame, 1)
        for kind, x, y in zip(row.kinds, row.xs, row.ys, strict=True):
            bins[frame.key(Kind(kind))][cell_of(x, y)] += 1
    for reaches, by in ((gone, -1), (come, 1)):
        for reach in reaches:
            _count_size(bins, reach.frame, by)
            bins[reach.frame.key(Kind.SCROLL)][reach.y // GRID] += by
    counted = {key: Counter({cell: by for cell, by in cells.items() if by}) for key, cells in bins.items()}
    return {key: cells for key, cells in counted.items() if cells}


def _count_size(bins: defaultdict[Key, Counter[int]], frame: Frame, by: int) -> None:
    bins[frame.key(Kind.WIDTH)][frame.page_width] += by
    bins[frame.key(Kind.HEIGHT)][frame.page_height] += by


def negated(bins: Bins) -> dict[Key, dict[int, int]]:
    """What takes `bins` away again."""
    return {key: {cell: -count for cell, count in cells.items()} for key, cells in bins.items()}


class Edge(NamedTuple):
    """A stretch of time in ms, half-open, of which rows are counted: to be added (`by` 1) or taken away (-1)."""

    since: int
    until: int
    by: int


class Split(NamedTuple):
    """A stretch of time as whole days (numbers since 1970, half-open), and what these lack or have too much."""

    stretch: tuple[int, int]
    days: tuple[int, int]
    edges: Sequence[Edge]


def split_days(start_ms: int, end_ms: int, now_ms: int) -> Split:
    """Whole UTC days of a stretch, which are read from bins, and its edges, of which rows are counted.

    Each end goes to the nearer midnight, so that no more than half a day of rows is counted for it; up to half a day
    within one is counted by itself. What ends now or later takes in the whole of its last day: nothing lies ahead.
    """
    if end_ms >= now_ms:
        end_ms = max(end_ms, (now_ms // DAY_MS + 1) * DAY_MS)
    stretch = (start_ms, end_ms)
    if start_ms // DAY_MS == end_ms // DAY_MS and end_ms - start_ms <= DAY_MS // 2:
        return Split(stretch, (0, 0), [Edge(start_ms, end_ms, 1)] if start_ms < end_ms else [])
    first, last = _nearest(start_ms), _nearest(end_ms)
    edges = (_between(start_ms, first * DAY_MS), _between(last * DAY_MS, end_ms))
    return Split(stretch, (first, last), [edge for edge in edges if edge.since < edge.until])


def _nearest(at_ms: int) -> int:
    """The day that begins at the midnight nearest to a time."""
    return (at_ms + DAY_MS // 2) // DAY_MS


def _between(since: int, until: int) -> Edge:
    """What has to be added to come from `until` back to `since`: where that lies ahead, what has to be taken away."""
    return Edge(since, until, 1) if since <= until else Edge(until, since, -1)
