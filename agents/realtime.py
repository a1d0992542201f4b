"""From activity to live views: who is on each website now.

Nothing here is counted, so nothing is kept but the last minutes: on every assignment the topic is read again from the
start of the window, and an activity that comes twice changes nothing.
"""

import weakref
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
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
from analytics_app.realtime.logic import Presence
from analytics_app.records import ActivityRecord, read_activity
from analytics_app.settings import settings
from tables.realtime import realtime

WITHIN_S = 0.1
MOST_RECORDS = 2000
WRITTEN_EVERY_S = 0.25
REFRESHED_EVERY_S = 30.0

log = structlog.get_logger(__name__)


class LiveViews:
    """The websites whose activity this worker is given, by partition."""

    def __init__(self) -> None:
        self.presences: dict[int, dict[int, Presence]] = defaultdict(dict)
        self.changed: set[tuple[int, int]] = set()
        self.refreshed_at = clock.monotonic()

    def see(self, partition: int, records: Iterable[ActivityRecord]) -> set[int]:
        """Take in who was seen; returns the websites concerned."""
        websites = set()
        for record in records:
            presence = self.presences[partition].setdefault(record.website_id, Presence())
            for active in record.active:
                presence.see(active)
            websites.add(record.website_id)
        self.changed |= {(partition, website_id) for website_id in websites}
        return websites

    def keep(self, partitions: set[int]) -> None:
        """Forget the partitions that other workers have now."""
        for gone in self.presences.keys() - partitions:
            del self.presences[gone]
        self.changed = {(partition, website) for partition, website in self.changed if partition in partitions}

    def due(self, horizon_ms: int) -> dict[int, tuple[dict[str, Any], datetime | None]]:
        """The views to write now: changed ones, ones that somebody fell out of, now and then all; empty ones go."""
        refresh = clock.monotonic() - self.refreshed_at > REFRESHED_EVERY_S
        if refresh:
            self.refreshed_at = clock.monotonic()
        views = {}
        for partition, presences in self.presences.items():
            for website_id, presence in list(presences.items()):
                gone = presence.leave_before(horizon_ms)
                if gone or refresh or (partition, website_id) in self.changed:
                    views[website_id] = (presence.view(), changes_at(presence))
                if not presence.visitors:
                    del presences[website_id]
        self.changed.clear()
        return views


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
    """The records of `events`; one that is none is left out: the next activity mends what it would have said."""
    records = []
    for event in events:
        try:
            records.append(read_activity(event.message.value or b""))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("an activity cannot be read", error=str(error))
    return records


def hold(partition: int, websites: Iterable[int], event: EventT[Any]) -> None:
    """Hold the views of `websites` in the table."""
    _current_event.set(weakref.ref(event))
    for website_id in websites:
        presence = LIVE.presences[partition].get(website_id)
        if presence is not None:
            realtime[b"%d" % website_id] = orjson.dumps(presence.view())


@app.agent(topics.activity, name="realtime", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def watch_websites(stream: StreamT[bytes]) -> None:
    """Keep the live view of every website: who is there, on which page, from where."""
    async for events in stream.noack_take(MOST_RECORDS, within=WITHIN_S):  # type: ignore[attr-defined]
        horizon = horizon_ms()
        for partition, group in by_partition(events).items():
            if TP(topics.activity.get_topic_name(), partition) in app.consumer.assignment():
                websites = LIVE.see(partition, read(group))
                for website_id in websites:
                    LIVE.presences[partition][website_id].leave_before(horizon)
                hold(partition, websites, group[-1])
        for event in events:
            event.ack()


@app.timer(WRITTEN_EVERY_S)
async def write_views() -> None:
    """Write the views that changed, for the API to read. Never raises: a timer that does ends the worker."""
    if settings().role == "web":
        return
    try:
        topic = topics.activity.get_topic_name()
        LIVE.keep({tp.partition for tp in app.consumer.assignment() if tp.topic == topic})
        views = LIVE.due(horizon_ms())
        if views:
            async with transaction() as db:
                await store.put_views(db, views, clock.now())
    except Exception as error:
        # What was due is due again with the next activity, at the latest with the next refresh.
        LIVE.refreshed_at = 0.0
        if is_away(error):
            log.warning("live views wait for Postgres")
        else:
            log.exception("live views could not be written")
