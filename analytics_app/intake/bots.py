"""Bots that say so: user agents on the list of the package `isbot`."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import re2

from analytics_app.intake.remembered import Remembered
from analytics_app.intake.text import clean_text
from analytics_app.intake.user_agents import MAX_USER_AGENT

PATTERNS = Path(__file__).parent / "data" / "bots.json"

_MEMORY_BYTES = 64 << 20  # the automaton is built as it is used; RE2's own limit of 8 MiB is for a single pattern

# A name that speaks of a bot, as in `Mozilla/5.0 (compatible; bingbot/2.0; +http://…)`. RE2 looks for it in one pass,
# where `re` would begin anew at each letter: 40 ms for a thousand of them.
_SPEAKING = re2.compile(
    r"(?i)[\w.-]*(?:bot|crawl|spider|slurp|fetch|preview|headless|lighthouse|facebookexternalhit)[\w.-]*"
)
_FIRST_WORD = re.compile(r"[\w.-]+")
_COMMON_WORDS = {"mozilla", "opera"}


class BotList:
    """Patterns, any of which found in a user agent means a bot; searched all at once, in linear time."""

    def __init__(self, patterns: Iterable[str]) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        options.max_mem = _MEMORY_BYTES
        self._set = re2.Set.SearchSet(options)
        self.refused: list[str] = []
        """Patterns that RE2 does not take, and that are left out."""
        for pattern in patterns:
            try:
                self._set.Add(pattern)
            except re2.error:
                self.refused.append(pattern)
        self._set.Compile()

    def matches(self, user_agent: str) -> bool:
        """Whether any pattern is found in `user_agent`, which must be encodable."""
        return bool(self._set.Match(user_agent))


@cache
def listed() -> BotList:
    """The list as built. Raises FileNotFoundError where it was not: `make build` does."""
    try:
        return BotList(json.loads(PATTERNS.read_text(encoding="utf-8")))
    except FileNotFoundError as missing:
        raise FileNotFoundError(f"{PATTERNS} is missing; run scripts/build_assets.py") from missing


def declared_bot(user_agent: str) -> str | None:
    """The name under which a user agent declares itself a bot (`Googlebot`), or None; by its first 1,000 characters."""
    return _remembered(user_agent[:MAX_USER_AGENT]) or None


def _find(user_agent: str) -> str:
    agent = clean_text(user_agent, MAX_USER_AGENT)
    if not agent or not listed().matches(agent):
        return ""
    named = _SPEAKING.search(agent)
    if named is None:
        words = (found for found in _FIRST_WORD.finditer(agent) if found[0].lower() not in _COMMON_WORDS)
        named = next(words, None)
    name = named[0].strip(".-_")[:60] if named else ""
    return f"{name[0].upper()}{name[1:]}" if name else "Bot"


_remembered = Remembered(_find, 8000)
