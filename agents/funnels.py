"""From visitors' events to their attempts at funnels."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from faust.types import StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
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
from tables import funnel_progress
from tables.copies import Saved

WITHIN_S = 0.3
"""A batch costs as much as some dozens of events; a step is to show within two seconds."""
MOST_RECORDS = 500
FORGET_EVERY = 50
FORGET_MOST = 500


async def write(db: AsyncDriver, events: Sequence[VisitorEvent], partitions: Sequence[int]) -> Written:
    """Go on with the funnels of the visitors of `events`, in the transaction of `db`."""
    places = dict(zip((str(event.visitor) for event in events), partitions, strict=True))
    websites = {event.visitor: event.website_id for event in events}
    await DEFINITIONS.bring_up_to_date(db, set(websites.values()))
    sets = {website_id: found for website_id in set(websites.values()) if (found := funnels_of(website_id))}
    wanted = {visitor: website_id for visitor, website_id in websites.items() if website_id in sets}
    outcomes: Counter[str] = Counter()
    if not wanted:
        outcomes["ignored_no_funnel"] = len(events)
        return Written(outcomes, Saved())
    states = await store.open_states(db, wanted, funnel_progress.held({str(one): places[str(one)] for one in wanted}))
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
    saved = Saved(over=await _forget(db, set(partitions), clock.now_ms()))
    saved.add(held, places.__getitem__)
    return Written(outcomes, saved)


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


async def _forget(db: AsyncDriver, partitions: set[int], now_ms: int) -> dict[int, list[str]]:
    """Now and then, delete states that are over, of each of the partitions in its turn; returns their keys.

    And what was taken out too long ago to be still on its way.
    """
    _batches.update(partitions)
    due = [partition for partition in partitions if _batches[partition] % FORGET_EVERY == 0]
    if not due:
        return {}
    await store.forget_gone(db, instant(now_ms) - timedelta(hours=settings().hits_retention_h, days=1))
    over, most = instant(now_ms - LATE_MS), FORGET_MOST
    return {one: await store.forget_states(db, one, settings().partitions, over, most) for one in due}


sink = Sink(topics.visitor_events.get_topic_name(), write, VISITOR_EVENTS)


@app.agent(topics.visitor_events, name="funnels", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def follow_visitors(stream: StreamT[bytes]) -> None:
    """Follow every visitor through the funnels of its website, step by step."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        for one in await sink.store(records_of(events)):
            funnel_progress.keep(one.after)
        for event in events:
            event.ack()
