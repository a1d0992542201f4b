"""From samples to rows, and to what pages count for."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from faust.types import EventT, StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
from agents.sink import Sink, Written, is_away
from analytics_app import removal, topics
from analytics_app.app import app
from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.heatmaps import logic, samples_store
from analytics_app.heatmaps.logic import Key
from analytics_app.records import SAMPLES, Samples
from analytics_app.sessions import removal_store
from analytics_app.sessions.kinds import TermKind
from analytics_app.sessions.terms import number_terms
from analytics_app.settings import settings

PARTS = 32
"""So many parts of one key are put into one, so that a busy page is read as quickly as a quiet one."""
KEYS_REMEMBERED = 10_000

log = structlog.get_logger(__name__)


async def write(db: AsyncDriver, lots: Sequence[Samples], _partitions: Sequence[int]) -> Written:
    """Write `lots` and what they come to, in the transaction of `db`; afterwards, the keys whose counts changed."""
    outcomes: Counter[str] = Counter()
    repeats = await samples_store.repeated(db, lots)
    await _know({lot.website_id for lot in lots})
    fresh = [lot for place, lot in enumerate(lots) if place not in repeats]
    outcomes["duplicate"] += len(lots) - len(fresh)
    admitted, left_out = await removal.admitted(db, fresh)
    outcomes.update({f"ignored_{reason}": count for reason, count in left_out.items()})
    new = []
    for lot in admitted:
        if DEFINITIONS.website(lot.website_id) is None:
            outcomes["ignored_no_website"] += 1
        else:
            new.append(lot)
    outcomes["stored"] += len(new)
    if not new:
        return Written(outcomes, set())
    paths: dict[tuple[int, TermKind], set[str]] = {}
    for lot in new:
        paths.setdefault((lot.website_id, TermKind.PATH), set()).add(lot.path)
    named = await number_terms(db, paths)
    page_of = {(lot.website_id, lot.path): named.of(lot.website_id, TermKind.PATH, lot.path) or 0 for lot in new}
    return Written(outcomes, await samples_store.write(db, logic.fold(new, page_of)))


async def _know(website_ids: Iterable[int]) -> None:
    """Look up websites that the copy does not hold: one may have been made a moment ago."""
    for website_id in website_ids:
        if DEFINITIONS.website(website_id) is None:
            await DEFINITIONS.renew_one("website", website_id)


sink = Sink(topics.heatmap_samples.get_topic_name(), write, SAMPLES)
_parts: Counter[Key] = Counter()


async def merge(changed: Iterable[Key]) -> None:
    """Put the parts of keys into one where they have become many."""
    if len(_parts) > KEYS_REMEMBERED:
        _parts.clear()  # a job looks for what is forgotten here
    for key in changed:
        _parts[key] += 1
        if _parts[key] >= PARTS:
            del _parts[key]
            async with batch_transaction() as db:
                await removal_store.hold(db, {key.website_id})  # who takes samples out sees all parts, or the one
                await samples_store.merge(db, key)


async def store(events: Sequence[EventT[Any]]) -> None:
    """Store a batch."""
    written = await sink.store(records_of(events))
    try:
        for one in written:
            await merge(one.after)
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("parts are put together another time", error=str(error).strip())


@app.agent(topics.heatmap_samples, name="heatmaps", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def store_samples(stream: StreamT[bytes]) -> None:
    """Write every sample of clicks, moves and scrolling, and count it in its cell."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(settings().batch_records, within=settings().batch_within_s):
        await store(events)
        for event in events:
            event.ack()
