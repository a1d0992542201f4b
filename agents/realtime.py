"""From activity to live views: who is on each website now.

Nothing here is counted, so nothing is kept but the last minutes: on every assignment the topic is read again from the
start of the window, and an activity that comes twice changes nothing.
"""

import heapq
import weakref
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import orjson
import structlog
from faust.streams import _current_event  # a table write asks it which partition it belongs to
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import by_partition
from analytics_app import clock, topics
from analytics_app.app import app
from analytics_app.db import is_away, transaction
from analytics_app.realtime import store
from analytics_app.realtime.logic import Presence, not_after
from analytics_app.records import ActivityRecord, read_activities
from analytics_app.settings import settings
from analytics_app.watchdog import WATCHDOG
from tables.realtime import realtime

WITHIN_S = 0.1
MOST_RECORDS = 2000
WRITTEN_EVERY_S = 0.25
"""A change that comes after a longer silence is written at once."""
WRITTEN_AT_ONCE = 500
"""Views, 2,000 a second: where more websites change, each is written less often."""
HELD_EVERY_S = 1.0
HELD_AT_ONCE = 20
"""Of the many websites that a batch may be about, so many are held: a write costs as much as storing a hit."""
REFRESHED_EVERY_S = 30.0
REMOVALS_READ_EVERY_S = 0.7
LONGEST_WINDOW = timedelta(hours=1)

log = structlog.get_logger(__name__)


class LiveViews:
    """The websites whose activity this worker is given, by partition."""

    def __init__(self) -> None:
        self.presences: dict[int, dict[int, Presence]] = defaultdict(dict)
        self.changed: dict[tuple[int, int], None] = {}  # in the order of their first change
        self.held_at: dict[int, float] = {}
        self.leaving: list[tuple[int, int, int]] = []
        """A heap of (before when nobody was last active, partition, website): nobody else has to be looked at."""
        self.awaited: dict[tuple[int, int], int] = {}  # the earliest of each in the heap
        self.refreshed_at = clock.monotonic()
        self.written_at = 0.0

    def is_due(self) -> bool:
        """Whether what changed need not wait for others: nothing was written a moment ago."""
        return bool(self.changed) and clock.monotonic() - self.written_at >= WRITTEN_EVERY_S

    def see(self, partition: int, records: Iterable[ActivityRecord], now_ms: int) -> set[int]:
        """Take in who was seen, as it is `now_ms`; returns the websites concerned."""
        websites = set()
        for record in records:
            presence = self.presences[partition].setdefault(record.website_id, Presence())
            for active in record.active:
                presence.see(not_after(now_ms, active))
            self._await_leaving(partition, record.website_id, presence)
            websites.add(record.website_id)
        self.changed |= dict.fromkeys((partition, website_id) for website_id in websites)
        return websites

    def keep(self, partitions: set[int]) -> None:
        """Forget the partitions that other workers have now."""
        for gone in self.presences.keys() - partitions:
            del self.presences[gone]
        self.changed = dict.fromkeys(one for one in self.changed if one[0] in partitions)

    def remove(self, gone: Iterable[tuple[int, int, int]]) -> None:
        """Drop who was taken out of the numbers, given as (website, visitor, when in milliseconds)."""
        for website_id, visitor, until_ms in gone:
            for partition, presences in self.presences.items():
                if website_id in presences and presences[website_id].remove(visitor, until_ms):
                    self.changed[partition, website_id] = None

    def due(self, horizon_ms: int) -> dict[int, tuple[dict[str, Any], datetime | None]]:
        """The views to write now: changed ones, ones that somebody fell out of, now and then all; empty ones go.

        Of very many the ones that wait longest; the others come next.
        """
        self._leave_before(horizon_ms)
        if clock.monotonic() - self.refreshed_at > REFRESHED_EVERY_S:
            self.refreshed_at = clock.monotonic()
            self.changed |= dict.fromkeys((part, website) for part, held in self.presences.items() for website in held)
        views = {}
        for partition, website_id in list(islice(self.changed, WRITTEN_AT_ONCE)):
            del self.changed[partition, website_id]
            presence = self.presences[partition].get(website_id)
            if presence is None:
                continue
            views[website_id] = (presence.view(), changes_at(presence))
            if not presence.visitors:
                del self.presences[partition][website_id]
                self.held_at.pop(website_id, None)
        return views

    def _await_leaving(self, partition: int, website_id: int, presence: Presence) -> None:
        at_ms, awaited = presence.none_before_ms, self.awaited.get((partition, website_id))
        if at_ms is not None and (awaited is None or at_ms < awaited):
            self.awaited[partition, website_id] = at_ms
            heapq.heappush(self.leaving, (at_ms, partition, website_id))

    def _leave_before(self, horizon_ms: int) -> None:
        """Note the websites that somebody falls out of at `horizon_ms`."""
        while self.leaving and self.leaving[0][0] < horizon_ms:
            at_ms, partition, website_id = heapq.heappop(self.leaving)
            if self.awaited.get((partition, website_id)) != at_ms:
                continue  # an earlier entry stood for it
            del self.awaited[partition, website_id]
            presence = self.presences[partition].get(website_id)
            if presence is not None:
                if presence.leave_before(horizon_ms):
                    self.changed[partition, website_id] = None
                self._await_leaving(partition, website_id, presence)


def changes_at(presence: Presence) -> datetime | None:
    """When the first visitor of `presence` falls out of the window; None where nobody is in it."""
    oldest_ms = presence.oldest_ms()
    if oldest_ms is None:
        return None
    return datetime.fromtimestamp(oldest_ms / 1000, UTC) + timedelta(seconds=settings().realtime_window_s)


LIVE = LiveViews()


def horizon_ms() -> int:
    """Whoever was last active before it is not on the website any more."""
    return clock.now_ms() - settings().realtime_window_s * 1000


def read(events: Sequence[EventT[Any]]) -> list[ActivityRecord]:
    """Who `events` tell of; one that is no record is left out: the next activity mends what it would have said."""
    records = []
    for event in events:
        try:
            records += read_activities(event.message.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("an activity cannot be read", error=str(error))
    return records


def hold(partition: int, websites: Iterable[int], event: EventT[Any]) -> None:
    """Hold the views of `websites` in the table, each at most once a second: making one looks at every visitor."""
    _current_event.set(weakref.ref(event))
    now_s, due = clock.monotonic(), []
    for website_id in websites:
        held_s = LIVE.held_at.get(website_id, -HELD_EVERY_S)
        if website_id in LIVE.presences[partition] and now_s - held_s >= HELD_EVERY_S:
            due.append((held_s, website_id))
    for _, website_id in heapq.nsmallest(HELD_AT_ONCE, due):
        LIVE.held_at[website_id] = now_s
        realtime[b"%d" % website_id] = orjson.dumps(LIVE.presences[partition][website_id].view())


@app.agent(topics.activity, name="realtime", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def watch_websites(stream: StreamT[bytes]) -> None:
    """Keep the live view of every website: who is there, on which page, from where."""
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        horizon = horizon_ms()
        for partition, group in by_partition(events).items():
            if TP(topics.activity.get_topic_name(), partition) in app.consumer.assignment():
                websites = LIVE.see(partition, read(group), clock.now_ms())
                for website_id in websites:
                    LIVE.presences[partition][website_id].leave_before(horizon)
                hold(partition, websites, group[-1])
        for event in events:
            event.ack()
        if LIVE.is_due():
            await write_views()


_looked_at = 0.0


async def drop_removed() -> None:
    """Now and then, drop who was taken out of the numbers: whenever that was, nothing is missed or done twice."""
    global _looked_at  # noqa: PLW0603 - when this process last looked
    if not any(LIVE.presences.values()) or clock.monotonic() - _looked_at < REMOVALS_READ_EVERY_S:
        return
    _looked_at = clock.monotonic()
    async with transaction() as db:
        LIVE.remove(await store.removals_since(db, clock.now() - LONGEST_WINDOW))


async def write_views() -> None:
    """Write the views that changed, for the API to read. Never raises: a timer that does ends the worker."""
    try:
        topic = topics.activity.get_topic_name()
        LIVE.keep({tp.partition for tp in app.consumer.assignment() if tp.topic == topic})
        await drop_removed()
        views, made_at = LIVE.due(horizon_ms()), clock.now()  # of two writes under way the view made later stays
        if views:
            LIVE.written_at = clock.monotonic()
            with WATCHDOG.trying("live views"):
                async with transaction() as db:
                    await store.put_views(db, views, made_at)
    except Exception as error:
        # What was due is due again with the next activity, at the latest with the next refresh.
        LIVE.refreshed_at = 0.0
        if is_away(error):
            log.warning("live views wait for Postgres")
        else:
            log.exception("live views could not be written")


@app.timer(WRITTEN_EVERY_S)
async def keep_writing() -> None:
    """Write what waited for the next turn, and the views that somebody fell out of."""
    if settings().role != "web":
        await write_views()
