"""From a request to its verdict: rules first, then the score of what the request says and its sender did. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from analytics_app.bots import headers
from analytics_app.bots.behaviour import Condemned
from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.logic import (
    BEHAVIOUR,
    DEFAULTS,
    NO_SIGNALS,
    NOT_JUDGED,
    Reason,
    Signals,
    Thresholds,
    Verdict,
    by_rule,
    judge,
)
from analytics_app.bots.networks import address_of, masked
from analytics_app.bots.rules import NO_RULES, RuleSet, RuleType
from analytics_app.intake.bots import declared
from analytics_app.intake.privacy import sender_hash


class Who(NamedTuple):
    """A hit's sender for a day and website, as keyed hashes of the address, and of address and user agent."""

    sender: str = ""
    source: str = ""


NOBODY = Who()


@lru_cache(maxsize=8192)  # a visitor sends several hits, and what is made of the address takes as long as all else
def who_sent(salt: bytes, website_id: int, address: str, user_agent: str) -> Who:
    """Who sent a hit; nobody where the address is none."""
    where = address_of(address)
    if where is None:
        return NOBODY
    known = masked(where)
    return Who(sender_hash(salt, website_id, known), sender_hash(salt, website_id, known, user_agent))


def _no_rules(_: int) -> RuleSet:
    return NO_RULES


def _nobody(_: int) -> Mapping[str, Condemned]:
    return {}


@dataclass(frozen=True, slots=True)
class Bench:
    """What is known beside the request."""

    crawlers: Crawlers
    today: date
    thresholds: Thresholds = DEFAULTS
    rules_of: Callable[[int], RuleSet] = _no_rules
    condemned_of: Callable[[int], Mapping[str, Condemned]] = _nobody
    behaviour: bool = True


class Request(NamedTuple):
    """What a verdict is about. `reported` requests are told by a server: their headers are the server's own."""

    website_id: int
    address: str
    user_agent: str
    headers: Mapping[str, str]
    source: str = ""
    now_ms: int = 0
    webdriver: bool = False
    reported: bool = False


TRUSTED = Verdict(reasons=("whitelist",))
"""Of who is on the whitelist: nothing is judged, now or later."""


def verdict_of(request: Request, bench: Bench) -> Verdict:
    """What a request is judged to be."""
    rule = bench.rules_of(request.website_id).match(request.address, request.user_agent)
    if rule is not None and rule.rule_type is RuleType.WHITELIST:
        return TRUSTED
    signals = _signals(request, bench)
    if rule is not None:
        return by_rule(rule.id, signals)
    return NOT_JUDGED if signals == NO_SIGNALS else judge(signals, bench.thresholds)


def _signals(request: Request, bench: Bench) -> Signals:
    said = declared(request.user_agent)
    name, type_ = said or ("", "")
    verified, searches = None, False
    if said is not None and not request.reported:
        verified, searches = bench.crawlers.check(request.user_agent, request.address)
    odd: tuple[Reason, ...] = ()
    driven = request.webdriver
    if not request.reported:
        odd = headers.oddities(request.headers, request.user_agent, bench.today)
        driven = driven or headers.is_headless(request.headers)
    condemned, ago = None, None
    if bench.behaviour and request.source:
        past = bench.condemned_of(request.website_id).get(request.source)
        if past is not None:
            ago = request.now_ms - past.decided_ms
            condemned = Reason(past.reason, BEHAVIOUR) if request.now_ms < past.holds_until_ms else None
    return Signals(name, type_, verified, searches, driven, odd, condemned, ago)
