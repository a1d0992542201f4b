"""From a tracking request to a hit that Kafka has: what every tracking endpoint does."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import structlog
from aiohttp.web import Request

from analytics_app import clock, figures
from analytics_app.db import is_away, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import FaultyField, Forbidden, Invalid, NotFound, Unavailable
from analytics_app.ids import EventIds
from analytics_app.intake import pipeline
from analytics_app.intake.addresses import client_address
from analytics_app.intake.bots import declared_bot
from analytics_app.intake.pipeline import Draft, Dropped, Knowledge, Sender
from analytics_app.intake.places import Places
from analytics_app.intake.privacy import SETTLE_S, salt_day, session_key
from analytics_app.intake.referrers import referral_of
from analytics_app.intake.schemas import EventBody, PixelBody, Tracked
from analytics_app.intake.user_agents import device_of
from analytics_app.records import Heartbeat, Leave, encode
from analytics_app.secret import secret
from analytics_app.sessions import running_store
from analytics_app.settings import settings
from analytics_app.topics import hits
from analytics_app.websites.logic import Website
from web import auth
from web.edge import Edge
from web.limits import LIMITS

LATE = timedelta(hours=24)
AHEAD = timedelta(minutes=5)
REPORTED_HEADERS = ("DNT", "Sec-GPC", "Accept-Language")
RUNNING_READ_EVERY_S = 5.0

log = structlog.get_logger(__name__)

EDGE = Edge(hits.get_topic_name())
EVENT_IDS = EventIds()


@cache
def _places() -> Places:
    return Places(settings().geoip_database)


@cache
def _secret() -> bytes:
    return secret(settings())


async def website_of(key: str | None) -> Website:
    """The website of a pixel key. Raises `NotFound` for an unknown key, `Forbidden` where tracking is off."""
    website = await _looked_up(key or "")
    if website is None:
        raise NotFound("There is no such pixel key")
    if not (website.is_enabled and website.tracking_enabled):
        raise Forbidden("Tracking is switched off for this website")
    return website


async def _looked_up(key: str) -> Website | None:
    try:
        return await DEFINITIONS.find_website(key)
    except Exception as error:
        if is_away(error):
            raise Unavailable("The key cannot be looked up right now; try again") from None
        raise


def warm_up() -> None:
    """Load the lists that the first hit would otherwise wait for."""
    _secret()
    _places()
    referral_of("https://www.google.com/search", ["example.com"])
    declared_bot("Mozilla/5.0")
    device_of("Mozilla/5.0 (X11; Linux x86_64)")


def sender_of(request: Request) -> Sender:
    """Who sent the request, as far as it can be believed."""
    peer = request.remote or ""
    return Sender(
        client_address(peer, request.headers, settings().trusted_proxies),
        request.headers.get("User-Agent", ""),
        request.headers,
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """A hit on its way: the answer to it, and what to wait for before it is given; None where there is nothing."""

    answer: Tracked
    acknowledged: asyncio.Future[None] | None = None

    async def safe(self) -> Tracked:
        """The answer, once it is true. Raises `Unavailable`."""
        if self.acknowledged is not None:
            await asyncio.shield(self.acknowledged)
            figures.count_edge("accepted")
        return self.answer


async def accept(request: Request, website: Website, body: PixelBody | EventBody) -> Tracked:
    """Take one pageview or event: the answer once Kafka has it, or why it is not counted. Raises as `take` does."""
    return await (await take(request, website, body)).safe()


async def take(request: Request, website: Website, body: PixelBody | EventBody) -> Taken:
    """Take one pageview or event as far as the edge, where it waits with others for Kafka.

    Raises `Invalid`, `Unauthenticated`, `Forbidden`, `RateLimited`, `Unavailable`.
    """
    now = clock.now()
    sender, at = await _reported(request, website, body, sender_of(request), now)
    await LIMITS.take(website.id)
    draft = Draft(website, body, sender, _knowledge(now))
    try:
        event_id = await EVENT_IDS.mint()
    except Exception as error:
        if is_away(error):
            raise Unavailable("No event id is to be had right now; send the hit again with the same id") from None
        raise
    try:
        hit = pipeline.run(draft, event_id, round(at.timestamp() * 1000))
    except Dropped as dropped:
        figures.count_edge(f"ignored_{dropped.reason.value}")
        if dropped.told:
            return Taken(Tracked(ignored=dropped.reason.value))
        return Taken(Tracked(event_id=event_id, visitor_id=draft.ids.visitor_id, session_id=draft.ids.session_id))
    answer = Tracked(event_id=event_id, visitor_id=draft.ids.visitor_id, session_id=draft.ids.session_id)
    return Taken(answer, EDGE.put(hit.session_key, encode(hit)))


async def accept_engagement(request: Request, body: Heartbeat | Leave, website: Website | None) -> str | None:
    """Take a heartbeat or leave of `website` (None: of whichever holds its session); returns why it is ignored."""
    await LIMITS.take(website.id if website else 0)
    if website is not None:
        try:
            pipeline.drop_opted_out(Draft(website, PixelBody(), sender_of(request), _knowledge(clock.now())))
        except Dropped as dropped:
            figures.count_edge(f"ignored_{dropped.reason.value}")
            return dropped.reason.value
    await EDGE.add(body.session_key, encode(body))
    figures.count_edge("accepted")
    return None


def key_of(session_id: str) -> str:
    """The key that a client's session id is known by from here on."""
    return session_key(_secret(), session_id)


async def _reported(
    request: Request, website: Website, body: PixelBody | EventBody, sender: Sender, now: datetime
) -> tuple[Sender, datetime]:
    """The sender and time that a server-side sender reports of somebody else's request; it needs a token for that."""
    if not (body.timestamp or body.ip or body.user_agent):
        return sender, now
    token = await auth.caller(request, "write")
    if token.workspace_id != website.workspace_id or not token.covers(website.id):
        raise Forbidden("The token does not cover this website")
    at = body.timestamp or now
    if not now - LATE <= at <= now + AHEAD:
        raise Invalid(details=[FaultyField("timestamp", "must be at most 24 hours ago, and not in the future")])
    # Of a request that is reported, nothing of the reporting server's own must be taken for the visitor's.
    headers = {name: request.headers[name] for name in REPORTED_HEADERS if name in request.headers}
    return Sender(body.ip or sender.address, body.user_agent or sender.user_agent, headers), min(at, now)


def _knowledge(now: datetime) -> Knowledge:
    """What the steps know now. Raises `Unavailable` before the salts have been read."""
    salts = DEFINITIONS.snapshot.salts
    day = salt_day(round(now.timestamp() * 1000))
    today = salts.get(day)
    if today is None:
        raise Unavailable("The service is starting; try again")
    return Knowledge(_secret(), _places(), today, salts.get(day - timedelta(days=1)), RUNNING.keys)


class RunningSessions:
    """Sessions that outlived the change of salt: see `analytics_app.intake.privacy`."""

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()
        self._day = salt_day(clock.now_ms())
        self._caught_up = False

    async def read(self) -> None:
        """Read which sessions of yesterday still run. Raises what the database raises."""
        now = clock.now()
        day = salt_day(round(now.timestamp() * 1000))
        began = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if self._caught_up and day == self._day and not self.keys:
            return
        since = now - timedelta(seconds=max(settings().session_timeout_s, *self._timeouts()))
        async with transaction() as db:
            if self._caught_up and day == self._day:
                self.keys = await running_store.still_running(db, self.keys, since)
            else:
                self.keys = await running_store.running_over(db, began + timedelta(seconds=SETTLE_S), since)
        self._day, self._caught_up = day, True

    def _timeouts(self) -> list[int]:
        return [website.session_timeout_s or 0 for website in DEFINITIONS.snapshot.websites.values()] or [0]

    async def keep_reading(self) -> None:
        """Read again and again, until cancelled."""
        await DEFINITIONS.ready()
        while True:
            try:
                await self.read()
            except Exception as error:
                if not is_away(error):
                    log.exception("running sessions could not be read")
            await asyncio.sleep(RUNNING_READ_EVERY_S)


RUNNING = RunningSessions()
