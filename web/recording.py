"""Chunks of recordings as browsers send them: `/analytics/replay`."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from aiohttp.web import Request, Response
from faust.web import Blueprint

from analytics_app import clock, figures
from analytics_app.db import is_away, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import FaultyField, Forbidden, Invalid, NotFound, RateLimited, Unavailable
from analytics_app.intake.pipeline import WHO_STEPS, Dropped
from analytics_app.intake.schemas import PixelBody
from analytics_app.records import Recorded, encode
from analytics_app.replays import packing, reading_store
from analytics_app.replays.events import VERSION, clean_events
from analytics_app.replays.logic import is_sampled, recording_key, tab_key
from analytics_app.replays.schemas import ReplayBody, Taken
from analytics_app.stream.plans import MOST_BYTES
from analytics_app.topics import replay_chunks
from analytics_app.websites.logic import Website
from web import bodies, intake
from web.edge import Edge
from web.limits import LIMITS
from web.resource import json_response, operation, validated
from web.track import Tracking

Worked = TypeVar("Worked")
blueprint = Blueprint("recording")
log = structlog.get_logger(__name__)

MOST_INFLATED = 2 * 1024 * 1024
QUICK = 32 * 1024
"""Bytes of a body that are read and cleaned in about a millisecond; more are beside the loop."""
_LARGE = asyncio.Semaphore(1)
"""One at a time: threads share a processor with the loop, and hits are not to wait for recordings."""

EDGE = Edge(replay_chunks.get_topic_name(), most_bytes=MOST_BYTES)


class Stopped:
    """Recordings that take no more: full, too long, or deleted. Whoever sends more of one is told."""

    READ_EVERY_S = 2.0
    KEPT = timedelta(hours=26)
    OVERLAP = timedelta(seconds=30)

    def __init__(self) -> None:
        self.why: dict[tuple[int, str], str] = {}
        self._read_at = clock.now() - self.KEPT

    async def read(self) -> None:
        """Read which were stopped since the last time. Raises what the database raises."""
        now = clock.now()
        async with transaction() as db:
            found = await reading_store.stopped_since(db, self._read_at - self.OVERLAP)
        self.why.update({(website_id, key): why for website_id, key, why in found})
        self._read_at = now

    async def keep_reading(self) -> None:
        """Read again and again, until cancelled."""
        await DEFINITIONS.ready()
        began = clock.now()
        while True:
            try:
                if clock.now() - began > self.KEPT:  # those of yesterday send nothing any more
                    began = clock.now()
                    self.why, self._read_at = {}, began - self.KEPT
                await self.read()
            except Exception as error:
                if not is_away(error):
                    log.exception("stopped recordings could not be read")
            await asyncio.sleep(self.READ_EVERY_S)


STOPPED = Stopped()


@blueprint.route("/replay", name="replay")
class Replay(Tracking):
    """A chunk of a session's recording."""

    @operation(
        body=ReplayBody, body_limit=bodies.LARGE, answer=Taken, errors=(NotFound, Forbidden, RateLimited, Unavailable)
    )
    async def post(self, request: Request) -> Response:
        """Keep a chunk of what rrweb recorded. `ok` without `ignored` means that it is durable.

        1 MiB at most, 2 MiB inflated. A repeated sequence number counts once. `ignored` says why the session is not
        recorded (any more): `lightweight`, `not_sampled`, `size`, `length`, `deleted`, or why nobody is counted there.
        """
        said = await bodies.read(request, bodies.LARGE, MOST_INFLATED)
        if said.startswith(bodies.GZIP):  # a page's script that says so in a header costs a preflight
            said = bodies.inflated(said, MOST_INFLATED)
        body, events = await worked(opened, said, len(said))
        website = await intake.website_of(body.key)
        await LIMITS.take(website.id)
        return await keep(request, website, body, events, len(said))


async def worked(work: Callable[[Any], Worked], given: Any, size: int) -> Worked:
    """What `work` makes of what it is given of so many bytes; beside the loop where that takes long.

    Raises `Invalid` for a ValueError.
    """
    try:
        if size <= QUICK:
            return work(given)
        async with _LARGE:
            return await asyncio.to_thread(work, given)
    except ValueError as fault:
        raise Invalid(details=[FaultyField("", str(fault))]) from None


def opened(said: bytes) -> tuple[ReplayBody, Any]:
    """The body, checked, and its events as they were sent. Raises `Invalid`, ValueError."""
    values: Any = packing.read(said)
    return validated(ReplayBody, values), values["events"]


def packed(events: Any) -> bytes:
    """Events as they travel: cleaned, so that no topic holds what is to be covered. Raises ValueError."""
    return packing.compressed(packing.write(clean_events(events)), packing.ON_THE_WAY)


async def keep(request: Request, website: Website, body: ReplayBody, events: Any, size: int) -> Response:
    """Answer once Kafka has the chunk, or say why it is not kept: only what is kept is cleaned.

    Raises `Invalid`, `Unavailable`.
    """
    draft = await intake.draft_of(request, website, PixelBody(visitor_id=body.visitor_id, session_id=body.session_id))
    try:
        for step in WHO_STEPS:
            step(draft)
    except Dropped as dropped:
        return ignored(dropped.reason.value, told=dropped.told)
    session_key, fields = draft.fields["session_key"], draft.fields
    if website.tracking_type != "full":
        return ignored("lightweight")
    if not is_sampled(website.id, session_key, website.replay_sampling):
        return ignored("not_sampled")
    tab = tab_key(session_key, body.tab) if body.tab else None
    if why := STOPPED.why.get((website.id, recording_key(session_key, tab))):
        return ignored(why)
    recorded = Recorded(
        at_ms=clock.now_ms(),
        website_id=website.id,
        session_key=session_key,
        visitor=fields["visitor"],
        tab=tab,
        sent_by=fields.get("sent_by", ""),
        sequence=body.sequence,
        sanitiser=VERSION,
        packed=await worked(packed, events, size),
        country=fields["country"],
        device_type=fields["device_type"],
        browser=fields["browser"],
        os=fields["os"],
    )
    await EDGE.add(session_key, encode(recorded))
    figures.count_edge("accepted_replay")
    return json_response({"ok": True})


def ignored(why: str, *, told: bool = True) -> Response:
    """The answer to a chunk that is not kept; a bot does not learn of it."""
    figures.count_edge(f"ignored_{why}")
    return json_response({"ok": True, "ignored": why}, status=202) if told else json_response({"ok": True})
