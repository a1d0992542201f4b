"""SQL of the questions: what pages count for over a stretch of time. Whole days are read from bins, edges from rows."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analytics_app.db import AsyncDriver
from analytics_app.heatmaps import grids
from analytics_app.heatmaps.grids import Grid
from analytics_app.heatmaps.logic import GRID, WIDE, Kind, Split, Viewport
from analytics_app.heatmaps.samples_store import day_of, instant

_OF = "website_id = %(website_id)s AND page = ANY(%(pages)s::int[])"
_DEVICE = "(%(device)s::text IS NULL OR device = %(device)s)"
_DAYS = "day >= %(first)s AND day < %(last)s"
_EDGE = "at >= %(since)s AND at < %(until)s"
_VIEWPORT = "viewport = %(viewport)s"

_OF_KIND = "cardinality(array_positions(kinds, %(kind)s::smallint))"


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
    def edges(self) -> list[tuple[int, dict[str, Any]]]:
        """Of each edge, whether it is added or taken away (1, -1), and its parameters."""
        return [
            (edge.by, self.given | {"since": instant(edge.since), "until": instant(edge.until)})
            for edge in self.split.edges
        ]


async def totals(db: AsyncDriver, asked: Asked, kind: Kind) -> dict[Viewport, int]:
    """How many samples of a kind (of scrolling: visits) there are in each group of windows."""
    found = dict.fromkeys(Viewport, 0)
    at_days = (
        f"SELECT viewport, sum(total) FROM heatmap_bins WHERE {_OF} AND kind = %(kind)s AND {_DAYS} AND {_DEVICE} "
        "GROUP BY viewport"
    )
    at_edges = (
        f"SELECT viewport, count(*) FROM heatmap_reaches WHERE {_OF} AND {_EDGE} AND {_DEVICE} GROUP BY viewport"
        if kind is Kind.SCROLL
        else f"SELECT viewport, sum({_OF_KIND}) FROM heatmap_samples WHERE {_OF} AND {_EDGE} AND {_DEVICE} "
        "GROUP BY viewport"
    )
    parts = [(1, at_days, asked.given), *((by, at_edges, edge) for by, edge in asked.edges)]
    for by, query, given in parts:
        async for viewport, count in await db.execute(query, given | {"kind": int(kind)}):
            found[Viewport(viewport)] += by * int(count)
    return found


async def read(db: AsyncDriver, asked: Asked, kind: Kind, viewport: Viewport) -> dict[Kind, Grid]:
    """What pages count for in a group of windows: of the kind asked for, and of the page's width and height."""
    kinds = (kind, Kind.WIDTH, Kind.HEIGHT)
    parts: dict[Kind, list[tuple[Any, Any]]] = {one: [] for one in kinds}
    given = {"kind": int(kind), "kinds": [int(one) for one in kinds], "viewport": int(viewport)}
    at_days = (
        f"SELECT kind, cells, counts FROM heatmap_bins WHERE {_OF} AND kind = ANY(%(kinds)s::smallint[]) "
        f"AND {_VIEWPORT} AND {_DAYS} AND {_DEVICE}"
    )
    async with db.pipeline():  # rows are counted while what bins hold is on its way
        days = await db.cursor(binary=True).execute(at_days, asked.given | given)
        edges = [
            (by, await db.cursor(binary=True).execute(_edge_query(kind), edge | given)) for by, edge in asked.edges
        ]
    for number, cells, counts in await days.fetchall():
        parts[Kind(number)].append((cells, counts))
    for by, found in edges:
        for number, cells in await found.fetchall():
            parts[Kind(number)].append(grids.received(cells, by))
    return await asyncio.to_thread(lambda: {one: grids.unite(found) for one, found in parts.items()})


def _edge_query(kind: Kind) -> str:
    """What rows of an edge count for, of the kind and of both sizes of the page: kind, and a cell for each count.

    Cells go as bytes, and are counted here: to group them takes Postgres longer than to send them.
    """
    where = f"{_OF} AND {_VIEWPORT} AND {_EDGE} AND {_DEVICE}"
    cells = (
        f"SELECT y / {GRID} AS cell FROM heatmap_reaches WHERE {where}"
        if kind is Kind.SCROLL
        else f"SELECT (y / {GRID}) * {WIDE} + x / {GRID} AS cell FROM "
        f"(SELECT unnest(kinds) AS kind, unnest(xs) AS x, unnest(ys) AS y FROM heatmap_samples WHERE {where}) AS p "
        "WHERE kind = %(kind)s"
    )
    return (
        f"WITH sizes AS (SELECT page_width, page_height FROM heatmap_samples WHERE {where} "
        f"UNION ALL SELECT page_width, page_height FROM heatmap_reaches WHERE {where}) "
        f"SELECT {kind:d}, coalesce(string_agg(int4send(cell), ''), '') FROM ({cells}) AS met "
        f"UNION ALL SELECT {Kind.WIDTH:d}, coalesce(string_agg(int4send(page_width), ''), '') FROM sizes "
        f"UNION ALL SELECT {Kind.HEIGHT:d}, coalesce(string_agg(int4send(page_height), ''), '') FROM sizes"
    )


async def elements(db: AsyncDriver, asked: Asked, kind: Kind, viewport: Viewport, most: int) -> list[tuple[str, int]]:
    """The elements that most samples of a kind met, by their selectors, and how many each did; scrolling meets none."""
    if kind is Kind.SCROLL:
        return []
    since, until = asked.split.stretch
    rows = await db.execute(
        "SELECT selector, count(*) FROM (SELECT unnest(kinds) AS kind, unnest(selectors) AS selector "
        f"FROM heatmap_samples WHERE {_OF} AND {_VIEWPORT} AND {_EDGE} AND {_DEVICE}) AS p "
        "WHERE kind = %(kind)s AND selector <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(most)s",
        asked.given
        | {
            "kind": int(kind),
            "viewport": int(viewport),
            "most": most,
            "since": instant(since),
            "until": instant(until),
        },
    )
    return [(selector, count) async for selector, count in rows]
