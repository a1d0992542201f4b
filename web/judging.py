"""What the edge judges hits by, and where it leaves what it found."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import cache

import structlog

from analytics_app import clock
from analytics_app.bots import sightings_store
from analytics_app.bots.behaviour import Condemned
from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.judging import Bench
from analytics_app.bots.logic import Action, Thresholds
from analytics_app.bots.networks import address_of
from analytics_app.bots.rules import NO_RULES, RuleSet
from analytics_app.bots.sightings import MOST_HELD, Sighting, grams_of, prefixes_of, whole_hash
from analytics_app.db import batch_transaction, is_away
from analytics_app.definitions import DEFINITIONS
from analytics_app.intake.paths import clean_path
from analytics_app.intake.pipeline import Draft
from analytics_app.intake.privacy import salt_day
from analytics_app.intake.user_agents import MAX_USER_AGENT
from analytics_app.records import Detection, encode
from analytics_app.sessions.kinds import EventKind
from analytics_app.settings import settings
from analytics_app.topics import bot_detections
from web.edge import Edge

WRITTEN_EVERY_S = 10.0
HASHED_AT_ONCE = 100
"""Senders, 2 ms, or 5 where their addresses are of IPv6: hits do not wait for more."""

log = structlog.get_logger(__name__)

DETECTED = Edge(bot_detections.get_topic_name())
"""What is detected is gathered and kept as hits are."""


def note(draft: Draft, event_id: int, at_ms: int) -> asyncio.Future[None]:
    """Note what was found of a hit; the future is done once Kafka has it. Raises `Unavailable` as the edge does."""
    return DETECTED.put(draft.fields["session_key"], encode(detection(draft, event_id, at_ms)))


def detection(draft: Draft, event_id: int, at_ms: int) -> Detection:
    """What is noted of a hit whose verdict asks for it."""
    body, verdict = draft.body, draft.verdict
    return Detection(
        event_id=event_id,
        at_ms=at_ms,
        website_id=draft.website.id,
        action=int(verdict.action or Action.LOGGED),
        score=verdict.score,
        client_id=body.id.hex if body.id else None,
        kind=int(EventKind[getattr(body, "type", "event").upper()]),
        reasons=list(verdict.reasons),
        type=verdict.type,
        name=verdict.name,
        verified=verdict.verified,
        rule_id=verdict.rule_id,
        sender=draft.fields.get("sender", ""),
        visitor=draft.fields.get("visitor"),
        path=clean_path(body.path),
        country=draft.known.places.country_of(draft.sender.address),
    )


def bench_of(day: date) -> Bench:
    """What hits of a day are judged by."""
    conf = settings()
    thresholds = Thresholds(conf.bots_logged_from, conf.bots_bot_from, conf.bots_blocked_from)
    return Bench(_crawlers(), day, thresholds, rules_of, condemned_of, behaviour=conf.bots_behaviour == "on")


@cache
def _crawlers() -> Crawlers:
    return Crawlers(settings().bots_crawler_ranges)


def rules_of(website_id: int) -> RuleSet:
    """The rules of a website, as this process knows them now."""
    (rules,) = DEFINITIONS.of("bot_rules", website_id) or (NO_RULES,)
    return rules


def condemned_of(website_id: int) -> Mapping[str, Condemned]:
    """The verdicts about senders of a website, as this process knows them now."""
    (condemned,) = DEFINITIONS.of("bot_verdicts", website_id) or ({},)
    return condemned


class Sightings:
    """Who sent how much, gathered for a few seconds and then kept as hashes, for rules to be tried on."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, str, str]] = Counter()
        self.day: date | None = None

    def see(self, website_id: int, address: str, user_agent: str) -> None:
        """Count one request."""
        key = (website_id, address, user_agent[:MAX_USER_AGENT])
        if key in self.counts or len(self.counts) < MOST_HELD:
            self.counts[key] += 1

    async def write(self) -> None:
        """Write what was gathered. Raises what the database raises; what could not be written is lost."""
        counts, self.counts = self.counts, Counter()
        now = clock.now()
        day = salt_day(round(now.timestamp() * 1000))
        salt = DEFINITIONS.snapshot.salts.get(day)
        if not counts or salt is None:
            return
        hour = now.replace(minute=0, second=0, microsecond=0)
        found: list[Sighting] = []
        agents: dict[tuple[date, int], list[int]] = {}
        agents_of: dict[str, int] = {}
        for place, ((website_id, address, user_agent), requests) in enumerate(counts.items(), 1):
            if place % HASHED_AT_ONCE == 0:
                await asyncio.sleep(0)
            where = address_of(address)
            agent = agents_of.get(user_agent)
            if agent is None:
                agent = agents_of[user_agent] = whole_hash(salt, 0, user_agent)
                agents[day, agent] = grams_of(salt, user_agent)
            prefixes = prefixes_of(salt, website_id, where) if where else []
            source = whole_hash(salt, website_id, address, user_agent)
            found.append(Sighting(website_id, day, hour, source, agent, prefixes, requests))
        async with batch_transaction() as db:
            await sightings_store.add(db, found, agents)

    async def keep_writing(self) -> None:
        """Write again and again, until cancelled."""
        await DEFINITIONS.ready()
        while True:
            await asyncio.sleep(WRITTEN_EVERY_S)
            try:
                await self.write()
            except Exception as error:
                if not is_away(error):
                    log.exception("sightings could not be written")


SIGHTINGS = Sightings()


def see(draft: Draft) -> None:
    """Note that a sender who has not opted out sent something; not of a server that does not say for whom."""
    if draft.sender.is_own:
        SIGHTINGS.see(draft.website.id, draft.sender.address, draft.sender.user_agent)


def let_pass(draft: Draft, event_id: int, at_ms: int) -> None:
    """See a hit that counts; where it is odd, note that. Nobody waits for the note: the hit counts without it."""
    see(draft)
    if draft.verdict.action is Action.LOGGED:
        note(draft, event_id, at_ms)
