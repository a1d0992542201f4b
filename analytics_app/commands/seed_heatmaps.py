"""`analytics seed-heatmaps`: made-up samples, stored by the code that stores real ones, with their progress."""

import random
from datetime import timedelta

from rich.console import Console
from rich.progress import track

from analytics_app import clock
from analytics_app.commands.work import run
from analytics_app.db import batch_transaction, transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.heatmaps import samples_store
from analytics_app.heatmaps.logic import fold
from analytics_app.partitions import make_partitions
from analytics_app.records import Samples
from analytics_app.seeding import store
from analytics_app.seeding.samples import samples_of
from analytics_app.sessions.kinds import TermKind
from analytics_app.sessions.terms import number_terms
from analytics_app.stream.store import stand_for_batch

BATCH = 400


def seed(website_id: int, samples: int, days: int, path: str) -> None:
    """Store about `samples` samples of a page. Raises `OperatingError` where there is no such website."""
    console = Console(highlight=False)
    started = clock.monotonic()
    stored = run(_seed(website_id, samples, days, path))
    took_s = clock.monotonic() - started
    console.print(f"{stored:,} samples of {days} days are in website {website_id}, page {path}: {took_s:.0f} s.")


async def _seed(website_id: int, samples: int, days: int, path: str) -> int:
    now = clock.now()
    start = now - timedelta(days=days)
    async with transaction() as db:
        if await store.website_name(db, website_id) is None:
            raise OperatingError(f"there is no website {website_id}: `analytics websites list` shows which there are")
        await db.run_sync(lambda connection: make_partitions(connection, start, now))
    rng = random.Random(f"{website_id}/{path}")  # noqa: S311 - made-up traffic
    lots = sorted(samples_of(rng, website_id, path, start, now, samples), key=lambda lot: lot.at_ms)
    stored = 0
    for first in track(range(0, len(lots), BATCH), description="samples"):
        stored += await _store(website_id, path, lots[first : first + BATCH])
    await _merge()
    async with transaction() as db:
        await store.renew_heatmap_statistics(db)
    return stored


async def _store(website_id: int, path: str, lots: list[Samples]) -> int:
    async with batch_transaction() as db:
        await stand_for_batch(db)
        named = await number_terms(db, {(website_id, TermKind.PATH): {path}})
        page = named.of(website_id, TermKind.PATH, path)
        assert page is not None
        await samples_store.write(db, fold(lots, {(website_id, path): page}))
    return sum(len(lot.samples) for lot in lots)


async def _merge() -> None:
    """Put parts into one, as the workers and the hourly job do."""
    async with batch_transaction() as db:
        for key in await samples_store.in_parts(db, 1, 1_000_000):
            await samples_store.merge(db, key)
