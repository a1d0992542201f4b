"""From visitors' events to their attempts at funnels."""

import asyncio
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from faust.streams import _current_event  # a table write asks it which partition it belongs to
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import by_partition
from agents.sink import Sink, Written
from analytics_app import clock, topics
from analytics_app.app import app
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.funnels import progress_store as store
from analytics_app.funnels.logic import FunnelSet
from analytics_app.funnels.progress import LATE_MS, Progress, Seen, advance, horizon, is_behind, seen_of
from analytics_app.funnels.rebuild_store import funnels_of, rebuild_states
from analytics_app.records import VISITOR_EVENTS, VisitorEvent
from analytics_app.sessions.state import Held
from analytics_app.sessions.store import instant
from analytics_app.settings import settings
from analytics_app.stream.logic import Record
from tables import funnel_progress

WITHIN_S = 0.3
"""A batch costs as much as some dozens of events; a step is to show within two seconds."""
MOST_RECORDS = 500
FORGET_EVERY = 50
FORGET_MOST = 500


@dataclass(slots=True)
class Saved:
    """What the table is to hold, and to drop, once the transaction is committed."""

    held: dict[str, Held] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)


async def write(db: AsyncDriver, partition: int, events: Sequence[VisitorEvent]) -> Written:
    """Go on with the funnels of the visitors of `events`, in the transaction of `db`."""
    websites = {event.visitor: event.website_id for event in events}
    await DEFINITIONS.bring_up_to_date(db, set(websites.values()))
    sets = {website_id: found for website_id in set(websites.values()) if (found := funnels_of(website_id))}
    wanted = {visitor: website_id for visitor, website_id in websites.items() if website_id in sets}
    outcomes: Counter[str] = Counter()
    if not wanted:
        outcomes["ignored_no_funnel"] = len(events)
        return Written(outcomes, Saved())
    states = await store.open_states(db, wanted, funnel_progress.held(map(str, wanted)))
    gone = await store.gone_among(db, {event.session_id for event in events})
    new: dict[int, list[Seen]] = defaultdict(list)
    for event in events:
        if event.visitor not in states:
            outcomes["ignored_visitor_gone" if event.visitor in wanted else "ignored_no_funnel"] += 1
        elif event.session_id in gone:
            outcomes["ignored_session_gone"] += 1
        else:
            new[event.visitor].append(seen_of(event))
            outcomes["stored"] += 1
    held = await _go_on(db, sets, wanted, states, new)
    return Written(outcomes, Saved(held, await _forget(db, partition, clock.now_ms())))


async def _go_on(
    db: AsyncDriver,
    sets: Mapping[int, FunnelSet],
    websites: Mapping[int, int],
    states: Mapping[int, Progress],
    new: Mapping[int, Sequence[Seen]],
) -> dict[str, Held]:
    """Take the new events in; returns what the table may hold."""
    now_ms = clock.now_ms()
    horizon_ms = horizon(now_ms, (seen for some in new.values() for seen in some))
    behind: dict[int, dict[int, Progress]] = defaultdict(dict)
    saved: dict[int, tuple[int, Progress]] = {}
    attempts: list[store.Attempt] = []
    for visitor, state in states.items():
        funnels = sets[websites[visitor]]
        if is_behind(state, funnels, new.get(visitor, ()), now_ms):
            behind[funnels.website_id][visitor] = state
            continue
        if state.version == 0:
            state = Progress(since_ms=now_ms - LATE_MS)  # noqa: PLW2901 - what it stands for
        advanced = advance(state, funnels, new.get(visitor, ()), horizon_ms)
        saved[visitor] = funnels.website_id, advanced.progress
        for funnel_id, found in advanced.changed.items():
            attempts += ((visitor, funnel_id, funnels.revisions[funnel_id], run) for run in found)
    await store.put_runs(db, attempts)
    held = await store.save_states(db, sets, saved)
    for website_id, found in behind.items():
        held |= await rebuild_states(db, sets[website_id], found, now_ms=now_ms, told=new)
    return held


_batches: Counter[int] = Counter()


async def _forget(db: AsyncDriver, partition: int, now_ms: int) -> list[str]:
    """Now and then, delete states that are over, and what was taken out too long ago to be still on its way."""
    _batches[partition] += 1
    if _batches[partition] % FORGET_EVERY:
        return []
    await store.forget_gone(db, instant(now_ms) - timedelta(hours=settings().hits_retention_h, days=1))
    over_before = instant(now_ms - LATE_MS)
    return await store.forget_states(db, partition, settings().partitions, over_before, FORGET_MOST)


sink = Sink(topics.visitor_events.get_topic_name(), write, VISITOR_EVENTS)
_turns = asyncio.Semaphore(settings().database_pool)
"""A batch may take a second connection, to read the funnels anew, while it holds its own."""


async def store_partition(partition: int, events: Sequence[EventT[Any]]) -> None:
    """Store one partition's part of a batch, then hold its visitors in the table."""
    _current_event.set(weakref.ref(events[0]))
    records = [Record(event.message.offset, event.message.value or b"") for event in events]
    async with _turns:
        written = await sink.store(partition, records)
    if TP(sink.topic, partition) not in app.consumer.assignment():
        return  # given to another worker meanwhile
    hold(written)


def hold(written: Iterable[Written]) -> None:
    """Hold in the table what was committed."""
    for one in written:
        funnel_progress.hold(one.after.held)
        funnel_progress.forget(one.after.over)


@app.agent(topics.visitor_events, name="funnels", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def follow_visitors(stream: StreamT[bytes]) -> None:
    """Follow every visitor through the funnels of its website, step by step."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        await asyncio.gather(*(store_partition(partition, group) for partition, group in by_partition(events).items()))
        for event in events:
            event.ack()
