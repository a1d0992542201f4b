"""Ends a worker that is alive and gets nowhere, so that whoever supervises it starts it again.

Faust can stay up and consume nothing: a call that fails during recovery ends recovery for good, a rejoin can hang. A
thread of its own, with a loop and connections of its own, looks at what matters: does each stored position move while
its log is longer than it? A loop that stands still is ended too. A worker that waits for Postgres or Kafka to come
back is left alone: a restart would not help. One whose log is shorter than what was stored of it, and one whose clock
was set, must begin anew.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import structlog
from aiokafka.errors import KafkaError

from analytics_app.db import OPTIONS, database_url
from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.lag import Standing
from analytics_app.stream.log import kafka_log
from analytics_app.stream.plans import stored_topics

LOOK_EVERY_S = 3.0
ASK_WITHIN_S = 5.0
LOOP_STANDS_STILL_S = 30.0
TRIES_AGAIN_WITHIN_S = 20.0
"""A try is refused, or given up, in less than that: 5 s to connect, 5 s for a lock, 5 s for who was seen, a pause."""
GOES_ON_WITHIN_S = 10.0
"""What was held up while Kafka or Postgres was away goes on within that."""
CLOCK_SET_S = 30.0
EXIT_CODE = 70

Place = tuple[str, int]
"""A partition of a stored topic."""

log = structlog.get_logger(__name__)


@dataclass
class Progress:
    """What was seen of the partitions so far, and since when each of them has not moved."""

    seen: dict[Place, int] = field(default_factory=dict)
    since: dict[Place, float] = field(default_factory=dict)
    beyond: set[Place] = field(default_factory=set)

    def note(self, standings: Mapping[Place, Standing], now: float) -> None:
        """Take in where the partitions stand at `now`."""
        for place, standing in standings.items():
            moved = self.seen.get(place) != standing.position
            if moved or not standing.behind:
                self.since[place] = now
            self.seen[place] = standing.position
        self.beyond = {place for place, standing in standings.items() if standing.position > standing.end}

    def ahead(self, places: set[Place]) -> set[Place]:
        """Those of `places` whose position lies beyond the end of the log: it is not the log it was."""
        return places & self.beyond

    def stalled(self, places: set[Place], now: float, after_s: float) -> set[Place]:
        """Those of `places` that have been behind and have not moved for `after_s` seconds."""
        return {place for place in places if now - self.since.get(place, now) > after_s}

    def begin(self, places: set[Place], now: float) -> None:
        """This worker was given those partitions just now: that others did not move them says nothing of it."""
        self.since.update(dict.fromkeys(places, now))

    def forget(self) -> None:
        """Begin anew: what was seen says nothing about what comes."""
        self.seen.clear()
        self.since.clear()
        self.beyond.clear()


class Watchdog(threading.Thread):
    """Watches the worker of this process: its loop calls `beat`, `owned` says which stored partitions are its own.

    `sought`: those of them whose log was compared with their position since they were given to it.
    """

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.progress = Progress()
        self.beaten_at = time.monotonic()
        self.waited_at: float | None = None
        self.tries: dict[object, tuple[str, float]] = {}
        self.owned: set[Place] | None = None
        self.had: set[Place] = set()
        self.sought: set[Place] = set()
        self._stopped = threading.Event()

    async def beat(self) -> None:
        """Show a sign of life every second, until cancelled."""
        while True:
            self.beaten_at = time.monotonic()
            await asyncio.sleep(1)

    def wait(self) -> None:
        """The worker says, at each try, that Postgres or Kafka is away and that it waits for them."""
        self.waited_at = time.monotonic()

    def go_on(self) -> None:
        """It waits no more."""
        self.waited_at = None

    @property
    def waits(self) -> bool:
        """Whether it waits. One that has not tried again for long does not wait, it hangs."""
        return self.waited_at is not None and time.monotonic() - self.waited_at < TRIES_AGAIN_WITHIN_S

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """The block asks Postgres for something that takes seconds at most, even where it has to wait."""
        one = object()
        self.tries[one] = (what, time.monotonic())
        try:
            yield
        finally:
            self.tries.pop(one, None)

    def hanging(self, now: float, after_s: float) -> set[str]:
        """What has been tried for longer than `after_s` seconds: nobody will answer on its connection any more."""
        return {what for what, began in list(self.tries.values()) if now - began > after_s}

    def stalled(self, standings: Mapping[Place, Standing], now: float, after_s: float) -> set[Place]:
        """Take in where the partitions stand; those that this worker has left behind for longer than `after_s` seconds.

        Without any assignment it may be a spare one, or the one that never came back: while somebody else stores,
        positions move, and it is left alone.
        """
        self.progress.note(standings, now)
        owned = self.owned or set()
        self.progress.begin(owned - self.had, now)
        self.had = owned or self.had  # a rebalance takes all away for a moment
        return self.progress.stalled(owned or set(standings), now, after_s)

    def stop(self) -> None:
        """Watch no longer: the worker is stopping by itself."""
        self._stopped.set()

    def run(self) -> None:
        """Look again and again."""
        clock_is_off_by, answers_since = time.time() - time.monotonic(), time.monotonic()
        while not self._stopped.wait(LOOK_EVERY_S):
            # Who is on a website now was found by a clock that was wrong, or is: the next process reads it anew.
            if abs(time.time() - time.monotonic() - clock_is_off_by) > CLOCK_SET_S:
                self._end("the clock was set", by_s=round(time.time() - time.monotonic() - clock_is_off_by))
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
                answers_since = time.monotonic()
                continue
            now = time.monotonic()
            hanging = self.hanging(now, settings().stalled_after_s)
            if hanging and now - answers_since > GOES_ON_WITHIN_S:
                self._end("Postgres answers, but not here", waiting=sorted(hanging))
            stalled = self.stalled(standings, now, settings().stalled_after_s)
            if ahead := self.progress.ahead(self.sought):
                self._end("more is stored than the topic holds: it was deleted or cut", places=_named(ahead))
            if stalled:
                self._end("records wait and none is stored", places=_named(stalled))

    def _end(self, why: str, **what: object) -> None:
        if not self._stopped.is_set():
            log.critical("this worker ends, to be started again", why=why, **what)
            os._exit(EXIT_CODE)


WATCHDOG = Watchdog()
"""This process' watchdog; a web process never starts it."""


def _named(places: set[Place]) -> list[str]:
    return [f"{topic}/{partition}" for topic, partition in sorted(places)]


async def _standings() -> dict[Place, Standing]:
    """Where the partitions of every stored topic stand, by connections that are this thread's own."""
    partitions = range(settings().partitions)
    url = database_url(resolve(settings()).database_url).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False), connect_timeout=5, options=OPTIONS
    ) as db:
        known = {
            (topic, partition): position.next_offset
            for topic in stored_topics()
            for partition, position in (await store.positions(db, topic, partitions)).items()
        }
    # After the positions: no later end can lie before them.
    async with kafka_log() as kafka:
        ends = {
            (topic, partition): end
            for topic in stored_topics()
            for partition, end in (await kafka.ends(topic, partitions)).items()
        }
    return {place: Standing(known.get(place, 0), end) for place, end in ends.items()}
