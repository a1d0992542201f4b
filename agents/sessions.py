"""From hits to sessions, events and rollups."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from faust.types import StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
from agents.sink import Sink, Written
from agents.telling import told
from analytics_app import clock, topics
from analytics_app.app import app
from analytics_app.bots.senders import senders_of
from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.funnels.rebuild_store import funnels_of
from analytics_app.funnels.telling import parts_of, wanted_events
from analytics_app.goals import writes_store as conversions_store
from analytics_app.realtime.logic import activity_of
from analytics_app.records import ActivityRecord, AnyHit, Gathered, Hit, SendersRecord, encode
from analytics_app.removal import admitted
from analytics_app.sessions import logic, store, writes_store
from analytics_app.sessions.logic import Folded
from analytics_app.sessions.state import State
from analytics_app.sessions.store import instant
from analytics_app.settings import settings
from analytics_app.stats import sealing_store
from tables import sessions
from tables.copies import Saved

FORGET_EVERY = 50
FORGET_MOST = 500
BUSY_FROM = 5
"""Records: where so many come at once and not more than a batch takes, so that nothing is behind, the next may wait."""
PACE_S = 0.3
"""From one batch to the next, then: a transaction costs the same however few it stores, with each worker once more."""
LATE = timedelta(hours=25)
"""A hit may be a day late, and its record a while on its way, and still join what ended a timeout before it."""


async def write(db: AsyncDriver, hits: Sequence[AnyHit], partitions: Sequence[int]) -> Written:
    """Fold `hits` and write what they come to, in the transaction of `db`; tell the realtime agent who was seen."""
    first, places = min(partitions), dict(zip((hit.session_key for hit in hits), partitions, strict=True))

    def partition_of(key: str) -> int:
        return places.get(key, first)  # a key may have been made up here, for one that is to lead to nobody

    await DEFINITIONS.find_websites({hit.website_id for hit in hits if hit.website_id})
    rules_of = DEFINITIONS.rules()
    hits, left_out = await admitted(db, hits)
    repeats = await store.claim_client_ids(db, hits)
    states = await _states(db, hits, repeats, partition_of)
    folded = logic.fold(states, hits, rules_of, repeats)
    await _number_visitors(folded)
    telling = asyncio.ensure_future(_tell(folded))
    try:
        held = await writes_store.write(db, first, folded, partition_of)
        await _convert(db, folded)
        await sealing_store.unseal(db, logic.parts_changed(folded))
        saved = Saved(over=await _forget(db, hits, set(partitions)))
        saved.add(held, partition_of)
        await _tell_funnels(folded)
        await telling
    finally:
        telling.cancel()
    outcomes = Counter({f"ignored_{reason}": count for reason, count in folded.ignored.items()})
    outcomes.update({f"ignored_{reason}": count for reason, count in left_out.items()})
    outcomes.update(stored=folded.stored, duplicate=sum(_repeats(hit, repeats) for hit in hits))
    return Written(outcomes, saved)


async def _convert(db: AsyncDriver, folded: Folded) -> None:
    """Write the conversions in what was folded, by the goals as they are committed now."""
    websites = {change.visit.website_id for change in folded.changes.values()}
    await DEFINITIONS.bring_up_to_date(db, websites)
    goals = {website_id: found[0] for website_id in websites if (found := DEFINITIONS.of("goals", website_id))}
    if goals:
        await conversions_store.convert(db, folded, goals.get)


async def _number_visitors(folded: Folded) -> None:
    """Number the visitors of new sessions, in a transaction of its own.

    Who was seen is told before the batch is committed. If that is undone, the batch is told again, and must name the
    same numbers: another would be one more visitor in the live view. A number that nothing names is harmless.
    """
    if any(change.opened_by for change in folded.changes.values()):
        async with batch_transaction() as db:
            await store.number_visitors(db, folded)


async def _states(
    db: AsyncDriver, hits: Sequence[AnyHit], repeats: dict[int, int], partition_of: Callable[[str], int]
) -> dict[str, State]:
    """The states to fold from: the table's where their version is the row's, else the row's."""
    held = sessions.held({hit.session_key: partition_of(hit.session_key) for hit in hits})
    states = await store.states_of(db, held)
    lost = logic.lost_views(states, hits, repeats)
    if lost:
        since = min(visit.started_ms for state in states.values() for visit in state.visits)
        logic.restore(states, await store.views_of(db, lost, instant(since)))
    return states


def _repeats(hit: AnyHit, repeats: dict[int, int]) -> bool:
    return isinstance(hit, Hit) and hit.event_id in repeats


async def _tell(folded: Folded) -> None:
    """Tell the realtime agent who was seen, and the bots' agent who sent what. Raises as `told` does."""
    partitions = settings().partitions
    seen: dict[int, list[ActivityRecord]] = {}
    for website_id, active in activity_of(folded).items():
        seen.setdefault(website_id % partitions, []).append(ActivityRecord(website_id, active))
    await asyncio.gather(
        told(topics.activity, [(b"", encode(records), part) for part, records in seen.items()]),
        told(
            topics.senders,
            [(b"", encode(SendersRecord(sent)), part) for part, sent in senders_of(folded, partitions).items()],
        ),
    )


async def _tell_funnels(folded: Folded) -> None:
    """Tell the funnels agent what its funnels want. Raises as `told` does.

    Only once everything is written: a hit that Postgres refuses is not told of. Told twice, it is the same event.
    """
    wanted = wanted_events(folded, funnels_of, clock.now_ms())
    if wanted:
        parts = parts_of(wanted, settings().partitions)
        await told(topics.visitor_events, [(b"%d" % part, encode(Gathered("", 0, some)), part) for part, some in parts])


_batches: Counter[int] = Counter()


async def _forget(db: AsyncDriver, hits: Sequence[AnyHit], partitions: set[int]) -> dict[int, list[str]]:
    """Now and then, delete states that are over, of each of the partitions in its turn; returns their keys.

    The stream's own time decides, so that a late worker loses none.
    """
    _batches.update(partitions)
    due = [partition for partition in partitions if _batches[partition] % FORGET_EVERY == 0]
    if not due:
        return {}
    now_ms = min([clock.now_ms(), *(hit.at_ms for hit in hits)])
    before = instant(now_ms) - LATE - _longest_timeout()
    return {partition: await store.forget_states(db, partition, before, FORGET_MOST) for partition in due}


def _longest_timeout() -> timedelta:
    """The longest session timeout of any website."""
    own = (website.session_timeout_s or 0 for website in DEFINITIONS.snapshot.websites.values())
    return timedelta(seconds=max(settings().session_timeout_s, *own, 0))


sink = Sink(topics.hits.get_topic_name(), write)


@app.agent(topics.hits, name="sessions", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def track_sessions(stream: StreamT[bytes]) -> None:
    """Fold every hit into its session, and both into Postgres."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(settings().batch_records, within=settings().batch_within_s):
        began = clock.monotonic()
        for one in await sink.store(records_of(events)):
            sessions.keep(one.after)
        for event in events:
            event.ack()
        if BUSY_FROM <= len(events) < settings().batch_records:
            await asyncio.sleep(PACE_S - (clock.monotonic() - began))
