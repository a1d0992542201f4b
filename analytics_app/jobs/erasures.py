"""The jobs that end erasures: texts that nobody else used, and the memory of who was erased long ago."""

from collections import defaultdict
from datetime import datetime

from analytics_app.db import batch_transaction, transaction
from analytics_app.gdpr import erasing_store, store


async def finish_erasures(now: datetime) -> None:
    """Remove the texts that erasures left over, and finish their receipts."""
    async with batch_transaction() as db:
        receipts = await erasing_store.open_receipts(db)
    receipts_of: defaultdict[int, list[int]] = defaultdict(list)
    for receipt_id, website_id in receipts:
        receipts_of[website_id].append(receipt_id)
    for website_id, receipt_ids in receipts_of.items():
        await remove_unnamed(website_id)
        async with batch_transaction() as db:
            await erasing_store.finish_receipts(db, receipt_ids, now)
    async with transaction() as db:
        await store.forget_erasures(db, now)


async def old_texts(_: datetime) -> None:
    """Remove what verdicts, retention and undone batches left over: texts that no row of their website names."""
    async with batch_transaction() as db:
        website_ids = await erasing_store.websites_with_terms(db)
    for website_id in website_ids:
        await remove_unnamed(website_id)


async def remove_unnamed(website_id: int) -> int:
    """Remove a website's texts that no row names; returns how many. Where there are any, batches wait for a look."""
    async with batch_transaction() as db:
        terms = await erasing_store.unnamed_terms(db, website_id)
    if not terms:
        return 0
    async with batch_transaction() as db:
        await erasing_store.hold_batches(db)
        return await erasing_store.remove_unnamed(db, website_id, terms)
