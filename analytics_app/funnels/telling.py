"""What of a batch funnels want: pure."""

from collections.abc import Callable, Iterable, Iterator

from analytics_app.funnels.logic import FunnelSet
from analytics_app.records import VisitorEvent
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.logic import Folded

MOST_IN_A_RECORD = 250
"""Kafka takes a megabyte; a page has a thousand characters at most."""


def wanted_events(folded: Folded, funnels_of: Callable[[int], FunnelSet | None], told_ms: int) -> list[VisitorEvent]:
    """The events of a batch that the funnels of their websites want, with their visitors numbered."""
    sets = {website_id: funnels_of(website_id) for website_id in {hit.website_id for hit, _ in folded.events}}
    if not any(sets.values()):
        return []
    found = []
    for hit, visit in folded.events:
        funnels = sets[hit.website_id]
        text = hit.path if hit.kind == EventKind.PAGEVIEW else hit.name
        if funnels is not None and funnels.wants(hit.kind, text):
            found.append(
                VisitorEvent(
                    event_id=hit.event_id,
                    at_ms=hit.at_ms,
                    told_ms=told_ms,
                    website_id=hit.website_id,
                    visitor=visit.visitor,
                    session_id=visit.id,
                    kind=hit.kind,
                    text=text,
                )
            )
    return found


def parts_of(events: Iterable[VisitorEvent], partitions: int) -> Iterator[tuple[int, list[VisitorEvent]]]:
    """The events by the partition of their visitor, so many at once as surely fit a record."""
    parts: dict[int, list[VisitorEvent]] = {}
    for event in events:
        parts.setdefault(event.visitor % partitions, []).append(event)
    for part, found in sorted(parts.items()):
        for first in range(0, len(found), MOST_IN_A_RECORD):
            yield part, found[first : first + MOST_IN_A_RECORD]
