"""What made-up traffic needs of the database before it can be stored, and after."""

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.models import EVENT_ID_BLOCK, EVENT_IDS
from analytics_app.websites.models import WebsiteRow


async def website_name(db: AsyncConnection, website_id: int) -> str | None:
    """What the website is called; None where there is none."""
    query = select(WebsiteRow.name).where(WebsiteRow.id == website_id, WebsiteRow.deleted_at.is_(None))
    return (await db.execute(query)).scalar_one_or_none()


async def event_ids(db: AsyncConnection, blocks: int) -> list[range]:
    """So many blocks of ids that nobody else has."""
    rows = await db.execute(select(EVENT_IDS.next_value()).select_from(text(f"generate_series(1, {blocks:d})")))
    return [range(first, first + EVENT_ID_BLOCK) for first in rows.scalars()]


async def renew_statistics(db: AsyncConnection) -> None:
    """Tell Postgres' planner what the tables hold now, as it would find out by itself later."""
    await db.execute(
        text("ANALYZE events, sessions, visitors, terms, traffic_rollups, sealed_sums, sealed_columns, seals")
    )


async def renew_heatmap_statistics(db: AsyncConnection) -> None:
    """The same of the tables of heatmaps."""
    await db.execute(text("ANALYZE heatmap_samples, heatmap_reaches, heatmap_bins, heatmap_pages, terms"))
