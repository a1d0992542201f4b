"""The job that ends what is older than its website keeps it: whole months at once, where no website keeps any of one.

What a month's rows had counted goes with them, and what was derived from them after that, in pieces: a run that is
ended in the middle is gone on with by the next.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from psycopg.errors import LockNotAvailable

from analytics_app.backfills.store import hold_back
from analytics_app.db import AsyncDriver, batch_transaction, transaction
from analytics_app.jobs import retention_store as store
from analytics_app.jobs.store import retentions, tidy_rollups
from analytics_app.partitions import around, following
from analytics_app.removal import DERIVED, remove
from analytics_app.sessions import removal_store
from analytics_app.settings import settings
from analytics_app.stats import sealing_store
from analytics_app.stats.spans import PART, quarters

CHUNK = 2000
LONGEST = timedelta(hours=25)
"""A session that began just before the end of a month may go on for a day, and a hit of it be an hour on its way."""

log = structlog.get_logger(__name__)


async def retention(now: datetime) -> None:
    """Delete sessions and events that are older than their website keeps them, whole UTC days at a time."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    async with transaction() as db:
        days_of = {
            website_id: own or settings().events_retention_days for website_id, own in (await retentions(db)).items()
        }
    await drop_months(midnight, days_of.values())
    for website_id, days in days_of.items():
        if days:
            before = midnight - timedelta(days=days)
            await remove_sessions(website_id, before)
            async with transaction() as db:
                await tidy_rollups(db, website_id, before)


async def remove_sessions(website_id: int, before: datetime | None) -> None:
    """Delete a website's sessions that ended before `before` (None: all), in pieces, and visitors with no other."""
    removed = CHUNK
    while removed == CHUNK:
        async with batch_transaction() as db:
            removed = await _remove(db, website_id, await removal_store.sessions_before(db, website_id, before, CHUNK))


async def _remove(db: AsyncDriver, website_id: int, session_ids: Sequence[int]) -> int:
    await removal_store.hold_alone(db, website_id)
    gone = await remove(db, website_id, session_ids)
    await removal_store.forget_visitors(db, website_id, gone.visitors)
    return len(gone.session_ids)


def droppable(names: list[str], midnight: datetime, days_kept: list[int]) -> list[tuple[str, datetime]]:
    """The months, given as `events_2026_01`, of which no website keeps anything, the oldest first, with their starts.

    `days_kept` are those of the websites; 0: for good. The months for which partitions are made stay.
    """
    if not days_kept or not all(days_kept):
        return []
    end = min(midnight - timedelta(days=max(days_kept)) - LONGEST, around(midnight)[0])
    starts = {name: datetime(int(name[-7:-3]), int(name[-2:]), 1, tzinfo=UTC) for name in names}
    return sorted(
        ((name, start) for name, start in starts.items() if following(start) <= end), key=lambda month: month[1]
    )


async def drop_months(midnight: datetime, days_kept: Iterable[int]) -> list[str]:
    """Drop the months of sessions and events that no website keeps anything of; returns the partitions' names."""
    async with batch_transaction() as db:
        months = await store.tables_of(db, "sessions")
    dropped = []
    for name, start in droppable(list(months), midnight, list(days_kept)):
        if months[name]:
            try:
                await _take_off(start)
            except LockNotAvailable:
                log.info("a month is dropped another time", partition=name)
                continue
        await _take_out(name)
        async with batch_transaction() as db:
            await store.drop(db, [name, name.replace("sessions", "events")])
        dropped.append(name)
    return dropped


async def _take_off(start: datetime) -> None:
    """Take a month off its tables, with all that counted its rows; sessions near its ends go one by one before."""
    end, name = following(start), f"{start:%Y_%m}"
    async with batch_transaction() as db:
        websites = await store.websites_in(db, f"sessions_{name}")
    for website_id in websites:
        for moment in (start, end):
            removed = CHUNK
            while removed == CHUNK:
                async with batch_transaction() as db:
                    found = await store.sessions_near(db, website_id, moment, CHUNK)
                    removed = await _remove(db, website_id, found)
    parts = range(quarters(start) // PART, quarters(end) // PART)
    async with batch_transaction() as db:
        for website_id in websites:
            await hold_back(db, website_id)
        await sealing_store.unseal(db, dict.fromkeys(websites, parts))
        await store.take_off(db, start, end, [(table, f"{table}_{name}") for table in ("sessions", "events")])


async def _take_out(name: str) -> None:
    """Take out what was derived from the sessions of a month that is off its table, and their visitors."""
    after = 0
    while True:
        async with batch_transaction() as db:
            piece = await store.piece_of(db, name, after, CHUNK)
        if not piece:
            return
        after = piece[-1][0]
        by_website: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for session_id, website_id, visitor in piece:
            by_website[website_id].append((session_id, visitor))
        for website_id, gone in by_website.items():
            visitors = sorted({visitor for _, visitor in gone})
            async with batch_transaction() as db:
                await removal_store.hold_alone(db, website_id)
                for take_out in DERIVED:
                    await take_out(db, website_id, [session_id for session_id, _ in gone], visitors)
                await removal_store.forget_visitors(db, website_id, visitors)
