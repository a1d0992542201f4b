"""How likely a sender is a bot, and what follows: pure.

Points are added up to a score from 0 to 100. A declared bot (a list's user agent, a driven browser) scores 50 or more
whatever else, and so does behaviour; the sender's past only adds to what is odd about the present.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

DECLARED = 60
WEBDRIVER = 60
BEHAVIOUR = 60
PRETENDS = 25
REPUTATION = 20
REPUTATION_HALVES_MS = 3_600_000
ODD_ENOUGH = 30
"""What must be odd about a request itself before the sender's past counts."""


class Reason(NamedTuple):
    """One thing that speaks for a bot, and its points."""

    code: str
    points: int


class Action(IntEnum):
    """What became of a hit that was detected. The numbers are in the database: never change one."""

    LOGGED = 1  # counted all the same
    LEFT_OUT = 2  # a bot: in no number but the bots' own
    BLOCKED = 3  # refused: nothing stored but the detection


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which score on a hit is logged, a bot's, blocked."""

    logged: int = 30
    bot: int = 50
    blocked: int = 70


DEFAULTS = Thresholds()


class Signals(NamedTuple):
    """What is known of a hit's sender."""

    name: str = ""
    type: str = ""
    """Name and type that the user agent declares; empty for a browser's."""
    verified: bool | None = None
    """Whether the address is one its operator publishes for that name; None where nobody publishes any."""
    search_engine: bool = False
    webdriver: bool = False
    oddities: tuple[Reason, ...] = ()
    condemned: Reason | None = None
    """What a verdict about the sender's behaviour says, while it holds."""
    last_condemned_ms: int | None = None
    """How long ago the last verdict about the sender was."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a hit is judged to be."""

    score: int = 0
    action: Action | None = None
    reasons: tuple[str, ...] = ()
    type: str = ""
    name: str = ""
    verified: bool | None = None
    rule_id: int | None = None


NOT_JUDGED = Verdict()
NO_SIGNALS = Signals()
"""Those of nearly every hit, which come to `NOT_JUDGED`."""


def reputation_points(ago_ms: int) -> int:
    """What the last verdict about a sender still weighs: half as much with each hour."""
    return round(REPUTATION * math.exp2(-max(0, ago_ms) / REPUTATION_HALVES_MS))


@lru_cache(maxsize=4096)
def judge(signals: Signals, thresholds: Thresholds) -> Verdict:
    """The verdict that the signals come to."""
    found = list(signals.oddities)
    declared = bool(signals.name)
    if declared:
        found.append(Reason("declared", DECLARED))
    if signals.verified is False:
        found.append(Reason("pretends", PRETENDS))
    if signals.webdriver:
        found.append(Reason("webdriver", WEBDRIVER))
    if signals.condemned is not None:
        found.append(signals.condemned)
    score = sum(points for _, points in found)
    if signals.last_condemned_ms is not None and signals.condemned is None and score >= ODD_ENOUGH:
        past = Reason("reputation", reputation_points(signals.last_condemned_ms))
        if past.points:
            found.append(past)
            score += past.points
    if declared or signals.webdriver or signals.condemned is not None:
        score = max(score, thresholds.bot)
    score = min(score, 100)
    searches = declared and bool(signals.verified) and signals.search_engine
    if searches:  # left out of the numbers, but never refused
        score = max(thresholds.bot, min(score, thresholds.blocked - 1))
    reasons = tuple(code for code, _ in sorted(found, key=lambda reason: (-reason.points, reason.code)))
    action = action_of(score, thresholds)
    if searches and action is Action.BLOCKED:
        action = Action.LEFT_OUT
    return Verdict(score, action, reasons, _type(signals, action), signals.name, signals.verified)


def action_of(score: int, thresholds: Thresholds) -> Action | None:
    """What follows from a score; None for nothing."""
    if score >= thresholds.blocked:
        return Action.BLOCKED
    if score >= thresholds.bot:
        return Action.LEFT_OUT
    return Action.LOGGED if score >= thresholds.logged else None


def _type(signals: Signals, action: Action | None) -> str:
    if signals.webdriver:
        return "headless"
    if signals.type:
        return signals.type
    if signals.condemned is not None:
        return "scraper"
    return "suspicious" if action is not None else ""


def by_rule(rule_id: int, signals: Signals) -> Verdict:
    """The verdict of a blacklist's rule; the type is the one declared, if any."""
    return Verdict(
        100, Action.BLOCKED, ("rule",), signals.type or "blacklisted", signals.name, signals.verified, rule_id
    )
