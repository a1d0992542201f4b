"""From a tracking request to a hit that Kafka has: what every tracking endpoint does."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache, lru_cache

import structlog
from aiohttp.web import Request

from analytics_app import clock, figures
from analytics_app.bots.judging import who_sent
from analytics_app.consents import CONSENTS
from analytics_app.db import is_away
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import FaultyField, Forbidden, Invalid, NotFound, Unavailable
from analytics_app.ids import EventIds
from analytics_app.intake import pipeline, privacy
from analytics_app.intake.addresses import client_address
from analytics_app.intake.bots import declared_bot
from analytics_app.intake.pipeline import Draft, Dropped, DropReason, Knowledge, Sender
from analytics_app.intake.places import Places
from analytics_app.intake.privacy import salt_day, session_key, visitor_hash
from analytics_app.intake.referrers import referral_of
from analytics_app.intake.schemas import EventBody, PixelBody
from analytics_app.intake.user_agents import device_of
from analytics_app.records import Heartbeat, Leave, encode
from analytics_app.secret import secret
from analytics_app.sessions.kinds import EventKind
from analytics_app.settings import settings
from analytics_app.topics import hits
from analytics_app.websites.logic import Website
from web import auth, judging
from web.capture import capture_of
from web.edge import Edge
from web.limits import LIMITS, NO_WEBSITE
from web.running import RUNNING
from web.taken import Answer, Taken

LATE = timedelta(hours=24)
AHEAD = timedelta(minutes=5)
REPORTED_HEADERS = ("DNT", "Sec-GPC", "Accept-Language")

log = structlog.get_logger(__name__)

EDGE = Edge(hits.get_topic_name())
EVENT_IDS = EventIds()
NO_BODY = PixelBody()


@cache
def _places() -> Places:
    return Places(settings().geoip_database)


@cache
def _secret() -> bytes:
    return secret(settings())


async def website_of(key: str | None) -> Website:
    """The website of a pixel key. Raises `NotFound` for an unknown key, `Forbidden` where tracking is off."""
    website = await known_website(key)
    if not (website.is_enabled and website.tracking_enabled):
        raise Forbidden("Tracking is switched off for this website")
    return website


def website_at_once(key: str) -> Website | None:
    """The website of a pixel key, where this process knows it as one that is tracked."""
    website = DEFINITIONS.website_of_key(key)
    return website if website is not None and website.is_enabled and website.tracking_enabled else None


async def known_website(key: str | None) -> Website:
    """The website of a pixel key, tracked or not. Raises `NotFound`."""
    website = await _looked_up(key or "")
    if website is None:
        raise NotFound("There is no such pixel key")
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
    judging.bench_of(clock.now().date())
    referral_of("https://www.google.com/search", ["example.com"])
    declared_bot("Mozilla/5.0")
    device_of("Mozilla/5.0 (X11; Linux x86_64)")


def sender_of(request: Request) -> Sender:
    """Who sent the request, as far as it can be believed."""
    return sender_from(request.remote or "", request.headers)


def sender_from(peer: str, headers: Mapping[str, str]) -> Sender:
    """Who sent these headers from the address `peer`, as far as it can be believed."""
    return Sender(client_address(peer, headers, settings().trusted_proxies), headers.get("User-Agent", ""), headers)


async def accept(request: Request, website: Website, body: PixelBody | EventBody) -> Answer:
    """Take one pageview or event: the answer once Kafka has it, or why it is not counted. Raises as `take` does."""
    return await (await take(request, website, body)).safe()


async def take(request: Request, website: Website, body: PixelBody | EventBody) -> Taken:
    """Take one pageview or event as far as the edge, where it waits with others for Kafka.

    Raises `Invalid`, `Unauthenticated`, `Forbidden`, `RateLimited`, `Unavailable`.
    """
    now = clock.now()
    sender, at = await _reported(request, website, body, sender_of(request), now)
    await LIMITS.take(website.id)
    draft = Draft(website, body, sender, _knowledge(now), round(now.timestamp() * 1000))
    if website.require_consent:
        await _look_up_consent(draft)
    try:
        event_id = await EVENT_IDS.mint()
    except Exception as error:
        if is_away(error):
            raise Unavailable("No event id is to be had right now; send the hit again with the same id") from None
        raise
    return _taken(draft, event_id, round(at.timestamp() * 1000))


def take_at_once(sender: Sender, website: Website, body: PixelBody | EventBody) -> Taken | None:
    """As `take`, where Kafka is all that has to be waited for; None where `take` has to be asked.

    Raises `Unavailable`.
    """
    if body.timestamp or body.ip or body.user_agent or website.require_consent:
        return None
    now = clock.now()
    draft = Draft(website, body, sender, _knowledge(now), round(now.timestamp() * 1000))
    if not LIMITS.take_at_once(website.id):
        return None
    event_id = EVENT_IDS.mint_at_once()
    return None if event_id is None else _taken(draft, event_id, draft.now_ms)


def _taken(draft: Draft, event_id: int, at_ms: int) -> Taken:
    """The draft, which is all that it takes by now, made a hit and given to the edge. Raises `Unavailable`."""
    try:
        hit = pipeline.run(draft, event_id, at_ms)
    except Dropped as dropped:
        figures.count_edge(f"ignored_{dropped.reason.value}")
        if dropped.told:
            return Taken(Answer(ignored=dropped.reason.value))
        judging.see(draft)
        return Taken(Answer(event_id, *draft.ids), judging.note(draft, event_id, at_ms), counts=False)
    judging.let_pass(draft, event_id, at_ms)
    capture = capture_of(draft.website, hit.path, hit.session_key) if hit.kind == EventKind.PAGEVIEW else None
    return Taken(Answer(event_id, *draft.ids, capture), EDGE.put(hit.session_key, encode(hit)))


async def _look_up_consent(draft: Draft) -> None:
    """Have it known whether the draft's visitor has consented. Raises `Unavailable`."""
    pipeline.put_ids(draft)
    try:
        await CONSENTS.look_up(draft.website.id, draft.fields["visitor"])
    except Exception as error:
        if is_away(error):
            raise Unavailable("It cannot be told right now whether the visitor has consented; try again") from None
        raise


async def accept_engagement(request: Request, sent: Heartbeat | Leave, website: Website | None) -> Answer:
    """Take a heartbeat or leave of `website` (None: of whichever holds its session), as `accept` takes a hit."""
    await LIMITS.take(website.id if website else NO_WEBSITE)
    return await _engagement_taken(sender_of(request), sent, website).safe()


def engagement_at_once(sender: Sender, sent: Heartbeat | Leave, website: Website | None) -> Taken | None:
    """As `accept_engagement`, where Kafka is all that has to be waited for. Raises `Unavailable`."""
    if not LIMITS.take_at_once(website.id if website else NO_WEBSITE):
        return None
    return _engagement_taken(sender, sent, website)


def _engagement_taken(sender: Sender, sent: Heartbeat | Leave, website: Website | None) -> Taken:
    if website is not None:
        reason = privacy.opted_out(sender.headers, website.honour_dnt)
        if reason:
            figures.count_edge(f"ignored_{reason}")
            return Taken(Answer(ignored=reason))
    return Taken(Answer(), EDGE.put(sent.session_key, encode(sent)))


def left_out(request: Request, website: Website, visitor: str) -> DropReason | None:
    """Why a visitor (its hash) who was shown something does not count; None where they do.

    Raises `Unavailable` before the salts have been read.
    """
    known = _knowledge(clock.now())
    return pipeline.left_out(Draft(website, NO_BODY, sender_of(request), known, fields={"visitor": visitor}))


def hash_of(website: Website, visitor_id: str) -> str:
    """The hash that a visitor of the website is known by from here on."""
    return visitor_hash(_secret(), website.id, visitor_id)


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
    told = Sender(body.ip or sender.address, body.user_agent, headers, reported=True, is_own=bool(body.ip))
    return told, min(at, now)


def _knowledge(now: datetime) -> Knowledge:
    """What the steps know now. Raises `Unavailable` before the salts have been read."""
    salts = DEFINITIONS.snapshot.salts
    day = salt_day(round(now.timestamp() * 1000))
    today = salts.get(day)
    if today is None:
        raise Unavailable("The service is starting; try again")
    return _known(day, today, salts.get(day - timedelta(days=1)), RUNNING.keys)


@lru_cache(maxsize=1)
def _known(day: date, today: bytes, yesterday: bytes | None, running: frozenset[str]) -> Knowledge:
    who_sent.cache_clear()  # addresses are remembered no longer than the day's salt
    return Knowledge(_secret(), _places(), today, yesterday, judging.bench_of(day), running, CONSENTS)


async def draft_of(request: Request, website: Website, body: PixelBody) -> Draft:
    """What the pipeline's steps work on. Raises `Unavailable` before the salts have been read."""
    draft = Draft(website, body, sender_of(request), _knowledge(clock.now()))
    if website.require_consent:
        await _look_up_consent(draft)
    return draft
