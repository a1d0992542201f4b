"""Bots that say so: user agents on the lists of the packages `isbot` and `crawler-user-agents`."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import re2

from analytics_app.intake.remembered import Remembered
from analytics_app.intake.text import clean_text
from analytics_app.intake.user_agents import MAX_USER_AGENT

PATTERNS = Path(__file__).parent / "data" / "bots.json"
CRAWLERS = Path(__file__).parent / "data" / "crawlers.json"

_MEMORY_BYTES = 64 << 20  # the automaton is built as it is used; RE2's own limit of 8 MiB is for a single pattern

# A name that speaks of a bot, as in `Mozilla/5.0 (compatible; bingbot/2.0; +http://…)`. RE2 looks for it in one pass,
# where `re` would begin anew at each letter: 40 ms for a thousand of them.
_SPEAKING = re2.compile(
    r"(?i)[\w.-]*(?:bot|crawl|spider|slurp|fetch|preview|headless|lighthouse|facebookexternalhit)[\w.-]*"
)
_FIRST_WORD = re.compile(r"[\w.-]+")
_COMMON_WORDS = {"mozilla", "opera"}
_SHORT = {"AhrefsBot": "Ahrefs"}

# The types of the API, by the tags of crawler-user-agents; the first that a user agent's patterns have.
_TYPES = {
    "browser-automation": "headless",
    "ai-crawler": "ai_crawler",
    "search-engine": "crawler",
    "social-preview": "preview",
    "monitoring": "monitor",
    "feed-reader": "feed",
    "scanner": "scanner",
    "http-library": "scraper",
    "advertising": "crawler",
    "seo": "crawler",
    "archiver": "crawler",
    "academic": "crawler",
}
# What the tags leave open, or the list does not have.
_HEADLESS = re2.compile(r"(?i)headless|phantomjs|puppeteer|playwright|selenium|webdriver|cypress|electron/.*nightmare")
_AI = re2.compile(
    r"(?i)gptbot|chatgpt|oai-search|claude|anthropic|perplexity|google-extended|applebot-extended|bytespider|ccbot"
    r"|cohere|mistralai|meta-external|amazonbot|diffbot|youbot|duckassist|deepseek|ai2bot|timpibot|imagesift"
    r"|google-cloudvertex|google-agent|gemini|grok"
)
_LIBRARY = re2.compile(r"(?i)^(?:curl|wget|python|java|go-http|okhttp|axios|node|ruby|perl|php|scrapy|libwww|httpx?)\b")


class Declared(NamedTuple):
    """What a user agent says it is: `Googlebot`, a `crawler`."""

    name: str
    type: str


class BotList:
    """Patterns, any of which found in a user agent means a bot; searched all at once, in linear time."""

    def __init__(self, patterns: Iterable[str], *, case_sensitive: bool = False) -> None:
        options = re2.Options()
        options.case_sensitive = case_sensitive
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

    def found(self, user_agent: str) -> list[int]:
        """The places of the patterns that are found in `user_agent`."""
        return list(self._set.Match(user_agent) or ())


@cache
def listed() -> BotList:
    """The list of isbot as built. Raises FileNotFoundError where it was not: `make build` does."""
    return BotList(_read(PATTERNS))


@cache
def _crawlers() -> tuple[BotList, list[list[str]]]:
    """The list of crawler-user-agents, and the tags of each of its patterns."""
    entries = _read(CRAWLERS)
    found = BotList([pattern for pattern, _ in entries], case_sensitive=True)
    assert not found.refused, "places of patterns would be others"
    return found, [tags.split() for _, tags in entries]


def declared(user_agent: str) -> Declared | None:
    """What a user agent declares itself to be, or None where it is no bot's; by its first 1,000 characters."""
    found = _remembered(user_agent[:MAX_USER_AGENT])
    return found if found.name else None


def declared_bot(user_agent: str) -> str | None:
    """The name under which a user agent declares itself a bot (`Googlebot`), or None."""
    found = declared(user_agent)
    return found.name if found else None


def _find(user_agent: str) -> Declared:
    agent = clean_text(user_agent, MAX_USER_AGENT)
    crawlers, tags = _crawlers()
    places = crawlers.found(agent) if agent else []
    if not agent or not (places or listed().matches(agent)):
        return Declared("", "")
    return Declared(_name(agent), _type(agent, {tag for place in places for tag in tags[place]}))


def _name(agent: str) -> str:
    named = _SPEAKING.search(agent)
    if named is None:
        words = (found for found in _FIRST_WORD.finditer(agent) if found[0].lower() not in _COMMON_WORDS)
        named = next(words, None)
    name = named[0].strip(".-_")[:60] if named else ""
    name = f"{name[0].upper()}{name[1:]}" if name else "Bot"
    return _SHORT.get(name, name)


def _type(agent: str, tags: set[str]) -> str:
    if _HEADLESS.search(agent):
        return "headless"
    if _AI.search(agent):
        return "ai_crawler"
    if _LIBRARY.search(agent):
        return "scraper"
    return next((kind for tag, kind in _TYPES.items() if tag in tags), "crawler")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise FileNotFoundError(f"{path} is missing; run scripts/build_assets.py") from missing


_remembered = Remembered(_find, 8000)
