"""From exposures to who saw which variant first."""

from collections import Counter
from collections.abc import Sequence

from faust.types import StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
from agents.sink import Sink, Written
from analytics_app import removal, topics
from analytics_app.app import app
from analytics_app.db import AsyncDriver
from analytics_app.experiments import exposures_store as store
from analytics_app.experiments.logic import First
from analytics_app.records import EXPOSURES, Exposure
from analytics_app.sessions.store import numbers_of

WITHIN_S = 0.3
"""A batch costs as much as some dozens of exposures; one is to show within two seconds."""
MOST_RECORDS = 500


async def write(db: AsyncDriver, exposures: Sequence[Exposure], _partitions: Sequence[int]) -> Written:
    """Note who saw what, in the transaction of `db`; nothing of an experiment or visitor that was deleted."""
    admitted, left_out = await removal.admitted(db, exposures)
    website_of = await store.known(db, {one.experiment_id for one in admitted})
    good = [one for one in admitted if website_of.get(one.experiment_id) == one.website_id]
    first_seen: dict[tuple[int, str], int] = {}
    for one in good:
        who = one.website_id, one.visitor
        first_seen[who] = min(first_seen.get(who, one.at_ms), one.at_ms)
    numbers = await numbers_of(db, first_seen)
    firsts: dict[tuple[int, int], First] = {}
    for one in good:
        key = one.experiment_id, numbers[one.website_id, one.visitor]
        first = First(one.website_id, one.variant_id, one.at_ms)
        firsts[key] = firsts[key].joined(first) if key in firsts else first
    if firsts:
        await store.add_exposures(db, firsts)
    outcomes = Counter({f"ignored_{reason}": count for reason, count in left_out.items()})
    outcomes.update(stored=len(good), ignored_experiment_gone=len(admitted) - len(good))
    return Written(outcomes)


sink = Sink(topics.exposures.get_topic_name(), write, EXPOSURES)


@app.agent(topics.exposures, name="experiments", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def note_exposures(stream: StreamT[bytes]) -> None:
    """Note which visitor saw which variant of an experiment first, and who saw two."""
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        await sink.store(records_of(events))
        for event in events:
            event.ack()
