"""A worker with one of its safeguards taken out: `python -m tests.faults.sabotage SABOTAGE…`, then as ever.

`no-seek`     it goes on at Kafka's committed offset, not at Postgres' position
`take`        it reads its batches by `take`, which acknowledges whatever becomes of them, not by `noack_take`
`wait-once`   no sabotage, but a fault: the first such worker waits with its first batch, as for Postgres, until stopped
"""

import asyncio
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


def wait_once() -> None:
    """Postgres is away, once, for as long as this worker lives."""
    store, waited = sessions.sink.store, Path(settings().data_dir) / "waited"
    waits = not waited.exists()

    async def wait_or_store(partition: int, records: Sequence[Any]) -> Any:
        if waits:
            waited.touch()
            await asyncio.sleep(3600)
        return await store(partition, records)

    sessions.sink.store = wait_or_store  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {"no-seek": no_seek, "take": take, "wait-once": wait_once}

if __name__ == "__main__":
    for word in sys.argv[1:]:
        SABOTAGES[word]()
    sys.argv[1:] = []
    process.main()
