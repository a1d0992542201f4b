"""Copies of rows in a Faust table: each good while its version is that of its row in Postgres.

A change is held in memory at once and written to the table a few seconds later, so that a key that changes again and
again costs one write to RocksDB and the changelog, not one a batch. What a process takes with it when it dies was
a copy; the row is read instead.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from analytics_app import clock
from analytics_app.app import app
from analytics_app.sessions.copies import Copies
from analytics_app.sessions.state import Held
from tables.disk import on_disk, within

_VERSION_BYTES = 8


@dataclass(slots=True)
class Saved:
    """By partition, what a table is to hold, and to drop, once the transaction is committed."""

    held: dict[int, dict[str, Held]] = field(default_factory=lambda: defaultdict(dict))
    over: dict[int, list[str]] = field(default_factory=dict)

    def add(self, held: Mapping[str, Held], partition_of: Callable[[str], int]) -> None:
        """Have the table hold those copies, by their keys."""
        for key, copy in held.items():
            self.held[partition_of(key)][key] = copy


class Copied:
    """A table that is partitioned as `topic` is, and what of it this process holds in memory."""

    def __init__(self, table: Any, topic: str) -> None:
        self.table = table
        self.topic = topic
        self._copies = Copies()

    def held(self, partition_of: Mapping[str, int]) -> dict[str, Held | None]:
        """The copies held of those keys, each given with its partition; None for one not held."""
        found = {key: self._copies.latest.get(key) for key in partition_of}
        elsewhere: dict[int, list[str]] = defaultdict(list)
        for key, copy in found.items():
            if copy is None:
                elsewhere[partition_of[key]].append(key)
        for partition, keys in elsewhere.items():
            with within(self.topic, partition):
                found.update({key: _unpack(self.table.get(key.encode())) for key in keys})
        return found

    def keep(self, saved: Saved) -> None:
        """Hold, and drop, what was committed, in the partitions that are this worker's.

        One that was given to another worker meanwhile was stored by whoever came first, and is held by its owner now.
        """
        for partition in saved.held.keys() | saved.over.keys():
            if TP(self.topic, partition) in app.consumer.assignment():
                self.hold(partition, saved.held.get(partition, {}))
                self.forget(partition, saved.over.get(partition, ()))

    def hold(self, partition: int, copies: Mapping[str, Held]) -> None:
        """Hold what was written and committed."""
        now_s = clock.monotonic()
        for key, copy in copies.items():
            self._copies.put(partition, key, copy, now_s)
        with within(self.topic, partition):
            for key, copy in self._copies.due(partition, now_s):
                self.table[key.encode()] = copy.version.to_bytes(_VERSION_BYTES, "big") + copy.state

    def forget(self, partition: int, keys: Iterable[str]) -> None:
        """Drop what can no longer change."""
        with within(self.topic, partition):
            for key in keys:
                self._copies.drop(partition, key)
                self.table.pop(key.encode(), None)

    def on_disk(self, partition: int, after: str, most: int) -> dict[str, int]:
        """By key, in order, the versions of up to `most` copies beyond `after` that the table has on disk.

        Where memory holds a later copy, that one's.
        """
        return {
            key.decode(): (self._copies.latest.get(key.decode()) or Held(_version(value), b"")).version
            for key, value in on_disk(self.table, partition, after.encode(), most)
        }

    def unwritten(self, partition: int) -> dict[str, int]:
        """By key, the versions of the copies that the table does not have yet."""
        held = {key: self._copies.latest.get(key) for key in self._copies.unwritten[partition]}
        return {key: copy.version if copy else 0 for key, copy in held.items()}


def _unpack(value: bytes | None) -> Held | None:
    if not value:
        return None
    return Held(_version(value), value[_VERSION_BYTES:])


def _version(value: bytes) -> int:
    return int.from_bytes(value[:_VERSION_BYTES], "big")
