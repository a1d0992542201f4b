"""What a process has of its tables on disk: read through, written to outside of a stream, compacted, cleared away."""

import asyncio
import shutil
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.streams import _current_event  # a table write asks it which partition it belongs to

from analytics_app.settings import settings


def on_disk(table: Any, partition: int, after: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """Up to `most` keys beyond `after` with their values, in order, of what this process has of a partition on disk."""
    found: list[tuple[bytes, bytes]] = []
    if (database := _databases(table).get(partition)) is None:
        return found
    for key, value in database.items(from_key=after):
        if len(found) == most:
            break
        if key not in (after, table.data.offset_key):
            found.append((key, value))
    return found


def _databases(table: Any) -> dict[int, Any]:
    """The open databases of a table, by partition; none where tables are in memory."""
    found: dict[int, Any] = getattr(table.data, "_dbs", {})
    return found


async def compact(table: Any, partition: int) -> None:
    """Have the disk hold nothing of a partition but what its table does."""
    database = _databases(table).get(partition)
    if database is not None:
        await asyncio.to_thread(database.flush)
        await asyncio.to_thread(database.compact_range, None, None)


def roll(table: Any, partition: int) -> None:
    """Write something to the end of a changelog's partition: Kafka compacts no segment that is still written to."""
    table.send_changelog(partition, b"", None, value_serializer="raw")


def clear_away(table: Any, partitions: set[int], older_than_s: float) -> None:
    """Delete what lies on disk of partitions that are other workers' by now: whoever gets one reads the changelog."""
    if not _databases(table):
        return
    for partition in set(range(settings().partitions)) - partitions - set(_databases(table)):
        path: Path = table.data.partition_path(partition)
        if path.exists() and time.time() - path.stat().st_mtime > older_than_s:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def within(topic: str, partition: int) -> Iterator[None]:
    """Inside, tables are read and written in that partition, though no record of it is being worked on."""
    place = _Place(topic, partition)
    token = _current_event.set(weakref.ref(place))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _current_event.reset(token)


class _Place:
    """What a table asks of a current event."""

    def __init__(self, topic: str, partition: int) -> None:
        self.message = SimpleNamespace(topic=topic, partition=partition)
