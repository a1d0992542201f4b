"""The jobs that keep the database in shape: partitions ahead, old ids and salts gone, retention, deleted websites."""

from datetime import datetime, timedelta

from analytics_app.db import driver_of, transaction
from analytics_app.jobs import store
from analytics_app.partitions import around, make_partitions
from analytics_app.settings import settings
from analytics_app.stats import sealing_store
from analytics_app.websites import definitions_store

CHUNK = 2000
CLIENT_IDS_KEPT = timedelta(hours=48)
WRITERS_KEPT = timedelta(days=7)
DELETED_KEPT = timedelta(minutes=10)


async def partitions_ahead(now: datetime) -> None:
    """Make the partitions of the coming months."""
    async with transaction() as db:
        await db.run_sync(lambda connection: make_partitions(connection, *around(now)))


async def old_ids(now: datetime) -> None:
    """Forget clients' ids of hits after 48 hours, and writers not heard of for a week."""
    while await _chunk_of_client_ids(now):
        pass
    async with transaction() as db:
        await store.forget_writers(db, now - WRITERS_KEPT)


async def old_salts(now: datetime) -> None:
    """Delete the salts of the days before yesterday."""
    async with transaction() as db:
        await definitions_store.forget_salts(db, now.date() - timedelta(days=1))


async def retention(now: datetime) -> None:
    """Delete sessions and events that are older than their website keeps them, whole UTC days at a time."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    async with transaction() as db:
        days_of = await store.retentions(db)
    for website_id, own in days_of.items():
        days = own or settings().events_retention_days
        if days:
            before = midnight - timedelta(days=days)
            await _remove_sessions(website_id, before)
            async with transaction() as db:
                await store.tidy_rollups(db, website_id, before)


async def deleted_websites(now: datetime) -> None:
    """Remove what deleted websites held."""
    async with transaction() as db:
        websites = await store.deleted_websites(db, now - DELETED_KEPT)
    for website_id in websites:
        await _remove_sessions(website_id, None)
        async with transaction() as db:
            await store.remove_rest(db, website_id)


async def _remove_sessions(website_id: int, before: datetime | None) -> None:
    removed = CHUNK
    while removed == CHUNK:
        async with transaction() as db:
            removed, days = await store.remove_sessions(db, website_id, before, CHUNK)
            await sealing_store.unseal(await driver_of(db), {website_id: days})


async def _chunk_of_client_ids(now: datetime) -> bool:
    async with transaction() as db:
        return await store.forget_client_ids(db, now - CLIENT_IDS_KEPT, CHUNK) == CHUNK
