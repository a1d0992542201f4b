"""Live sessions: a copy of each session id's state, good while its version is that of the row in Postgres.

A change is held in memory at once and written to the table a few seconds later, so that a session that is hit again
and again costs one write to RocksDB and the changelog, not one a batch. What a process takes with it when it dies was
a copy; the row is read instead.
"""

from collections.abc import Iterable, Mapping

from faust.streams import current_event

from analytics_app import clock
from analytics_app.app import app
from analytics_app.sessions.copies import Copies
from analytics_app.sessions.state import Held
from tables.store import options

sessions = app.Table("sessions", **options("State of each live session id, by its key"))

_VERSION_BYTES = 8

COPIES = Copies()


def held(keys: Iterable[str]) -> dict[str, Held | None]:
    """The copies held of `keys`; None for one not held. Needs the event of its partition as the current one."""
    return {key: COPIES.latest.get(key) or _unpack(sessions.get(key.encode())) for key in keys}


def hold(saved: Mapping[str, Held]) -> None:
    """Hold what was written and committed. Needs the event of its partition as the current one."""
    partition, now_s = _partition(), clock.monotonic()
    for key, copy in saved.items():
        COPIES.put(partition, key, copy, now_s)
    for key, copy in COPIES.due(partition, now_s):
        sessions[key.encode()] = copy.version.to_bytes(_VERSION_BYTES, "big") + copy.state


def forget(keys: Iterable[str]) -> None:
    """Drop what can no longer change. Needs the event of its partition as the current one."""
    partition = _partition()
    for key in keys:
        COPIES.drop(partition, key)
        sessions.pop(key.encode(), None)


def _partition() -> int:
    event = current_event()
    assert event is not None
    return int(event.message.partition)


def _unpack(value: bytes | None) -> Held | None:
    if not value:
        return None
    return Held(int.from_bytes(value[:_VERSION_BYTES], "big"), value[_VERSION_BYTES:])
