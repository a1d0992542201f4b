"""`analytics seed`: made-up traffic, stored by the code that stores hits, with its progress."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from analytics_app import clock
from analytics_app.commands.work import run
from analytics_app.db import batch_transaction, transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.jobs import sealing
from analytics_app.partitions import make_partitions
from analytics_app.records import AnyHit
from analytics_app.seeding import store
from analytics_app.seeding.logic import EVENTS_PER_SESSION, Crowd, hits_of_hour, sessions_by_hour
from analytics_app.sessions import logic, writes_store
from analytics_app.sessions.models import EVENT_ID_BLOCK
from analytics_app.sessions.state import Rules
from analytics_app.sessions.store import number_visitors
from analytics_app.settings import settings
from analytics_app.stats.sealing_store import unseal
from analytics_app.stream.store import stand_for_batch

BATCH = 4_000
MARGIN = 1.05
"""Sessions are drawn: somewhat more events may come of them than were asked for."""
PARTITION = 0


def seed(website_id: int, events: int, days: int, *, seal: bool) -> None:
    """Store about `events` events of the last `days` days. Raises `OperatingError` where there is no such website."""
    console = Console(highlight=False)
    started = clock.monotonic()
    name, stored, sealed = run(_seed(console, website_id, events, days, seal=seal))
    took_s = clock.monotonic() - started
    console.print(f"{stored:,} events of {days} days are in website {website_id}, {name}: {took_s:.0f} s.")
    if seal:
        console.print(f"The sums of {sealed} past days, and parts of days, are sealed.")


async def _seed(console: Console, website_id: int, events: int, days: int, *, seal: bool) -> tuple[str, int, int]:
    now = clock.now()
    start = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    async with transaction() as db:
        name = await store.website_name(db, website_id)
        if name is None:
            raise OperatingError(f"there is no website {website_id}: `analytics websites list` shows which there are")
        await db.run_sync(lambda connection: make_partitions(connection, start, now))
        blocks = await store.event_ids(db, int(events * MARGIN) // EVENT_ID_BLOCK + 2)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("events", total=events)
        stored = 0
        for batch in _batches(website_id, start, now, events, chain.from_iterable(blocks)):
            stored += await _store(batch)
            progress.update(task, completed=min(stored, events))
        progress.update(task, completed=stored, total=stored)
        async with transaction() as db:
            await store.renew_statistics(db)
        sealed = 0
        if seal:
            past = await sealing.to_seal(website_id, now)
            for piece in progress.track(past, description="past days, and parts of today, sealed"):
                sealed += await sealing.seal(website_id, piece)
            async with transaction() as db:
                await store.renew_statistics(db)
    return name, stored, sealed


def _batches(
    website_id: int, start: datetime, now: datetime, events: int, ids: Iterator[int]
) -> Iterator[list[AnyHit]]:
    """Hits by the hour, in batches of some thousands."""
    rng = random.Random(f"{website_id}/{start}")  # noqa: S311 - made-up traffic
    crowd = Crowd(rng)
    batch: list[AnyHit] = []
    for hour, sessions in sessions_by_hour(start, now, round(events / EVENTS_PER_SESSION)):
        batch += hits_of_hour(rng, crowd, ids, website_id, hour, now, sessions)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


async def _store(hits: list[AnyHit]) -> int:
    """Fold hits and store what they come to, as a worker does; returns how many events that is."""
    conf = settings()
    rules = Rules(conf.session_timeout_s * 1000, conf.session_max_s * 1000, conf.bounce_engaged_s)
    async with batch_transaction() as db:
        await stand_for_batch(db)
        folded = logic.fold({}, hits, lambda _: rules)
        folded.states.clear()  # nobody goes on with these sessions
        await number_visitors(db, folded)
        await writes_store.write(db, PARTITION, folded, lambda _: PARTITION)
        await unseal(db, logic.parts_changed(folded))
    return len(folded.events)
