"""The questions and orders that heatmaps are managed with. Every one names the website it is asked for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.heatmaps.logic import like_of
from analytics_app.heatmaps.models import HeatmapRow

_HEATMAP = HeatmapRow.__table__


async def heatmaps_of(db: AsyncConnection, website_id: int, *, after: int = 0, limit: int) -> list[Row[Any]]:
    """The website's heatmaps with ids beyond `after`, by id."""
    query = select(_HEATMAP).where(HeatmapRow.website_id == website_id, HeatmapRow.id > after)
    return list(await db.execute(query.order_by(HeatmapRow.id).limit(limit)))


async def heatmap_of(db: AsyncConnection, website_id: int, heatmap_id: int) -> Row[Any] | None:
    """The website's heatmap of that id; None where it has none."""
    query = select(_HEATMAP).where(HeatmapRow.website_id == website_id, HeatmapRow.id == heatmap_id)
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def add_heatmap(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Make a heatmap; returns it."""
    made = await db.execute(insert(HeatmapRow).values(website_id=website_id, **values).returning(_HEATMAP))
    found: Row[Any] = made.one()
    return found


async def change_heatmap(
    db: AsyncConnection, website_id: int, heatmap_id: int, values: Mapping[str, Any]
) -> Row[Any] | None:
    """Change the named fields; returns the heatmap as it is then, None where there is none."""
    changed = await db.execute(
        update(HeatmapRow)
        .where(HeatmapRow.website_id == website_id, HeatmapRow.id == heatmap_id)
        .values(**values, updated_at=func.now())
        .returning(_HEATMAP)
    )
    found: Row[Any] | None = changed.first()
    return found


async def delete_heatmap(db: AsyncConnection, website_id: int, heatmap_id: int) -> bool:
    """Delete a heatmap; returns whether there was one. What was sampled stays, for others of the same pages."""
    gone = await db.execute(delete(HeatmapRow).where(HeatmapRow.website_id == website_id, HeatmapRow.id == heatmap_id))
    return gone.rowcount > 0


async def pages_of(db: AsyncConnection, website_id: int, pattern: str) -> list[int]:
    """The pages of a pattern of which there are samples: the rule of `logic.is_of` in SQL."""
    path = "t.text" if "?" in pattern else "split_part(t.text, '?', 1)"
    rows = await db.execute(
        text(
            "SELECT p.page FROM heatmap_pages p JOIN terms t ON t.id = p.page "
            f"WHERE p.website_id = :website_id AND {path} LIKE :pattern ORDER BY p.page"
        ),
        {"website_id": website_id, "pattern": like_of(pattern)},
    )
    return list(rows.scalars())
