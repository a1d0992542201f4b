"""The job that keeps heatmaps in shape: old samples gone, counts in few parts."""

from datetime import datetime, timedelta

from analytics_app.db import batch_transaction
from analytics_app.heatmaps import removing_store, samples_store
from analytics_app.jobs import retention_store
from analytics_app.jobs.retention import droppable
from analytics_app.partitions import following
from analytics_app.sessions import removal_store
from analytics_app.settings import settings

CHUNK = 2000
PARTS = 4
TABLES = ("heatmap_samples", "heatmap_reaches")


async def tidy(now: datetime) -> None:
    """Delete samples that are older than their website keeps them, whole UTC days at a time; put parts into one."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    async with batch_transaction() as db:
        days_of = await removing_store.retentions(db)
    kept = {
        website_id: settings().heatmaps_retention_days if own is None else own for website_id, own in days_of.items()
    }
    await drop_months(midnight, list(kept.values()))
    for website_id, days in kept.items():
        if days:
            await _remove_days(website_id, midnight - timedelta(days=days))
    await _merge()


async def drop_months(midnight: datetime, days_kept: list[int]) -> list[str]:
    """Drop the months that no website keeps any samples of, with all they count for; returns the partitions' names."""
    dropped = []
    async with batch_transaction() as db:
        months = [name for table in TABLES for name in await retention_store.tables_of(db, table)]
    for name, start in droppable(months, midnight, days_kept):
        async with batch_transaction() as db:
            await retention_store.drop_samples(db, name, following(start))
        dropped.append(name)
    return dropped


async def _remove_days(website_id: int, before: datetime) -> None:
    removed = CHUNK
    while removed == CHUNK:
        async with batch_transaction() as db:
            removed = await removing_store.remove_days(db, website_id, before, CHUNK)


async def _merge() -> None:
    found = CHUNK
    while found == CHUNK:
        async with batch_transaction() as db:
            keys = await samples_store.in_parts(db, PARTS, CHUNK)
        found = len(keys)
        for key in keys:
            async with batch_transaction() as db:
                await removal_store.hold(db, {key.website_id})
                await samples_store.merge(db, key)
