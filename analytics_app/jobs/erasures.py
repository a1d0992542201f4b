"""The job that ends erasures: texts that nobody else used, and the memory of who was erased long ago."""

from datetime import datetime

from analytics_app.db import batch_transaction, transaction
from analytics_app.gdpr import erasing_store, store


async def finish_erasures(now: datetime) -> None:
    """Remove what erasures left over; batches wait for as long as one website's rows are looked through."""
    async with batch_transaction() as db:
        receipts = await erasing_store.open_receipts(db)
    for receipt_id, website_id, terms in receipts:
        async with batch_transaction() as db:
            if terms:
                await erasing_store.hold_batches(db)
                await erasing_store.remove_unnamed(db, website_id, terms)
            await erasing_store.finish_receipt(db, receipt_id, now)
    async with transaction() as db:
        await store.forget_erasures(db, now)
