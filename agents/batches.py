"""What agents that read in batches share."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from faust.types import EventT

from analytics_app.stream.logic import Record


def by_partition(events: Iterable[EventT[Any]]) -> dict[int, list[EventT[Any]]]:
    """The events of a batch by their partition."""
    groups = defaultdict(list)
    for event in events:
        groups[event.message.partition].append(event)
    return dict(groups)


def records_of(events: Iterable[EventT[Any]]) -> list[Record]:
    """The records of a batch."""
    messages = (event.message for event in events)
    return [Record(message.partition, message.offset, message.value or b"") for message in messages]
