"""Live sessions: a copy of each session id's state, good while its version is that of the row in Postgres."""

from collections.abc import Iterable, Mapping

from analytics_app.app import app
from analytics_app.sessions.store import Held
from tables.store import options

sessions = app.Table("sessions", **options("State of each live session id, by its key"))

_VERSION_BYTES = 8


def held(keys: Iterable[str]) -> dict[str, Held | None]:
    """The copies held of `keys`; None for one not held. Needs the event of its partition as the current one."""
    return {key: _unpack(sessions.get(key.encode())) for key in keys}


def hold(saved: Mapping[str, Held]) -> None:
    """Hold what was written and committed. Needs the event of its partition as the current one."""
    for key, copy in saved.items():
        sessions[key.encode()] = copy.version.to_bytes(_VERSION_BYTES, "big") + copy.state


def forget(keys: Iterable[str]) -> None:
    """Drop what can no longer change. Needs the event of its partition as the current one."""
    for key in keys:
        sessions.pop(key.encode(), None)


def _unpack(value: bytes | None) -> Held | None:
    if not value:
        return None
    return Held(int.from_bytes(value[:_VERSION_BYTES], "big"), value[_VERSION_BYTES:])
