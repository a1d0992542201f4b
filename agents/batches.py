"""What agents that read in batches share."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from faust.types import EventT


def by_partition(events: Iterable[EventT[Any]]) -> dict[int, list[EventT[Any]]]:
    """The events of a batch by their partition."""
    groups = defaultdict(list)
    for event in events:
        groups[event.message.partition].append(event)
    return dict(groups)
