"""Whether heatmaps add up: what pages count for against a recount of their samples."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import driver_of
from analytics_app.heatmaps import grids
from analytics_app.heatmaps.logic import Bins, Key, Kind, bins_of
from analytics_app.heatmaps.samples_store import POINTS, REACH, day_of, read_key, read_points, read_reach
from analytics_app.verify.logic import Difference

AT_A_TIME = 5000


async def differences(db: AsyncConnection, website_id: int, most: int) -> list[Difference]:
    """Cells of a website whose count is not what its samples come to; at most `most`."""
    counted = await _counted(db, website_id)
    stored = await _stored(db, website_id)
    found = []
    for key in sorted(counted.keys() | stored.keys()):
        should, is_ = counted.get(key, Counter()), stored.get(key, Counter())
        for cell in sorted(cell for cell in should.keys() | is_.keys() if should[cell] != is_[cell]):
            where = f"page {key.page}, {Kind(key.kind).name.lower()}, {day_of(key.day)}, {key.viewport} {key.device}"
            found.append(Difference("heatmaps", website_id, where, f"cell {cell}", str(is_[cell]), str(should[cell])))
            if len(found) == most:
                return found
    return found


async def _counted(db: AsyncConnection, website_id: int) -> dict[Key, Counter[int]]:
    """What the samples of a website come to."""
    driver = await driver_of(db)
    counted: dict[Key, Counter[int]] = {}
    reads: tuple[tuple[str, Callable[[Sequence[Any]], Bins]], ...] = (
        (f"SELECT {POINTS} FROM heatmap_samples WHERE website_id = %s", lambda row: bins_of([read_points(row)])),
        (f"SELECT {REACH} FROM heatmap_reaches WHERE website_id = %s", lambda row: bins_of([], [], [read_reach(row)])),
    )
    for query, read in reads:
        async with driver.cursor("recount") as cursor:  # on the server, a part at a time
            cursor.itersize = AT_A_TIME
            await cursor.execute(query, (website_id,))
            async for row in cursor:
                for key, cells in read(row).items():
                    counted.setdefault(key, Counter()).update(cells)
    return counted


async def _stored(db: AsyncConnection, website_id: int) -> dict[Key, Counter[int]]:
    """What a website's pages count for; a key whose total is not its parts' is told as the cell -1."""
    driver = await driver_of(db)
    stored: dict[Key, Counter[int]] = {}
    async with driver.cursor("recount", binary=True) as cursor:
        cursor.itersize = AT_A_TIME
        await cursor.execute(
            "SELECT website_id, page, kind, viewport, device, day, total, cells, counts FROM heatmap_bins "
            "WHERE website_id = %s",
            (website_id,),
        )
        async for *key, total, cells, counts in cursor:
            part = grids.unite([(cells, counts)])
            sums = stored.setdefault(read_key(key), Counter())
            for cell, count in zip(part.cells.tolist(), part.counts.tolist(), strict=True):
                sums[cell] += count
            sums[-1] += total - part.total
    return stored
