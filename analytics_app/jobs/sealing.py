"""The job that seals the sums of past days and of the past parts of today, and how one of these is sealed."""

from datetime import datetime, timedelta

import structlog

from analytics_app import clock
from analytics_app.db import batch_transaction, snapshot, transaction
from analytics_app.stats import sealing_due_store as due
from analytics_app.stats import sealing_store as store
from analytics_app.stats.columns_store import columns_of_day
from analytics_app.stats.counting_store import counted
from analytics_app.stats.spans import BLOCKS, DAY, Piece, block_of

SETTLED_AFTER = timedelta(hours=2)
"""Sessions that ran over midnight are over by then, nearly all."""
WORTHY_EVENTS = 50_000
WORTHY_WITHIN = timedelta(days=60)
"""Of websites with less, rows are quick enough, and smaller than their sums."""
AT_A_TIME_S = 240.0
"""The rest waits for the next run: other jobs wait meanwhile."""

log = structlog.get_logger(__name__)


async def seal_past_days(now: datetime) -> None:
    """Seal what can be sealed of every website that is worth it, as far as there is time."""
    until = clock.monotonic() + AT_A_TIME_S
    async with transaction() as db:
        websites = await due.seal_worthy(db, now, WORTHY_EVENTS, WORTHY_WITHIN)
    for website_id in websites:
        for piece in await to_seal(website_id, now):
            if clock.monotonic() > until:
                return
            await seal(website_id, piece)


async def to_seal(website_id: int, now: datetime) -> list[Piece]:
    """The days of a website that are to be sealed, the earliest first, and then parts of those that cannot be yet."""
    async with transaction() as db:
        days = await due.days_to_seal(db, website_id, now, now - timedelta(days=1) - SETTLED_AFTER)
        return days + await due.parts_to_seal(db, website_id, now, now - SETTLED_AFTER)


async def seal(website_id: int, piece: Piece) -> bool:
    """Count a day or a part of one and seal it, with the blocks it completes; False where rows changed meanwhile.

    And where the day of the part is being sealed itself.
    """
    async with batch_transaction() as db:
        token = await store.begin(db, website_id, piece)
    if token is None:
        return False
    async with snapshot() as counting:
        found = await counted(counting, website_id, piece)
        columns = await columns_of_day(counting, website_id, piece) if piece.span == DAY else {}
    async with batch_transaction() as db:
        if not await store.finish(db, website_id, piece, token, found, columns):
            log.info("rows changed while they were counted", website_id=website_id, since=piece.start.isoformat())
            return False
    for span in BLOCKS if piece.span == DAY else ():
        async with batch_transaction() as db:
            if not await store.seal_block(db, website_id, block_of(piece.at, span)):
                break
    return True
