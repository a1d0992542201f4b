"""Counts by cell as they are stored and put together: two arrays of 32-bit integers, beside each other."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analytics_app.heatmaps.logic import GRID, WIDE, WIDE_BITS

Ints = npt.NDArray[np.int64]
STORED = np.dtype("<i4")
DENSE = 4_000_000
"""Up to so many cells a grid is summed in full: sorting the cells that are there takes longer."""
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


def unite(parts: Iterable[tuple[Any, Any]]) -> Grid:
    """The sum of parts as they are stored: bytes, or memory views of them."""
    columns = [(np.frombuffer(cells, STORED), np.frombuffer(counts, STORED)) for cells, counts in parts]
    if not columns:
        return Grid(np.empty(0, np.int64), np.empty(0, np.int64))
    return summed(np.concatenate([cells for cells, _ in columns]), np.concatenate([counts for _, counts in columns]))


def summed(cells: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Grid:
    """Equal cells put together; what comes to nothing is left out."""
    if not len(cells):
        return Grid(np.empty(0, np.int64), np.empty(0, np.int64))
    rows, columns = _split(cells)
    width = int(columns.max()) + 1  # a page is far narrower than a row of cells may be
    if width * (int(rows.max()) + 1) < DENSE:
        places = (rows * width + columns).astype(np.int64)  # of shorter integers it takes three times as long
        sums = np.bincount(places, counts).astype(np.int64)  # in doubles: exact to 2^53
        found = np.flatnonzero(sums)
        return Grid(found // width * WIDE + found % width, sums[found])
    known, places = np.unique(cells, return_inverse=True)
    sums = np.bincount(places, counts, len(known)).astype(np.int64)
    kept = sums != 0
    return Grid(known[kept].astype(np.int64), sums[kept])


def coarser(grid: Grid, cell_px: int) -> Grid:
    """The same counts on a grid of `cell_px`, a multiple of the stored one."""
    factor = cell_px // GRID
    if factor == 1:
        return grid
    rows, columns = _split(grid.cells)
    return summed(rows // factor * WIDE + columns // factor, grid.counts)


def points_of(grid: Grid, cell_px: int) -> list[dict[str, int]]:
    """The cells of a grid of `cell_px` as points: their upper left corners in pixels."""
    rows, columns = _split(grid.cells)
    corners = np.column_stack((columns * cell_px, rows * cell_px, grid.counts))
    return [{"x": x, "y": y, "count": count} for x, y, count in corners.tolist()]


def points_json(grid: Grid, cell_px: int) -> bytes:
    """The same as JSON, in a tenth of the time: there may be 100,000 of them."""
    if not len(grid.cells):
        return b"[]"
    rows, columns = _split(grid.cells)
    written = (
        _written(columns, cell_px, b'{"x":%*d'),
        _written(rows, cell_px, b',"y":%*d'),
        _written(grid.counts, 1, b',"count":%*d},'),
    )
    points = np.empty(len(rows), [(str(place), texts.dtype) for place, texts in enumerate(written)])
    for place, texts in enumerate(written):
        points[str(place)] = texts
    return b"[%b]" % points.tobytes().translate(None, b" ")[:-1]


def _split(cells: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rows and columns of cells."""
    return cells >> WIDE_BITS, cells & (WIDE - 1)


def _written(values: npt.NDArray[Any], step: int, form: bytes) -> npt.NDArray[np.bytes_]:
    """`step` times each value in its text, with blanks before it: all are equally long."""
    most = int(values.max())
    known, places = (np.arange(most + 1), values) if most < FEW else np.unique(values, return_inverse=True)
    width = len(str(most * step))
    texts: npt.NDArray[np.bytes_] = np.array([form % (width, value) for value in (known * step).tolist()])[places]
    return texts


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
