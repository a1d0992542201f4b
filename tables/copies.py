"""Copies of rows in a Faust table: each good while its version is that of its row in Postgres.

A change is held in memory at once and written to the table a few seconds later, so that a key that changes again and
again costs one write to RocksDB and the changelog, not one a batch. What a process takes with it when it dies was
a copy; the row is read instead.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from faust.streams import current_event

from analytics_app import clock
from analytics_app.sessions.copies import Copies
from analytics_app.sessions.state import Held
from tables.disk import on_disk

_VERSION_BYTES = 8


class Copied:
    """A table, and what of it this process holds in memory. Each call needs the current event of its partition."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self._copies = Copies()

    def held(self, keys: Iterable[str]) -> dict[str, Held | None]:
        """The copies held of `keys`; None for one not held."""
        return {key: self._copies.latest.get(key) or _unpack(self.table.get(key.encode())) for key in keys}

    def hold(self, saved: Mapping[str, Held]) -> None:
        """Hold what was written and committed."""
        partition, now_s = _partition(), clock.monotonic()
        for key, copy in saved.items():
            self._copies.put(partition, key, copy, now_s)
        for key, copy in self._copies.due(partition, now_s):
            self.table[key.encode()] = copy.version.to_bytes(_VERSION_BYTES, "big") + copy.state

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

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what can no longer change."""
        partition = _partition()
        for key in keys:
            self._copies.drop(partition, key)
            self.table.pop(key.encode(), None)


def _partition() -> int:
    event = current_event()
    assert event is not None
    return int(event.message.partition)


def _unpack(value: bytes | None) -> Held | None:
    if not value:
        return None
    return Held(_version(value), value[_VERSION_BYTES:])


def _version(value: bytes) -> int:
    return int.from_bytes(value[:_VERSION_BYTES], "big")
