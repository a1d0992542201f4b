"""From what senders do to verdicts: whose rate or crawl shape is a machine's leaves the numbers again.

What was sent in the last minute is read again on every assignment; a verdict is a transaction in Postgres, and passing
it twice changes nothing.
"""

import asyncio
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg
import structlog
from faust.streams import _current_event  # a table write asks it which partition it belongs to
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import by_partition
from agents.watching import Suspect, Watch
from analytics_app import clock, removal, topics
from analytics_app.app import app
from analytics_app.bots import store
from analytics_app.bots.behaviour import HOLDS_MS, is_read
from analytics_app.bots.logic import BEHAVIOUR
from analytics_app.db import batch_transaction
from analytics_app.records import SendersRecord, read_senders
from analytics_app.sessions import removal_store
from analytics_app.sessions.store import instant
from tables.bots import bot_scores

WITHIN_S = 0.25
MOST_RECORDS = 2000

log = structlog.get_logger(__name__)

WATCH = Watch()


def read(events: Sequence[EventT[Any]]) -> list[SendersRecord]:
    """The records of `events`; one that is none is left out: what it said was counted, and is judged without it."""
    records = []
    for event in events:
        try:
            records.append(read_senders(event.message.value or b""))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("senders cannot be read", error=str(error))
    return records


async def pass_verdict(suspect: Suspect, now_ms: int) -> bool:
    """Condemn the sources of a suspect, unless people are behind them; returns whether they are condemned now.

    Their sessions are taken out of every number, with what was sampled and recorded of them, and noted as detected;
    whatever comes later finds the verdict.
    """
    async with batch_transaction() as db:
        await removal_store.hold_alone(db, suspect.website_id)
        keys = await removal_store.sessions_under(db, suspect.website_id, suspect.keys)
        sessions = await store.watched(db, suspect.website_id, list(keys))
        views = sum(one.pageviews for one in sessions)
        if views and is_read(sum(one.engaged_s for one in sessions), views, sum(one.interactions for one in sessions)):
            return False
        unread = [one for one in sessions if not is_read(one.engaged_s, one.pageviews, one.interactions)]
        until = instant(now_ms + HOLDS_MS)
        await store.condemn(db, suspect.website_id, suspect.sources, suspect.reason, instant(now_ms), until)
        await store.add_late(db, suspect.website_id, suspect.sender, BEHAVIOUR, suspect.reason, unread)
        removed = await removal.remove(db, suspect.website_id, [one.id for one in unread])
        await removal.remove_recorded(db, suspect.website_id, {keys[one.id]: one.visitor for one in unread})
        await removal_store.forget_visitors(db, suspect.website_id, removed.visitors)
    log.info(
        "a sender is left out",
        website_id=suspect.website_id,
        reason=suspect.reason,
        sessions=len(removed.session_ids),
        pageviews=removed.pageviews,
    )
    return True


async def judge(suspects: Iterable[Suspect]) -> None:
    """Pass the verdicts that are due; where Postgres is away, they are due again with the next hit."""
    for suspect in suspects:
        now_ms = clock.now_ms()
        try:
            condemned = await pass_verdict(suspect, now_ms)
        except psycopg.OperationalError as error:
            log.warning("a verdict waits for Postgres", error=str(error).strip())
            WATCH.again(suspect)
            continue
        if condemned:
            for source in WATCH.condemned(suspect, now_ms):
                bot_scores[source.encode()] = str(now_ms).encode()


def last_condemned(source: str) -> int | None:
    """When a source was last condemned, as the table has it."""
    held = bot_scores.get(source.encode())
    return int(held) if held else None


@app.agent(topics.senders, name="bots", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def judge_senders(stream: StreamT[bytes]) -> None:
    """Judge senders by rate and crawl shape; a verdict takes their sessions out of every number."""
    topic = topics.senders.get_topic_name()
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        mine = {tp.partition for tp in app.consumer.assignment() if tp.topic == topic}
        WATCH.keep(mine)
        for partition, group in by_partition(events).items():
            if TP(topic, partition) in app.consumer.assignment():
                _current_event.set(weakref.ref(group[-1]))
                WATCH.see(partition, read(group), last_condemned)
                await judge(WATCH.suspects(partition, clock.now_ms()))
                await asyncio.sleep(0)
        for event in events:
            event.ack()
