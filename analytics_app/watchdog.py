"""Ends a worker that is alive and gets nowhere, so that whoever supervises it starts it again.

Faust can stay up and consume nothing: a call that fails during recovery ends recovery for good, a rejoin can hang. A
thread of its own, with a loop and connections of its own, looks at what matters: does the stored position move while
the log is longer than it? A loop that stands still is ended too. A worker that waits for Postgres or Kafka to come
back is left alone: a restart would not help.
"""

import asyncio
import os
import threading
import time
from dataclasses import dataclass, field

import psycopg
import structlog
from aiokafka.errors import KafkaError

from analytics_app.db import OPTIONS, database_url
from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.lag import Standing, hits_topic
from analytics_app.stream.log import kafka_log

LOOK_EVERY_S = 3.0
ASK_WITHIN_S = 5.0
LOOP_STANDS_STILL_S = 30.0
EXIT_CODE = 70

log = structlog.get_logger(__name__)


@dataclass
class Progress:
    """What was seen of the partitions so far, and since when each of them has not moved."""

    seen: dict[int, int] = field(default_factory=dict)
    since: dict[int, float] = field(default_factory=dict)

    def note(self, standings: dict[int, Standing], now: float) -> None:
        """Take in where the partitions stand at `now`."""
        for partition, standing in standings.items():
            moved = self.seen.get(partition) != standing.position
            if moved or not standing.behind:
                self.since[partition] = now
            self.seen[partition] = standing.position

    def stalled(self, partitions: set[int], now: float, after_s: float) -> set[int]:
        """Those of `partitions` that have been behind and have not moved for `after_s` seconds."""
        return {partition for partition in partitions if now - self.since.get(partition, now) > after_s}

    def forget(self) -> None:
        """Begin anew: what was seen says nothing about what comes."""
        self.seen.clear()
        self.since.clear()


class Watchdog(threading.Thread):
    """Watches the worker of this process: its loop calls `beat`, `owned` says which partitions are its own."""

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.progress = Progress()
        self.beaten_at = time.monotonic()
        self.waits = False
        self.owned: set[int] | None = None
        self._stopped = threading.Event()

    async def beat(self) -> None:
        """Show a sign of life every second, until cancelled."""
        while True:
            self.beaten_at = time.monotonic()
            await asyncio.sleep(1)

    def stop(self) -> None:
        """Watch no longer: the worker is stopping by itself."""
        self._stopped.set()

    def run(self) -> None:
        """Look again and again."""
        while not self._stopped.wait(LOOK_EVERY_S):
            still_s = time.monotonic() - self.beaten_at
            if still_s > LOOP_STANDS_STILL_S:
                self._end("the event loop stands still", seconds=round(still_s))
            if self.waits:
                self.progress.forget()
                continue
            try:
                standings = asyncio.run(asyncio.wait_for(_standings(), ASK_WITHIN_S))
            except (KafkaError, TimeoutError, psycopg.Error, OSError):
                self.progress.forget()  # without Kafka or Postgres nothing can move
                continue
            now = time.monotonic()
            self.progress.note(standings, now)
            # Without any assignment the worker may be a spare one, or the one that never came back: while somebody
            # else stores, positions move, and it is left alone.
            mine = self.owned or set(standings)
            if stalled := self.progress.stalled(mine, now, settings().stalled_after_s):
                self._end("records wait and none is stored", partitions=sorted(stalled))

    def _end(self, why: str, **what: object) -> None:
        if not self._stopped.is_set():
            log.critical("this worker ends, to be started again", why=why, **what)
            os._exit(EXIT_CODE)


WATCHDOG = Watchdog()
"""This process' watchdog; a web process never starts it."""


async def _standings() -> dict[int, Standing]:
    """Where the partitions stand, by connections that are this thread's own."""
    topic, partitions = hits_topic(), range(settings().partitions)
    async with kafka_log() as kafka:
        ends = await kafka.ends(topic, partitions)
    url = database_url(resolve(settings()).database_url).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False), connect_timeout=5, options=OPTIONS
    ) as db:
        known = await store.positions(db, topic, partitions)
    return {
        partition: Standing(known[partition].next_offset if partition in known else 0, end)
        for partition, end in ends.items()
    }
