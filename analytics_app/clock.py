"""The only reader of the time: everything else is handed it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The time now, aware, in UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """Milliseconds since 1970, as hits carry them."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds on a clock that never steps back, for waits and ages."""
    return time.monotonic()


def iso(at: datetime) -> str:
    """`at` as the API writes times: ISO 8601 in UTC, to the second, with a Z."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
