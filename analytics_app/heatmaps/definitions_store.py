"""SQL of the copy that every process holds: the heatmaps for which samples are wanted."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.heatmaps.logic import Heatmap
from analytics_app.heatmaps.models import HeatmapRow


async def heatmaps(db: AsyncConnection, website_ids: Iterable[int] | None = None) -> dict[int, tuple[Heatmap, ...]]:
    """The active heatmaps of those websites (None: of all), by website."""
    query = select(HeatmapRow.__table__).where(HeatmapRow.is_active).order_by(HeatmapRow.id)
    if website_ids is not None:
        query = query.where(HeatmapRow.website_id.in_(list(website_ids)))
    found = defaultdict(list)
    for row in await db.execute(query):
        found[row.website_id].append(Heatmap(row.id, row.type, row.url_pattern))
    return {website_id: tuple(heatmaps) for website_id, heatmaps in found.items()}
