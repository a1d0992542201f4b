"""What recordings come to: who is recorded, what a chunk holds, and what its session's recording adds up to. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from analytics_app.intake.paths import clean_path
from analytics_app.replays.events import Kind, Source
from analytics_app.websites.logic import Website

CLICK = 2
"""rrweb's number of a click among its mouse interactions."""
RAGE_CLICKS, RAGE_WITHIN_MS, RAGE_RADIUS_PX = 3, 1000, 30
MOST_PAGES = 200
PAGE, ERROR = "page", "error"
"""Tags of the custom events that our recorder adds: a path a router went to, and an error that nothing caught."""

Click = tuple[int, int, int]
"""When (milliseconds since 1970), and where in the window."""


def is_sampled(website_id: int, session_key: str, part: float) -> bool:
    """Whether a session is among the recorded part of all sessions: the same on every process, for as long as it runs.

    Who is recorded at one part is recorded at every larger one.
    """
    if part >= 1:
        return True
    digest = blake2b(session_key.encode(), digest_size=6, person=b"replay-sample", salt=website_id.to_bytes(8, "big"))
    return int.from_bytes(digest.digest(), "big") < part * 2**48


def records(website: Website, session_key: str) -> bool:
    """Whether that session of the website is to be recorded."""
    return website.tracking_type == "full" and is_sampled(website.id, session_key, website.replay_sampling)


WHOLE = "0" * 32
"""The tab of recordings whose recorder names none."""


def tab_key(session_key: str, tab: str) -> str:
    """What a tab of a session, as its recorder names it, is known by."""
    return blake2b(f"{session_key} {tab}".encode(), digest_size=16, person=b"replay-tab").hexdigest()


def recording_key(session_key: str, tab: str | None) -> str:
    """What one recording of a session is known by, where a session is told to stop or is not to come back."""
    return session_key if tab in (None, WHOLE) else tab


@dataclass(frozen=True, slots=True)
class Facts:
    """What a chunk's events say, cleaned and in whatever order they came."""

    events: int = 0
    first_ms: int = 0
    last_ms: int = 0
    clicks: tuple[Click, ...] = ()
    errors: int = 0
    pages: tuple[tuple[int, str], ...] = ()
    """When each path was come to."""
    has_snapshot: bool = False
    """Whether a player can begin with it."""


def facts_of(events: Sequence[dict[str, Any]]) -> Facts:
    """What cleaned events say."""
    clicks, pages, errors, has_snapshot = [], [], 0, False
    for event in events:
        kind, data, at_ms = event["type"], event["data"], round(event["timestamp"])
        if kind == Kind.CHANGE:
            if data["source"] == Source.MOUSE and data.get("type") == CLICK:
                clicks.append((at_ms, round(data.get("x") or 0), round(data.get("y") or 0)))
        elif kind == Kind.META and data["href"]:
            pages.append((at_ms, clean_path(data["href"].partition("?")[0].partition("#")[0])))
        elif kind == Kind.SNAPSHOT:
            has_snapshot = True
        elif kind == Kind.CUSTOM:
            errors += data["tag"] == ERROR
            payload = data["payload"]
            if data["tag"] == PAGE and isinstance(payload, dict) and isinstance(payload.get("path"), str):
                pages.append((at_ms, clean_path(payload["path"])))
    times = [round(event["timestamp"]) for event in events]
    return Facts(
        len(events), min(times, default=0), max(times, default=0), tuple(clicks), errors, tuple(pages), has_snapshot
    )


def rage_clicks(clicks: Iterable[Click]) -> int:
    """How often somebody hammered on one spot: three clicks or more within a second and 30 pixels of the first.

    A burst counts once, however long it goes on.
    """
    bursts, counted = 0, False
    burst: list[Click] = []
    for at_ms, x, y in sorted(clicks):
        if burst and at_ms - burst[-1][0] <= RAGE_WITHIN_MS and _near(burst[0], x, y):
            burst.append((at_ms, x, y))
            # The last three of the burst, not all of it, must be quick.
            if not counted and len(burst) >= RAGE_CLICKS and at_ms - burst[-RAGE_CLICKS][0] <= RAGE_WITHIN_MS:
                bursts, counted = bursts + 1, True
        else:
            burst, counted = [(at_ms, x, y)], False
    return bursts


def _near(first: Click, x: int, y: int) -> bool:
    return (first[1] - x) ** 2 + (first[2] - y) ** 2 <= RAGE_RADIUS_PX**2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as it is stored: its place in the session, its facts, and its events, cleaned and compressed."""

    sequence: int
    facts: Facts
    data: bytes
    raw_bytes: int
    """Bytes of its events as JSON, before compression."""
    origin: "Origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a chunk came from, as the edge knew."""

    visitor: str = ""
    at_ms: int = 0
    country: str = ""
    device_type: str = ""
    browser: str = ""
    os: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a session's stored chunks add up to, whatever order they came in."""

    chunks: int = 0
    stored_bytes: int = 0
    raw_bytes: int = 0
    events: int = 0
    first_ms: int = 0
    last_ms: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    clicks: int = 0
    errors: int = 0
    entry_ms: int = 0
    entry_page: str = ""
    pages: tuple[str, ...] = ()
    stopped: str | None = None
    """Why nothing more is recorded: `size` or `length`."""
    origin: Origin = field(default_factory=Origin)

    @property
    def duration_ms(self) -> int:
        """From its first event to its last."""
        return self.last_ms - self.first_ms


def refused(recording: Recording, chunk: Chunk, room: int, most_ms: int) -> str | None:
    """Why a chunk finds no place in a recording: `size` or `length`; None where it does.

    `room` is how many bytes its session's recordings may still take.
    """
    if len(chunk.data) > room:
        return "size"
    if recording.chunks:
        begins, ends = min(recording.first_ms, chunk.facts.first_ms), max(recording.last_ms, chunk.facts.last_ms)
    else:
        begins, ends = chunk.facts.first_ms, chunk.facts.last_ms
    return "length" if ends - begins > most_ms else None


def advance(recording: Recording, chunk: Chunk) -> Recording:
    """The recording with one more chunk, which it did not hold yet."""
    facts, begun = chunk.facts, recording.chunks > 0
    is_first = not begun or chunk.sequence < recording.first_sequence
    entry = min(facts.pages, default=None)
    known = recording.entry_page and recording.entry_ms <= (entry[0] if entry else recording.entry_ms)
    entry_ms, entry_page = (recording.entry_ms, recording.entry_page) if known or not entry else entry
    pages = dict.fromkeys((*recording.pages, *(path for _, path in sorted(facts.pages))))
    return replace(
        recording,
        chunks=recording.chunks + 1,
        stored_bytes=recording.stored_bytes + len(chunk.data),
        raw_bytes=recording.raw_bytes + chunk.raw_bytes,
        events=recording.events + facts.events,
        first_ms=min(recording.first_ms, facts.first_ms) if begun else facts.first_ms,
        last_ms=max(recording.last_ms, facts.last_ms),
        first_sequence=chunk.sequence if is_first else recording.first_sequence,
        last_sequence=max(recording.last_sequence, chunk.sequence),
        clicks=recording.clicks + len(facts.clicks),
        errors=recording.errors + facts.errors,
        entry_ms=entry_ms,
        entry_page=entry_page,
        pages=tuple(pages)[:MOST_PAGES],
        origin=chunk.origin if is_first else recording.origin,
    )


@dataclass(frozen=True, slots=True)
class Gap:
    """Chunks that never came: their sequence numbers, and the stretch of the recording they are missing from."""

    first: int
    last: int
    from_ms: int
    to_ms: int


def gaps(chunks: Iterable[tuple[int, int, int]], begins_ms: int) -> list[Gap]:
    """What is missing between stored chunks, given as (sequence, first_ms, last_ms); times count from `begins_ms`."""
    missing = []
    due, ended_ms = 0, begins_ms
    for sequence, first_ms, last_ms in sorted(chunks):
        if sequence > due:
            missing.append(Gap(due, sequence - 1, ended_ms - begins_ms, max(first_ms, ended_ms) - begins_ms))
        due, ended_ms = sequence + 1, max(ended_ms, last_ms)
    return missing
