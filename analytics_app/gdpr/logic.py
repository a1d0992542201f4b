"""What the rights of a visitor come to: pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from analytics_app.records import Recorded

Status = Literal["granted", "withdrawn", "unknown"]
Action = Literal["export", "delete", "anonymise", "lookup"]

SWEPT_WITHIN = timedelta(hours=2)
"""What a worker's table holds of a row that is gone is dropped by then (`agents/sweeping.py`)."""
COMPACTED_WITHIN = timedelta(hours=26)
"""What a changelog holds of a key that has changed is gone by then: its segment is an hour, its compaction a day."""
BROKER_LOOKS_WITHIN = timedelta(minutes=10)
"""A broker looks for segments that are too old every five minutes, and unlinks them a minute later."""
REMEMBERED_BEYOND = timedelta(days=7)
"""An erasure is remembered so much longer than anything that could bring the visitor back."""


class Erasure(NamedTuple):
    """A visitor who was erased or anonymised, and when: what was sent up to then counts no more, or leads to nobody."""

    website_id: int
    visitor: str
    at_ms: int
    action: Literal["delete", "anonymise"] = "delete"


@dataclass(frozen=True, slots=True)
class Subject:
    """A visitor whose data is asked for: the hash it is known by, and its number in rows (None: it has no rows)."""

    website_id: int
    visitor: str
    number: int | None


def left_out(hits: Sequence[Any], erasures: Iterable[Erasure]) -> dict[int, str]:
    """Which of `hits`, by their place, are of an erased visitor and from before the erasure: `{place: "erased"}`.

    A hit's time is never later than when it was minted. What names no visitor (a heartbeat) has no session left. A
    recording shows what somebody saw and did: an anonymised visitor's is left out, too.
    """
    erasures = list(erasures)
    erased = _latest(erasures, "delete")
    anonymised = _latest(erasures, "anonymise")
    return {
        place: "erased"
        for place, hit in enumerate(hits)
        if _is_before(hit, erased) or (isinstance(hit, Recorded) and _is_before(hit, anonymised))
    }


def nameless(hits: Sequence[Any], erasures: Iterable[Erasure], make_hash: Callable[[], str]) -> Sequence[Any]:
    """`hits`, what anonymised visitors sent before that under hashes of `make_hash`'s, which lead to nobody.

    Of these `hits`, one visitor and one session stay one. Nothing remembers which visitor they became: that would lead
    from one to the other.
    """
    anonymised = _latest(erasures, "anonymise")
    if not anonymised:
        return hits
    made: defaultdict[Any, str] = defaultdict(make_hash)

    def named(hit: Any) -> Any:
        if not _is_before(hit, anonymised):
            return hit
        if hasattr(hit, "session_key"):
            key = made[hit.website_id, hit.session_key]
            return replace(hit, visitor=made[hit.website_id, hit.visitor], session_key=key)
        if hasattr(hit, "sender"):  # a detection
            return replace(hit, visitor=None, sender="")
        return replace(hit, visitor=made[hit.website_id, hit.visitor])

    return [named(hit) for hit in hits]


def _latest(erasures: Iterable[Erasure], action: str) -> dict[tuple[int, str], int]:
    return {(one.website_id, one.visitor): one.at_ms for one in erasures if one.action == action}


def _is_before(hit: Any, until_ms: Mapping[tuple[int, str], int]) -> bool:
    return bool(hit.at_ms <= until_ms.get((hit.website_id, getattr(hit, "visitor", None) or ""), -1))


def forgotten_at(now: datetime, topics: Iterable[Mapping[str, str]]) -> datetime:
    """When the last topic will have forgotten what was erased at `now`; `topics` are their configurations.

    A record goes when its segment is closed and older than the retention, the next time the broker looks. Of a
    compacted topic, what is superseded goes once its key has changed: what is left of it is swept out of the tables.
    """
    kept = [
        timedelta(milliseconds=int(config["retention.ms"]) + int(config.get("segment.ms", "604800000")))
        for config in topics
        if "retention.ms" in config
    ]
    return now + max([*kept, SWEPT_WITHIN + COMPACTED_WITHIN]) + BROKER_LOOKS_WITHIN
