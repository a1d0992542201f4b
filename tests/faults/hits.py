"""Hits and records made by hand, for what goes straight into a topic."""

import itertools
import secrets
import time
from collections.abc import Sequence

from msgspec import structs

from analytics_app.records import Hit, encode, gather
from tests.faults.rig import PARTITIONS

_ids = itertools.count(5_000_000_000_000)
_sequences = itertools.count(1)
WRITER = f"by-hand-{secrets.token_hex(4)}"


def session_of(partition: int) -> str:
    """A new session key that lies in `partition`."""
    return f"{secrets.randbelow(2**20) * PARTITIONS + partition:08x}{secrets.token_hex(12)}"


def hit(website_id: int, session: str, **fields: object) -> Hit:
    """A pageview now."""
    given = {
        "event_id": next(_ids),
        "at_ms": round(time.time() * 1000),
        "website_id": website_id,
        "session_key": session,
        "visitor": session,
        "path": "/",
    }
    return Hit(**{**given, **fields})  # type: ignore[arg-type]


def sent_again(one: Hit) -> Hit:
    """The same hit as the edge accepts it when its client sends it again."""
    return structs.replace(one, event_id=next(_ids))


def record(hits: Sequence[Hit | bytes], writer: str = WRITER) -> bytes:
    """A record of these hits, encoded ones as they are."""
    return gather(writer, next(_sequences), [one if isinstance(one, bytes) else encode(one) for one in hits])
