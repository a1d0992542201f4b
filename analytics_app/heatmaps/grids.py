"""Counts by cell as they are stored and put together: two arrays of 32-bit integers, beside each other."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analytics_app.heatmaps.logic import GRID, WIDE, WIDE_BITS

Ints = npt.NDArray[np.int64]
Part = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Cells and their counts, beside each other."""
STORED = np.dtype("<i4")
DENSE = 4_000_000
"""Up to so many cells a grid is summed in full: sorting the cells that are there takes longer."""
SOME = 4_000
"""So many points are written at a time: memory that was just used is at hand, new memory is not."""
FEW = 20_000
"""Up to so many numbers are all written out, to be looked up: sorting those that are there takes longer."""


class Grid(NamedTuple):
    """Cells, in order, each once, and how often each was met; none is empty."""

    cells: Ints
    counts: Ints

    @property
    def total(self) -> int:
        """How much all cells hold."""
        return int(self.counts.sum())


def pack(counts: Mapping[int, int]) -> tuple[bytes, bytes]:
    """Counts by cell as two columns hold them, in the cells' order."""
    cells = sorted(counts)
    return np.array(cells, STORED).tobytes(), np.array([counts[cell] for cell in cells], STORED).tobytes()


def packed(grid: Grid) -> tuple[bytes, bytes]:
    """A grid as two columns hold it."""
    return grid.cells.astype(STORED).tobytes(), grid.counts.astype(STORED).tobytes()


def received(cells: Any, by: int) -> tuple[bytes, bytes]:
    """Cells as Postgres' `int4send` writes them, one after the other, each of which counts `by`, as a stored part."""
    sent = np.frombuffer(cells, ">i4")
    return sent.astype(STORED).tobytes(), np.full(len(sent), by, STORED).tobytes()


def unite(parts: Iterable[tuple[Any, Any]]) -> Grid:
    """The sum of parts as they are stored: bytes, or memory views of them."""
    return summed([(np.frombuffer(cells, STORED), np.frombuffer(counts, STORED)) for cells, counts in parts])


def summed(parts: Iterable[Part]) -> Grid:
    """Equal cells of all parts put together; what comes to nothing is left out."""
    filled = [(cells, counts) for cells, counts in parts if len(cells)]
    if not filled:
        return Grid(np.empty(0, np.int64), np.empty(0, np.int64))
    # A page is far narrower than a row of cells may be.
    width = max(int((cells & (WIDE - 1)).max()) for cells, _ in filled) + 1
    height = max(int(cells.max()) for cells, _ in filled) // WIDE + 1
    if width * height < DENSE:
        sums = np.zeros(width * height, np.int64)
        # One after the other: new memory for all of them at once takes longer than the sums.
        for cells, counts in filled:
            rows, columns = _split(cells)
            np.add.at(sums, rows * width + columns, counts.astype(np.int64))
        found = np.flatnonzero(sums)
        return Grid(found // width * WIDE + found % width, sums[found])
    known, places = np.unique(np.concatenate([cells for cells, _ in filled]), return_inverse=True)
    sums = np.zeros(len(known), np.int64)
    np.add.at(sums, places, np.concatenate([counts for _, counts in filled]).astype(np.int64))
    kept = sums != 0
    return Grid(known[kept].astype(np.int64), sums[kept])


def coarser(grid: Grid, cell_px: int) -> Grid:
    """The same counts on a grid of `cell_px`, a multiple of the stored one."""
    factor = cell_px // GRID
    if factor == 1:
        return grid
    rows, columns = _split(grid.cells)
    return summed([(rows // factor * WIDE + columns // factor, grid.counts)])


def points_of(grid: Grid, cell_px: int) -> list[dict[str, int]]:
    """The cells of a grid of `cell_px` as points: their upper left corners in pixels."""
    rows, columns = _split(grid.cells)
    corners = np.column_stack((columns * cell_px, rows * cell_px, grid.counts))
    return [{"x": x, "y": y, "count": count} for x, y, count in corners.tolist()]


def points_json(grid: Grid, cell_px: int) -> bytes:
    """The same as JSON, in a tenth of the time or less: there may be 100,000 of them."""
    if not len(grid.cells):
        return b"[]"
    rows, columns = _split(grid.cells.astype(STORED))  # half as wide
    texts = (
        _texts(columns, cell_px, b'{"x":%*d'),
        _texts(rows, cell_px, b',"y":%*d'),
        _texts(grid.counts, 1, b',"count":%*d},'),
    )
    points = np.empty(SOME, [(str(place), known.dtype) for place, (known, _) in enumerate(texts)])
    written = []
    for first in range(0, len(rows), SOME):
        some = points[: len(rows) - first]
        for place, (known, places) in enumerate(texts):
            some[str(place)] = known[places[first : first + SOME]]
        written.append(some.tobytes().translate(None, b" "))
    written[-1] = written[-1][:-1]
    return b"".join([b"[", *written, b"]"])


def _split(cells: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rows and columns of cells."""
    return cells >> WIDE_BITS, cells & (WIDE - 1)


def _texts(values: npt.NDArray[Any], step: int, form: bytes) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[Any]]:
    """`step` times each value in its text, with blanks before it: all are equally long. And which each value has."""
    most = int(values.max())
    known, places = (np.arange(most + 1), values) if most < FEW else np.unique(values, return_inverse=True)
    width = len(str(most * step))
    return np.array([form % (width, value) for value in (known * step).tolist()]), places


def reached_of(grid: Grid, cell_px: int) -> list[dict[str, int | float]]:
    """The part of visits, in percent, that saw each line of a page: every `cell_px`, down to where the last one came.

    `grid` counts visits by the stored cell of the lowest pixel they saw.
    """
    if not len(grid.cells):
        return []
    factor = cell_px // GRID
    deepest = int(grid.cells.max()) // factor
    by_line = np.bincount(grid.cells // factor, grid.counts, deepest + 1)
    reached = np.cumsum(by_line[::-1])[::-1] / by_line.sum() * 100
    return [{"x": 0, "y": line * cell_px, "count": round(part, 2)} for line, part in enumerate(reached.tolist())]


def most_common(grid: Grid) -> int | None:
    """The cell that was met most often, the smaller of two; None of an empty grid."""
    return int(grid.cells[grid.counts.argmax()]) if len(grid.cells) else None


def quantile(grid: Grid, part: float) -> int | None:
    """The smallest cell at or below which `part` of what was counted lies; None of an empty grid."""
    if not len(grid.cells):
        return None
    sums = np.cumsum(grid.counts)
    return int(grid.cells[np.searchsorted(sums, part * sums[-1])])
