"""Heatmaps: `/analytics/websites/{id}/heatmaps`."""

import asyncio
import gzip
from dataclasses import dataclass
from typing import Any

import faust
import orjson
from aiohttp.web import Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.db import driver_of, snapshot, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import NotFound
from analytics_app.heatmaps import grids, grids_store, store
from analytics_app.heatmaps.grids_store import Asked
from analytics_app.heatmaps.logic import REFERENCES, Kind, Viewport, split_days
from analytics_app.heatmaps.schemas import (
    AreaQuery,
    DataOut,
    DataQuery,
    ElementsOut,
    ElementsQuery,
    HeatmapBody,
    HeatmapOut,
    HeatmapPatch,
)
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from analytics_app.stats.periods import Period
from analytics_app.websites.logic import Website
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("heatmaps")

BUSIEST_FIRST = (Viewport.DESKTOP, Viewport.MOBILE, Viewport.TABLET)
"""Which of equally busy groups is shown."""
TALL = 0.95
WORTH_ZIPPING = 10_000


class HeatmapResource(Resource):
    """What the views of heatmaps share."""

    tag = "Heatmaps"

    async def heatmap(self, request: Request, website_id: str, heatmap_id: str) -> Any:
        """The website's heatmap of that id. Raises `NotFound`."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            return await self.found(db, website, heatmap_id)

    async def found(self, db: AsyncConnection, website: Website, heatmap_id: str) -> Any:
        """The website's heatmap of that id, as `db` sees it. Raises `NotFound`."""
        row = await store.heatmap_of(db, website.id, self.id(heatmap_id))
        if row is None:
            raise NotFound
        return row

    async def told(self, website_id: int) -> None:
        """Have this process sample by what is defined now."""
        await DEFINITIONS.renew_one("heatmap", website_id)


@blueprint.route("/websites/{website_id}/heatmaps", name="list")
class Heatmaps(HeatmapResource):
    """The heatmaps of a website."""

    @operation(query=PageQuery, answer=Page(HeatmapOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List heatmaps."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        async with transaction() as db:
            rows = await store.heatmaps_of(db, website.id, after=id_after(query.cursor), limit=query.limit + 1)
        page = [HeatmapOut.model_validate(row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=HeatmapBody, answer=One(HeatmapOut), status=201)
    async def post(self, request: Request, website_id: str) -> Response:
        """Create a heatmap. It shows at once what its pages were already sampled for."""
        website = await self.website(request, website_id)
        body = await self.body(request, HeatmapBody)
        async with transaction() as db:
            row = await store.add_heatmap(db, website.id, body.model_dump())
        await self.told(website.id)
        return self.one(HeatmapOut.model_validate(row), status=201)


@blueprint.route("/websites/{website_id}/heatmaps/{heatmap_id}", name="one")
class OneHeatmap(HeatmapResource):
    """One heatmap."""

    @operation(answer=One(HeatmapOut))
    async def get(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """Get a heatmap."""
        return self.one(HeatmapOut.model_validate(await self.heatmap(request, website_id, heatmap_id)))

    @operation(body=HeatmapBody, answer=One(HeatmapOut))
    async def put(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """Update a heatmap: all fields. What is left out goes back to its default."""
        before = await self.heatmap(request, website_id, heatmap_id)
        return await self.change(before, (await self.body(request, HeatmapBody)).model_dump())

    @operation(body=HeatmapPatch, answer=One(HeatmapOut))
    async def patch(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """Update a heatmap: the fields given."""
        before = await self.heatmap(request, website_id, heatmap_id)
        return await self.change(before, (await self.body(request, HeatmapPatch)).changes())

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """Delete a heatmap. What was sampled stays for other heatmaps of the same pages, until it is too old."""
        before = await self.heatmap(request, website_id, heatmap_id)
        async with transaction() as db:
            if not await store.delete_heatmap(db, before.website_id, before.id):
                raise NotFound
        await self.told(before.website_id)
        return self.no_content()

    async def change(self, before: Any, values: dict[str, object]) -> Response:
        """Write `values` and answer with the heatmap as it is then."""
        async with transaction() as db:
            row = await store.change_heatmap(db, before.website_id, before.id, values)
        if row is None:
            raise NotFound
        await self.told(before.website_id)
        return self.one(HeatmapOut.model_validate(row))


@dataclass(frozen=True, slots=True)
class Area:
    """What a question about a heatmap comes to: which samples, and which group of windows is shown."""

    asked: Asked
    kind: Kind
    period: Period
    groups: dict[Viewport, int]
    viewport: Viewport

    @property
    def shown(self) -> dict[str, Any]:
        """What every answer says of it."""
        width, height = REFERENCES[self.viewport]
        return {
            "viewport": {"width": width, "height": height, "group": self.viewport.name.lower()},
            "period": {"start": self.period.start, "end": self.period.end},
        }


async def area_of(db: Any, heatmap: Any, query: AreaQuery) -> Area:
    """The area of a heatmap that `query` asks about; the busiest group where it names none."""
    now = clock.now()
    period = query.period(now)
    start_ms, end_ms, now_ms = (round(at.timestamp() * 1000) for at in (period.start, period.end, now))
    pages = await store.pages_of(db, heatmap.website_id, heatmap.url_pattern)
    asked = Asked(heatmap.website_id, pages, split_days(start_ms, end_ms, now_ms), query.device_type)
    kind = Kind[heatmap.type.upper()]
    groups = await grids_store.totals(await driver_of(db), asked, kind)
    busiest = max(BUSIEST_FIRST, key=lambda viewport: groups[viewport])
    viewport = Viewport[query.viewport.upper()] if query.viewport else busiest
    return Area(asked, kind, period, groups, viewport)


@blueprint.route("/websites/{website_id}/heatmaps/{heatmap_id}/data", name="data")
class HeatmapData(HeatmapResource):
    """What a heatmap shows."""

    @operation(query=DataQuery, answer=DataOut)
    async def get(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """A heatmap's data: how many samples lie in each cell of a grid over the page.

        Compressed for whoever takes gzip: 50,000 cells are 1.4 MB, and a sixth of that so.
        """
        website = await self.website(request, website_id)
        async with snapshot() as db:
            heatmap, query = await self.found(db, website, heatmap_id), self.query(request, DataQuery)
            area = await area_of(db, heatmap, query)
            found = await grids_store.read(await driver_of(db), area.asked, area.kind, area.viewport)
        grid = found[area.kind]
        width, height = grids.most_common(found[Kind.WIDTH]), grids.quantile(found[Kind.HEIGHT], TALL)
        points = await asyncio.to_thread(points_of, grid, area.kind, query.cell)
        answer = self.json(
            {
                "heatmap_id": heatmap.id,
                "type": heatmap.type,
                "data": points,
                "page": None if width is None else {"width": width, "height": height},
                "cell": query.cell,
                "total": area.groups[area.viewport],
                "groups": {viewport.name.lower(): count for viewport, count in area.groups.items()},
                **area.shown,
            }
        )
        return await zipped(request, answer)


def points_of(grid: grids.Grid, kind: Kind, cell: int) -> Any:
    """What `data` holds: the points of a grid, or how much of visits reached each line."""
    if kind is Kind.SCROLL:
        return grids.reached_of(grid, cell)
    return orjson.Fragment(grids.points_json(grids.coarser(grid, cell), cell))


async def zipped(request: Request, answer: Response) -> Response:
    """The answer, quickly compressed where it is long and who asks takes that."""
    answer.headers["Vary"] = "Accept-Encoding"
    body = answer.body
    if isinstance(body, bytes) and len(body) > WORTH_ZIPPING and "gzip" in request.headers.get("Accept-Encoding", ""):
        answer.headers["Content-Encoding"] = "gzip"
        answer.body = await asyncio.to_thread(gzip.compress, body, 1)
    return answer


@blueprint.route("/websites/{website_id}/heatmaps/{heatmap_id}/elements", name="elements")
class HeatmapElements(HeatmapResource):
    """What elements a heatmap's samples met."""

    @operation(query=ElementsQuery, answer=ElementsOut)
    async def get(self, request: Request, website_id: str, heatmap_id: str) -> Response:
        """The elements that most samples met, by their selectors. None for `scroll`."""
        website = await self.website(request, website_id)
        async with snapshot() as db:
            heatmap, query = await self.found(db, website, heatmap_id), self.query(request, ElementsQuery)
            area = await area_of(db, heatmap, query)
            found = await grids_store.elements(await driver_of(db), area.asked, area.kind, area.viewport, query.limit)
        elements = [{"selector": selector, "count": count} for selector, count in found]
        return self.json({"heatmap_id": heatmap.id, "elements": elements, **area.shown})
