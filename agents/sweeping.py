"""Now and then, workers' tables lose what they hold of rows that are gone.

A copy of a row is of use while its row has its version. One that is left behind (by an erasure, or by a worker that
died before it could drop it) would stay in the table and its changelog for good.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog
from faust.types import TP

from agents.realtime import LIVE
from analytics_app import clock, topics
from analytics_app.app import app
from analytics_app.bots.logic import REPUTATION_HALVES_MS
from analytics_app.db import AsyncDriver, batch_transaction, is_away
from analytics_app.gdpr import copies_store
from analytics_app.settings import settings
from tables import funnel_progress, sessions
from tables.bots import bot_scores
from tables.copies import Copied
from tables.disk import clear_away, compact, on_disk, roll, within
from tables.realtime import realtime

AT_A_TIME = 500
LEFT_FOR_S = 6 * 3600.0
"""A partition may come back within minutes; what another worker has for hours is not kept here."""

log = structlog.get_logger(__name__)

Stale = Callable[[AsyncDriver, copies_store.Copies], Awaitable[list[str]]]


@dataclass(frozen=True)
class Swept:
    """A table, the topic whose partitions it is kept by, and how one of these is swept: how much was dropped."""

    table: object
    topic: str
    sweep: Callable[[str, int], Awaitable[int]]


def copies(copied: Copied, stale: Stale) -> Callable[[str, int], Awaitable[int]]:
    """How a table of copies is swept: by the versions of their rows."""

    async def drop(partition: int, held: copies_store.Copies) -> int:
        async with batch_transaction() as db:
            gone = await stale(db, held)
        copied.forget(partition, gone)
        return len(gone)

    async def sweep(topic: str, partition: int) -> int:
        dropped = await drop(partition, copied.unwritten(partition))
        after = ""
        while held := copied.on_disk(partition, after, AT_A_TIME):
            after = next(reversed(held))
            dropped += await drop(partition, held)
            if not owns(topic, partition):
                break
        return dropped

    return sweep


async def live_views(topic: str, partition: int) -> int:
    """Have the table of live views show who is there now, as the views that the API reads do."""
    dropped, after = 0, b""
    while held := on_disk(realtime, partition, after, AT_A_TIME):
        after = held[-1][0]
        with within(topic, partition):
            for key, value in held:
                presence = LIVE.presences.get(partition, {}).get(int(key))
                now = orjson.dumps(presence.view()) if presence is not None and presence.visitors else None
                if now is None:
                    realtime.pop(key, None)
                elif now != value:
                    realtime[key] = now
                dropped += now != value
    return dropped


async def scores(topic: str, partition: int) -> int:
    """Drop when senders were last condemned, once that makes no difference any more."""
    dropped, after, before_ms = 0, b"", clock.now_ms() - REPUTATION_HALVES_MS
    while held := on_disk(bot_scores, partition, after, AT_A_TIME):
        after = held[-1][0]
        with within(topic, partition):
            for key, value in held:
                if int(value) < before_ms:
                    bot_scores.pop(key, None)
                    dropped += 1
    return dropped


TABLES = (
    Swept(sessions.sessions, topics.hits.get_topic_name(), copies(sessions.COPIES, copies_store.stale_sessions)),
    Swept(
        funnel_progress.funnel_progress,
        topics.visitor_events.get_topic_name(),
        copies(funnel_progress.COPIES, copies_store.stale_progress),
    ),
    Swept(realtime, topics.activity.get_topic_name(), live_views),
    Swept(bot_scores, topics.senders.get_topic_name(), scores),
)


def owns(topic: str, partition: int) -> bool:
    """Whether the partition is this worker's, and its tables are read from their changelogs."""
    return not app.in_recovery and TP(topic, partition) in app.consumer.assignment()


async def sweep_table(one: Swept) -> None:
    """Sweep what this worker has of a table. Raises what the database raises."""
    mine = {partition for partition in range(settings().partitions) if owns(one.topic, partition)}
    for partition in sorted(mine):
        began = clock.monotonic()
        dropped = await one.sweep(one.topic, partition)
        if not owns(one.topic, partition):
            continue
        roll(one.table, partition)
        if dropped:
            await compact(one.table, partition)
            log.debug("swept", topic=one.topic, partition=partition, dropped=dropped, s=clock.monotonic() - began)
    if mine:
        clear_away(one.table, mine, LEFT_FOR_S)


@app.timer(settings().tables_swept_every_s)
async def sweep() -> None:
    """Sweep the tables. Never raises: a timer that does ends the worker."""
    if settings().role == "web":
        return
    for one in TABLES:
        try:
            await sweep_table(one)
        except Exception as error:
            if is_away(error):
                log.warning("tables are swept another time")
            else:
                log.exception("a table could not be swept")
