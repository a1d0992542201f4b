"""A worker with one of its safeguards taken out: `python -m tests.faults.sabotage SABOTAGE…`, then as ever.

`no-seek`     it goes on at Kafka's committed offset, not at Postgres' position
`take`        it reads its batches by `take`, which acknowledges whatever becomes of them, not by `noack_take`
`raise-once`  no sabotage, but a fault: the first batch of the first such worker raises before anything is stored
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faust.streams import Stream
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from agents import sessions
from analytics_app import process
from analytics_app.settings import settings
from analytics_app.transport import Consumer


def no_seek() -> None:
    """Faust's own way."""

    async def seek_to_committed(self: Consumer) -> Mapping[TP, int]:
        offsets = dict(await driver.Consumer.seek_to_committed(self))
        self._due = {tp: offset or 0 for tp, offset in offsets.items()}
        return offsets

    Consumer.seek_to_committed = seek_to_committed  # type: ignore[method-assign]


def take() -> None:
    """`take` as far as it can be put in: `take_events` is the same code, but yields what the agent needs."""
    Stream.noack_take = Stream.take_events  # type: ignore[method-assign]


def raise_once() -> None:
    """A bug that shows once."""
    store, raised = sessions.sink.store, Path(settings().data_dir) / f"raised-{settings().app_id}"

    async def store_or_raise(partition: int, records: Sequence[Any]) -> Any:
        if not raised.exists():
            raised.touch()
            raise RuntimeError("a bug, once")
        return await store(partition, records)

    sessions.sink.store = store_or_raise  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {"no-seek": no_seek, "take": take, "raise-once": raise_once}

if __name__ == "__main__":
    for word in sys.argv[1:]:
        SABOTAGES[word]()
    sys.argv[1:] = []
    process.main()
