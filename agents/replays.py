"""From chunks of recordings to rows: compressed, each once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from faust.types import StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
from agents.sink import Sink, Written
from analytics_app import removal, topics
from analytics_app.app import app
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.records import RECORDED, Recorded
from analytics_app.replays import packing, store
from analytics_app.replays.events import VERSION, clean_events
from analytics_app.replays.logic import WHOLE, Chunk, Origin, Recording, advance, facts_of, rage_clicks, refused
from analytics_app.replays.store import Held, Key
from analytics_app.settings import settings

MOST_RECORDS = 20
"""A record may have 3 MB, and what it holds ten times that."""


def prepared(recorded: Recorded) -> Chunk:
    """The chunk as it is stored. Raises `packing.Unpackable`.

    The edge has cleaned it; one that an older release accepted, or a failed one of its time, is cleaned here.
    """
    events = packing.unpacked(recorded.packed)
    if recorded.sanitiser != VERSION:
        events = clean_events(events)
    said = packing.write(events)
    origin = Origin(
        recorded.visitor, recorded.at_ms, recorded.country, recorded.device_type, recorded.browser, recorded.os
    )
    return Chunk(recorded.sequence, facts_of(events), packing.compressed(said), len(said), origin)


async def write(db: AsyncDriver, recorded: Sequence[Recorded], _partitions: Sequence[int]) -> Written:
    """Write what is new of `recorded`, in the transaction of `db`."""
    chunks = await asyncio.to_thread(lambda: {id(one): prepared(one) for one in recorded})
    admitted, left_out = await removal.admitted(db, recorded)
    outcomes = Counter({f"ignored_{reason}": count for reason, count in left_out.items()})
    kept = [
        ((one.website_id, one.session_key, one.tab or WHOLE), chunks[id(one)])
        for one in admitted
        if chunks[id(one)].raw_bytes > 2 and DEFINITIONS.website(one.website_id) is not None
    ]
    outcomes["ignored_nothing"] = len(admitted) - len(kept)
    if kept:
        await _write(db, kept, outcomes)
    return Written(outcomes)


async def _write(db: AsyncDriver, kept: list[tuple[Key, Chunk]], outcomes: Counter[str]) -> None:
    held = await store.lock(db, dict(reversed(kept)))
    known = await store.sequences(db, [(held[key].id, chunk.sequence) for key, chunk in kept])
    changed, added = _fold(held, kept, known, outcomes)
    await store.add_chunks(db, added)
    clicked = await store.clicks_of(db, {id_ for id_, chunk in added if chunk.facts.clicks})
    await store.save(db, changed, {id_: rage_clicks(clicks) for id_, clicks in clicked.items()})
    await store.forget_empty(db, {one.id for one in held.values()} - {id_ for id_, _ in added})
    outcomes["stored"] = len(added)


def _fold(
    held: dict[Key, Held], chunks: list[tuple[Key, Chunk]], known: set[tuple[int, int]], outcomes: Counter[str]
) -> tuple[dict[int, Recording], list[tuple[int, Chunk]]]:
    """What recordings come to with what is new of `chunks`, by id; and the new chunks with theirs."""
    changed: dict[int, Recording] = {}
    added: list[tuple[int, Chunk]] = []
    taken = {key[:2]: one.elsewhere + one.recording.stored_bytes for key, one in held.items()}
    for key, chunk in chunks:
        id_, session = held[key].id, key[:2]
        recording = changed.get(id_, held[key].recording)
        if (id_, chunk.sequence) in known:
            outcomes["duplicate"] += 1
            continue
        room = settings().replay_max_bytes - taken[session]
        reason = recording.stopped or refused(recording, chunk, room, longest_ms(key[0]))
        if reason:
            outcomes[f"ignored_{reason}"] += 1
            if not recording.stopped and recording.chunks:
                changed[id_] = replace(recording, stopped=reason)
            continue
        known.add((id_, chunk.sequence))
        changed[id_] = advance(recording, chunk)
        taken[session] += len(chunk.data)
        added.append((id_, chunk))
    return changed, added


def longest_ms(website_id: int) -> int:
    """How long a recording of that website may be."""
    website = DEFINITIONS.website(website_id)
    return ((website and website.replay_max_s) or settings().replay_max_s) * 1000


sink = Sink(topics.replay_chunks.get_topic_name(), write, RECORDED)


@app.agent(topics.replay_chunks, name="replays", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def keep_recordings(stream: StreamT[bytes]) -> None:
    """Clean what browsers recorded, and keep it."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(MOST_RECORDS, within=settings().batch_within_s):  # type: ignore[attr-defined]
        await sink.store(records_of(events))
        for event in events:
            event.ack()
