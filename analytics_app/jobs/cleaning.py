"""The jobs that keep the database in shape: partitions ahead, old ids and salts gone, retention, deleted websites."""

from datetime import datetime, timedelta

from analytics_app.backfills import store as backfills
from analytics_app.bots import api_store as bots
from analytics_app.bots import sightings_store
from analytics_app.db import batch_transaction, transaction
from analytics_app.goals import store as goals
from analytics_app.heatmaps import removing_store
from analytics_app.jobs import store
from analytics_app.jobs.retention import remove_sessions
from analytics_app.partitions import around, make_partitions
from analytics_app.replays import reading_store as replays_store
from analytics_app.sessions import removal_store
from analytics_app.settings import settings
from analytics_app.websites import definitions_store

CHUNK = 2000
REPLAYS_AT_ONCE = 50
CLIENT_IDS_KEPT = timedelta(hours=48)
WRITERS_KEPT = timedelta(days=7)
DELETED_KEPT = timedelta(minutes=10)
VERDICTS_KEPT = timedelta(days=2)
SIGHTINGS_KEPT = timedelta(hours=25)
REMOVALS_KEPT = timedelta(hours=2)


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


async def old_removals(now: datetime) -> None:
    """Forget who left the live views for good: nobody is shown for so long."""
    async with batch_transaction() as db:
        await removal_store.forget_removals(db, now - REMOVALS_KEPT)


async def old_detections(now: datetime) -> None:
    """Forget detections that are too old, and of senders what is of more than a day ago."""
    before = now - timedelta(days=settings().bots_detections_days)
    forgotten = CHUNK
    while forgotten == CHUNK:
        async with transaction() as db:
            forgotten = await bots.forget_detections(db, before, CHUNK)
    async with transaction() as db:
        await bots.forget_verdicts(db, now - VERDICTS_KEPT)
        await sightings_store.forget(db, now - SIGHTINGS_KEPT)


async def old_salts(now: datetime) -> None:
    """Delete the salts of the days before yesterday."""
    async with transaction() as db:
        await definitions_store.forget_salts(db, now.date() - timedelta(days=1))


async def deleted_websites(now: datetime) -> None:
    """Remove what deleted websites held."""
    async with transaction() as db:
        websites = await store.deleted_websites(db, now - DELETED_KEPT)
    for website_id in websites:
        await remove_sessions(website_id, None)
        await _remove_replays(website_id, None)
        async with batch_transaction() as db:
            await removing_store.remove_website(db, website_id)
        async with transaction() as db:
            await goals.delete_goals_of(db, website_id)
            await backfills.forget_website(db, website_id)
            await store.remove_rest(db, website_id)


async def old_replays(now: datetime) -> None:
    """Delete recordings that are older than their website keeps them, and what reminds of those deleted by hand."""
    async with transaction() as db:
        days_of = await store.replay_retentions(db)
    for website_id, own in days_of.items():
        days = settings().replays_retention_days if own is None else own
        if days:
            await _remove_replays(website_id, now - timedelta(days=days))
    async with transaction() as db:
        await replays_store.forget_tombstones(db, now - replays_store.TOMBSTONES_KEPT)


async def _remove_replays(website_id: int, before: datetime | None) -> None:
    removed = REPLAYS_AT_ONCE
    while removed == REPLAYS_AT_ONCE:
        async with transaction() as db:
            removed = await replays_store.remove_old(db, website_id, before, REPLAYS_AT_ONCE)


async def _chunk_of_client_ids(now: datetime) -> bool:
    async with transaction() as db:
        return await store.forget_client_ids(db, now - CLIENT_IDS_KEPT, CHUNK) == CHUNK
