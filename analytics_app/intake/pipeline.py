"""From a request to a hit: named steps, each of which keeps, enriches, or drops with a reason.

The sender's address and user agent end here: what goes on is a country, a device, and keyed hashes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from analytics_app.bots import judging
from analytics_app.bots.judging import Bench
from analytics_app.bots.logic import NOT_JUDGED, Action, Verdict
from analytics_app.intake import privacy
from analytics_app.intake.campaigns import NONE, Campaign, campaign_of
from analytics_app.intake.consenting import NOBODY_SAID, Consents
from analytics_app.intake.paths import clean_path, first_language, is_host
from analytics_app.intake.places import Places
from analytics_app.intake.privacy import Ids
from analytics_app.intake.referrers import host_of, is_own, plain_host, referral_of
from analytics_app.intake.schemas import EventBody, PixelBody
from analytics_app.intake.scrubbing import scrub_url
from analytics_app.intake.user_agents import device_of
from analytics_app.records import Hit
from analytics_app.sessions.kinds import EventKind
from analytics_app.websites.logic import Website

DIRECT = "Direct"
NOBODY = Ids("", "")
KINDS = {kind.name.lower(): int(kind) for kind in EventKind}


class DropReason(StrEnum):
    """Why a hit is answered ok and not counted."""

    GPC = "gpc"
    DNT = "dnt"
    NO_CONSENT = "no_consent"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    FOREIGN_HOST = "foreign_host"
    PREFETCH = "prefetch"
    BOT = "bot"

    @property
    def told(self) -> bool:
        """Whether the sender learns of it: a bot does not."""
        return self is not DropReason.BOT


class Dropped(Exception):
    """Raised by a step that drops a hit: an answer, not a fault."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def told(self) -> bool:
        """Whether the sender learns of it: a bot does not."""
        return self.reason.told


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a request: its address and user agent, which go no further than this pipeline."""

    address: str
    user_agent: str
    headers: Mapping[str, str]
    reported: bool = False
    """Whether a server reports somebody else's request."""
    is_own: bool = True
    """Whether the address is the visitor's own, rather than that of the server that reports."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the steps need to know beside the request."""

    secret: bytes
    places: Places
    today: bytes
    yesterday: bytes | None
    bench: Bench
    running: frozenset[str] = frozenset()
    consents: Consents = NOBODY_SAID


@dataclass(slots=True)
class Draft:
    """A hit in the making."""

    website: Website
    body: PixelBody | EventBody
    sender: Sender
    known: Knowledge
    now_ms: int = 0
    campaign: Campaign = NONE
    ids: Ids = NOBODY
    verdict: Verdict = NOT_JUDGED
    fields: dict[str, Any] = field(default_factory=dict)


def drop_opted_out(draft: Draft) -> None:
    """A visitor whose browser says so is not counted, where the website honours it (it does by default)."""
    reason = privacy.opted_out(draft.sender.headers, draft.website.honour_dnt)
    if reason:
        raise Dropped(DropReason(reason))


def drop_without_consent(draft: Draft) -> None:
    """Who has withdrawn consent is not counted; a website that requires it counts nobody who has not given it."""
    consents, visitor = draft.known.consents, draft.fields["visitor"]
    if consents.is_withdrawn(draft.website.id, visitor):
        raise Dropped(DropReason.CONSENT_WITHDRAWN)
    if draft.website.require_consent and not consents.is_granted(draft.website.id, visitor):
        raise Dropped(DropReason.NO_CONSENT)


def drop_foreign_host(draft: Draft) -> None:
    """A website that names its hosts counts no page of another; a sender that names no host is taken at its word."""
    allowed, host = draft.website.allowed_hosts, plain_host(draft.body.host)
    if allowed and host and not any(is_host(host, plain_host(pattern)) for pattern in allowed):
        raise Dropped(DropReason.FOREIGN_HOST)


def drop_prefetch(draft: Draft) -> None:
    """A page that a browser fetched ahead has not been seen."""
    headers = draft.sender.headers
    purpose = headers.get("Sec-Purpose") or headers.get("Purpose") or headers.get("X-Moz") or ""
    if "prefetch" in purpose.lower() or "prerender" in purpose.lower():
        raise Dropped(DropReason.PREFETCH)


def put_ids(draft: Draft) -> None:
    """Visitor and session: the sender's own ids, or made from address and user agent for a day."""
    body, known, website_id = draft.body, draft.known, draft.website.id
    if body.visitor_id is None:
        made = privacy.cookieless_ids(
            known.today,
            known.yesterday,
            website_id,
            draft.sender.address,
            draft.sender.user_agent,
            secret=known.secret,
            running=known.running,
        )
        draft.ids = Ids(made.visitor_id, body.session_id or made.session_id)
    else:
        # The same for ever, as the visitor's id is: the timeout parts its sessions.
        made_session = body.session_id or privacy.cookieless_session(known.secret, website_id, body.visitor_id)
        draft.ids = Ids(body.visitor_id, made_session)
    draft.fields["visitor"] = privacy.visitor_hash(known.secret, website_id, draft.ids.visitor_id)
    draft.fields["session_key"] = privacy.session_key(known.secret, draft.ids.session_id)


def drop_bot(draft: Draft) -> None:
    """A bot is answered like everybody else and left out of every number; what is odd but no bot's is only noted."""
    sender, known, website_id = draft.sender, draft.known, draft.website.id
    who = judging.NOBODY
    if sender.is_own and known.bench.behaviour:
        who = judging.who_sent(known.today, website_id, sender.address, sender.user_agent)
    said = website_id, sender.address, sender.user_agent, sender.headers
    request = judging.Request(*said, who.source, draft.now_ms, draft.body.webdriver, sender.reported)
    draft.verdict = judging.verdict_of(request, known.bench)
    if draft.verdict is not judging.TRUSTED:
        draft.fields["sender"], draft.fields["sent_by"] = who
    if draft.verdict.action in (Action.LEFT_OUT, Action.BLOCKED):
        raise Dropped(DropReason.BOT)


def put_event(draft: Draft) -> None:
    """What happened, and what it was worth."""
    body, fields = draft.body, draft.fields
    kind = getattr(body, "type", "event")
    fields["kind"] = KINDS[kind]
    fields["name"] = body.name or ("" if kind == "pageview" else kind)
    fields["interactive"] = body.interactive
    fields["value"], fields["currency"] = body.amount, body.currency
    fields["properties"] = body.properties or None
    fields["client_id"] = body.id.hex if body.id else None


def put_page(draft: Draft) -> None:
    """The page, its host and title, cleared of secrets."""
    body, fields = draft.body, draft.fields
    if body.path or fields["kind"] == EventKind.PAGEVIEW:
        fields["path"] = clean_path(body.path)
    fields["host"] = plain_host(body.host) if body.host else ""
    fields["title"] = scrub_url(body.title) if body.title else ""


def put_source(draft: Draft) -> None:
    """Where the visit came from: referrer, campaign, source and channel."""
    body, website = draft.body, draft.website
    draft.campaign, host, from_outside, from_inside = _source(
        body.path.partition("?")[2],
        body.referrer,
        (body.utm_source, body.utm_medium, body.utm_campaign, body.utm_term, body.utm_content),
    )
    inside = host and is_own(host, (website.host, body.host, *website.allowed_hosts))
    draft.fields.update(from_inside if inside else from_outside)


@lru_cache(maxsize=4096)
def _source(
    query: str, referrer: str, sent: tuple[str, str, str, str, str]
) -> tuple[Campaign, str, Mapping[str, str], Mapping[str, str]]:
    """The campaign, the referrer's host, and the fields of a hit that tell where it came from.

    They are given twice: as they are where the host is another's, and where it is the website's own. Remembered, for
    most hits come from few places, whatever website they are for.
    """
    source, medium, name, term, content = sent
    campaign = campaign_of(f"?{query}", source=source, medium=medium, name=name, term=term, content=content)
    return campaign, host_of(referrer), _came_by(referrer, campaign), _came_by("", campaign)


def _came_by(referrer: str, campaign: Campaign) -> Mapping[str, str]:
    referral = referral_of(referrer, (), campaign)
    return {
        "referrer": referral.referrer,
        "channel": referral.channel,
        "source": referral.source or DIRECT,
        "utm_source": campaign.source,
        "utm_medium": campaign.medium,
        "utm_campaign": campaign.name,
        "utm_term": campaign.term,
        "utm_content": campaign.content,
    }


def put_device(draft: Draft) -> None:
    """Browser, system, device and screen."""
    device = device_of(draft.sender.user_agent, draft.sender.headers)
    fields = draft.fields
    fields["browser"], fields["browser_version"] = device.browser, device.browser_version
    fields["os"], fields["os_version"], fields["device_type"] = device.os, device.os_version, device.device_type
    fields["screen"] = draft.body.screen


def put_place(draft: Draft) -> None:
    """Country by address, language as the browser says."""
    draft.fields["country"] = draft.known.places.country_of(draft.sender.address)
    draft.fields["language"] = draft.body.language or first_language(draft.sender.headers.get("Accept-Language", ""))


Step = Callable[[Draft], None]
STEPS: tuple[Step, ...] = (
    drop_opted_out,
    drop_foreign_host,
    drop_prefetch,
    put_ids,
    drop_without_consent,
    drop_bot,
    put_event,
    put_page,
    put_source,
    put_device,
    put_place,
)


SEEN_STEPS: tuple[Step, ...] = (drop_opted_out, drop_prefetch, drop_without_consent, drop_bot)
"""What decides whether a visitor counts who was shown something without a hit of their own."""


def left_out(draft: Draft) -> DropReason | None:
    """Why the visitor, whose hash is in the draft's fields, does not count; None where they do."""
    try:
        for step in SEEN_STEPS:
            step(draft)
    except Dropped as dropped:
        return dropped.reason
    return None


WHO_STEPS: tuple[Step, ...] = (put_ids, *SEEN_STEPS, put_device, put_place)
"""What is asked of whoever sends anything but a hit: whether it is wanted, whose it is, from what and where."""


def run(draft: Draft, event_id: int, at_ms: int) -> Hit:
    """The hit that `draft` becomes. Raises `Dropped`; the ids of a bot's draft are set by then."""
    for step in STEPS:
        step(draft)
    return Hit(event_id=event_id, at_ms=at_ms, website_id=draft.website.id, **draft.fields)
