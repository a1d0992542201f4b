"""SQL of the questions: what pages count for over a stretch of time. Whole days are read from bins, edges from rows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics_app.db import AsyncDriver
from analytics_app.heatmaps import grids
from analytics_app.heatmaps.grids import Grid
from analytics_app.heatmaps.logic import DAY_MS, GRID, WIDE, Kind, Split, Viewport
from analytics_app.heatmaps.samples_store import day_of, instant

_OF = "website_id = %(website_id)s AND page = ANY(%(pages)s::int[])"
_DEVICE = "(%(device)s::text IS NULL OR device = %(device)s)"
_DAYS = "day >= %(first)s AND day < %(last)s"
_EDGE = "at >= %(since)s AND at < %(until)s"
_VIEWPORT = "viewport = %(viewport)s"

_CELL = f"(u.y / {GRID}) * {WIDE} + u.x / {GRID}"
_POINTS = "heatmap_samples, unnest(kinds, xs, ys) AS u (kind, x, y)"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which samples a question is about."""

    website_id: int
    pages: Sequence[int]
    split: Split
    device: str | None

    @property
    def given(self) -> dict[str, Any]:
        """As parameters of SQL."""
        first, last = self.split.days
        return {
            "website_id": self.website_id,
            "pages": list(self.pages),
            "device": self.device,
            "first": day_of(first),
            "last": day_of(last),
        }

    @property
    def edges(self) -> list[dict[str, Any]]:
        """The parameters of each edge."""
        return [self.given | {"since": instant(since), "until": instant(until)} for since, until in self.split.edges]


async def totals(db: AsyncDriver, asked: Asked, kind: Kind) -> dict[Viewport, int]:
    """How many samples of a kind (of scrolling: visits) there are in each group of windows."""
    found = dict.fromkeys(Viewport, 0)
    query = (
        f"SELECT viewport, sum(total) FROM heatmap_bins WHERE {_OF} AND kind = %(kind)s AND {_DAYS} AND {_DEVICE} "
        "GROUP BY viewport"
    )
    at_edges = {
        Kind.SCROLL: f"SELECT viewport, count(*) FROM heatmap_reaches WHERE {_OF} AND {_EDGE} AND {_DEVICE} "
        "GROUP BY viewport"
    }.get(
        kind,
        f"SELECT viewport, count(*) FROM {_POINTS} WHERE {_OF} AND {_EDGE} AND {_DEVICE} AND u.kind = %(kind)s "
        "GROUP BY viewport",
    )
    for one, given in [(query, asked.given), *((at_edges, edge) for edge in asked.edges)]:
        async for viewport, count in await db.execute(one, given | {"kind": int(kind)}):
            found[Viewport(viewport)] += int(count)
    return found


async def read(db: AsyncDriver, asked: Asked, kind: Kind, viewport: Viewport) -> dict[Kind, Grid]:
    """What pages count for in a group of windows: of the kind asked for, and of the page's width and height."""
    kinds = (kind, Kind.WIDTH, Kind.HEIGHT)
    parts: dict[Kind, list[tuple[Any, Any]]] = {one: [] for one in kinds}
    given = {"kinds": [int(one) for one in kinds], "viewport": int(viewport)}
    async with db.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT kind, cells, counts FROM heatmap_bins WHERE {_OF} AND kind = ANY(%(kinds)s::smallint[]) "
            f"AND {_VIEWPORT} AND {_DAYS} AND {_DEVICE}",
            asked.given | given,
        )
        for number, cells, counts in await cursor.fetchall():
            parts[Kind(number)].append((cells, counts))
        for edge in asked.edges:
            for one, query in _edge_queries(kind).items():
                await cursor.execute(query, edge | given | {"kind": int(one)})
                rows = np.array(await cursor.fetchall(), grids.STORED).reshape(-1, 2)
                parts[one].append((rows[:, 0].tobytes(), rows[:, 1].tobytes()))
    return await asyncio.to_thread(lambda: {one: grids.unite(found) for one, found in parts.items()})


def _edge_queries(kind: Kind) -> dict[Kind, str]:
    """By kind, how rows of an edge are counted by cell."""
    where = f"{_OF} AND {_VIEWPORT} AND {_EDGE} AND {_DEVICE}"
    sizes = {
        one: f"SELECT size, count(*)::int FROM (SELECT {column} AS size FROM heatmap_samples WHERE {where} "
        f"UNION ALL SELECT {column} FROM heatmap_reaches WHERE {where}) AS rows GROUP BY size"
        for one, column in ((Kind.WIDTH, "page_width"), (Kind.HEIGHT, "page_height"))
    }
    if kind is Kind.SCROLL:
        return {kind: f"SELECT y / {GRID}, count(*)::int FROM heatmap_reaches WHERE {where} GROUP BY 1"} | sizes
    points = f"SELECT {_CELL}, count(*)::int FROM {_POINTS} WHERE {where} AND u.kind = %(kind)s GROUP BY 1"
    return {kind: points} | sizes


async def elements(db: AsyncDriver, asked: Asked, kind: Kind, viewport: Viewport, most: int) -> list[tuple[str, int]]:
    """The elements that most samples of a kind met, by their selectors, and how many each did."""
    first, last = asked.split.days
    spans = [*asked.split.edges, (first * DAY_MS, last * DAY_MS)]
    rows = await db.execute(
        "SELECT u.selector, count(*) "
        "FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) AS s (since, until) "
        "JOIN heatmap_samples ON at >= s.since AND at < s.until, unnest(kinds, selectors) AS u (kind, selector) "
        f"WHERE {_OF} AND {_VIEWPORT} AND {_DEVICE} AND u.kind = %(kind)s AND u.selector <> '' "
        "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(most)s",
        asked.given
        | {
            "kind": int(kind),
            "viewport": int(viewport),
            "most": most,
            "since": [instant(since) for since, _ in spans],
            "until": [instant(until) for _, until in spans],
        },
    )
    return [(selector, count) async for selector, count in rows]
