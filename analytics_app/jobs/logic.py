"""When background work is due: pure."""

from datetime import UTC, datetime, timedelta


def slot_of(now: datetime, every: timedelta) -> str:
    """The slot of `now`: the start of its stretch of `every`, counted from 1970. One run belongs to each slot."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
