"""Values for tests: whatever does not matter is filled in. Times are seconds after noon, unless they say otherwise."""

import itertools
from typing import Any

from analytics_app.records import AnyHit, Gathered, Heartbeat, Hit, Leave, Sample, Samples, encode
from analytics_app.stream.logic import Record
from analytics_app.websites.logic import Website

NOON_MS = 1_795_176_000_000
"""2026-11-20T12:00:00Z."""
MINUTE, HOUR, DAY = 60, 3600, 86_400
WEBSITE = 7
SESSION = "5e" * 16
VISITOR = "71" * 16

_ids = itertools.count(1_000_000)


def at_ms(at: float) -> int:
    """Seconds after noon as records carry time."""
    return NOON_MS + round(at * 1000)


def make_hit(at: float = 0, **fields: Any) -> Hit:
    """A pageview of `/`."""
    given = {
        "event_id": next(_ids),
        "at_ms": at_ms(at),
        "website_id": WEBSITE,
        "session_key": SESSION,
        "visitor": VISITOR,
        "path": "/",
        "source": "Direct",
        "channel": "Direct",
    }
    return Hit(**{**given, **fields})


def make_event(at: float = 0, **fields: Any) -> Hit:
    """A custom event, of no page."""
    return make_hit(at, **{"kind": 2, "name": "signup", "path": "", **fields})


def make_heartbeat(at: float = 0, of: Hit | int = 0, **fields: Any) -> Heartbeat:
    """Engagement with the pageview `of`, told without its website."""
    event_id, key = (of.event_id, of.session_key) if isinstance(of, Hit) else (of, SESSION)
    return Heartbeat(**{"event_id": event_id, "at_ms": at_ms(at), "session_key": key, **fields})


def make_leave(at: float = 0, **fields: Any) -> Leave:
    """The end of a session's clock, told without its website."""
    return Leave(**{"at_ms": at_ms(at), "session_key": SESSION, **fields})


def make_sample(kind: int = 1, x: int = 0, y: int = 0, at: float = 0, **fields: Any) -> Sample:
    """A click in a window of 1280 by 720 on a page of 1265 by 3000."""
    sizes = {"viewport_width": 1280, "viewport_height": 720, "page_width": 1265, "page_height": 3000}
    return Sample(**{"kind": kind, "x": x, "y": y, "at_ms": at_ms(at), **sizes, **fields})


def make_samples(*samples: Sample, at: float = 0, **fields: Any) -> Samples:
    """What one visitor did on `/`, at a desk."""
    given = {"website_id": WEBSITE, "at_ms": at_ms(at), "session_key": SESSION, "visitor": VISITOR, "path": "/"}
    return Samples(**{**given, "device_type": "desktop", "samples": list(samples), **fields})


def make_record(
    offset: int, *hits: AnyHit | Samples, writer: str = "edge-1", sequence: int | None = None, partition: int = 0
) -> Record:
    """A record as Kafka has it; its sequence follows its offset, as a single writer's does."""
    said = Gathered(writer, offset if sequence is None else sequence, list(hits))
    return Record(partition, offset, encode(said))


def make_website(website_id: int = WEBSITE, **fields: Any) -> Website:
    """A website of the first workspace, as every setting has it by default."""
    return Website(**{"id": website_id, "workspace_id": 1, "host": "example.com", **fields})
