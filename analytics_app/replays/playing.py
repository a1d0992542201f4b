"""Stored chunks as a player takes them. Pure."""

from typing import Any

from analytics_app.replays import packing
from analytics_app.replays.events import VERSION, Kind, clean_events


def events_json(data: bytes, sanitiser: int, *, is_first: bool = False) -> bytes:
    """A chunk's events as JSON, without the brackets around them; empty where there are none.

    What passed an older sanitiser passes the present one. Of the chunk that a player begins with, what comes before its
    snapshot is left out: changes of a page that the player never had. Raises `packing.Unpackable`.
    """
    if sanitiser == VERSION and not is_first:
        return packing.inflated(data)[1:-1]
    events = packing.unpacked(data)
    if sanitiser != VERSION:
        events = clean_events(events)
    if is_first:
        events = from_snapshot(events)
    return packing.write(events)[1:-1]


def from_snapshot(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events from the first snapshot on, with the size of the page just before it."""
    at = next((place for place, event in enumerate(events) if event["type"] == Kind.SNAPSHOT), len(events))
    return events[at - 1 :] if at and events[at - 1]["type"] == Kind.META else events[at:]
