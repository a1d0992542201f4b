"""What is missing from a request, or cannot be, if a browser had sent it. Pure.

A header that is missing makes a request odd; proxies and privacy tools remove some, so all that is missing together
never makes a bot. What no browser sends (client hints of another version than the user agent's) weighs more.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from analytics_app.bots.logic import Reason
from analytics_app.intake.user_agents import MAX_USER_AGENT

MISSING_AT_MOST = 40
"""Below the threshold for a bot, whatever is missing."""
MOST_HINTS = 300
_CHROME = re.compile(r"Chrome/(\d{1,4})")
_FIREFOX = re.compile(r"Firefox/(\d{1,4})")
_SAFARI = re.compile(r"Version/(\d{1,3})[\d.]* .*Safari/")
_CHROMIUM_HINT = re.compile(r'"(?:Chromium|Google Chrome)";\s*v="?(\d{1,4})')
_BROWSER = re.compile(r"^Mozilla/5\.0 \(")
_CONTRADICTION = re.compile(r"Windows NT (?:1[1-9]|[2-9]\d)|Windows NT .*(?:Macintosh|iPhone)|iPhone.*Windows NT")
_EMBEDDED = re.compile(r"; wv\)|TV|Tizen|Web0S|WebOS|PlayStation|CrKey|Kindle|Silk|Quest", re.IGNORECASE)

# Sec-Fetch-* are sent to https (and this machine) alone, by these and later: https://caniuse.com/mdn-http_headers_sec-fetch-site
_SEC_FETCH = ((_CHROME, 80), (_FIREFOX, 90), (_SAFARI, 17))
# Chrome 143 came in December 2025, one in four weeks since 2021: https://chromiumdash.appspot.com/schedule
_CHROME_AT = (date(2025, 12, 2), 143)
_OLD_WEEKS = 5 * 52
_SYSTEMS = {"Windows": "Windows NT", "macOS": "Macintosh"}


class _Shown(NamedTuple):
    """What of a request's headers is looked at: little enough that what was found of one stands for many."""

    languages: bool
    accepts: bool
    page: str
    fetch_mode: bool
    hints: str
    platform: str


def oddities(headers: Mapping[str, str], user_agent: str, today: date) -> tuple[Reason, ...]:
    """What is odd about a request as of a browser, each with its points."""
    page = headers.get("Origin") or headers.get("Referer") or ""
    shown = _Shown(
        "Accept-Language" in headers,
        "Accept" in headers,
        page[:8],
        "Sec-Fetch-Mode" in headers,
        headers.get("Sec-CH-UA", "")[:MOST_HINTS],
        headers.get("Sec-CH-UA-Platform", "")[:MOST_HINTS],
    )
    return _oddities(shown, user_agent[:MAX_USER_AGENT], today)


@lru_cache(maxsize=8192)
def _oddities(shown: _Shown, agent: str, today: date) -> tuple[Reason, ...]:
    left = MISSING_AT_MOST
    found = []
    for reason in _missing(shown, agent):
        found.append(Reason(reason.code, min(reason.points, left)))
        left -= found[-1].points
    return tuple(reason for reason in (*found, *_impossible(shown, agent), *_old(agent, today)) if reason.points)


def is_headless(headers: Mapping[str, str]) -> bool:
    """Whether the client hints name a headless browser: it declares itself, whatever its user agent says."""
    return "Headless" in headers.get("Sec-CH-UA", "")


def _missing(shown: _Shown, agent: str) -> Iterator[Reason]:
    if not agent:
        yield Reason("no_user_agent", 30)
    if not shown.languages:
        yield Reason("no_accept_language", 15)
    if not shown.accepts:
        yield Reason("no_accept", 10)
    if not shown.page:
        yield Reason("no_origin", 5)
    if shown.page == "https://" and not shown.fetch_mode and _sends_sec_fetch(agent):
        yield Reason("no_sec_fetch", 15)


def _sends_sec_fetch(agent: str) -> bool:
    for pattern, since in _SEC_FETCH:
        if version := pattern.search(agent):
            return int(version[1]) >= since
    return False


def _impossible(shown: _Shown, agent: str) -> Iterator[Reason]:
    if agent and not _BROWSER.match(agent):
        yield Reason("no_browser", 20)
    if _CONTRADICTION.search(agent):
        yield Reason("impossible_user_agent", 35)
    hints = shown.hints
    if not hints:
        return
    chrome = _CHROME.search(agent)
    if chrome is None:
        yield Reason("hints_of_another_browser", 35)
    elif (hinted := _CHROMIUM_HINT.search(hints)) and hinted[1] != chrome[1]:
        yield Reason("hints_of_another_version", 35)
    system = shown.platform.strip('" ')
    if system in _SYSTEMS and _SYSTEMS[system] not in agent and any(name in agent for name in _SYSTEMS.values()):
        yield Reason("hints_of_another_system", 35)


def _old(agent: str, today: date) -> Iterator[Reason]:
    chrome = _CHROME.search(agent)
    if chrome is None or _EMBEDDED.search(agent):
        return
    at, newest = _CHROME_AT
    weeks = (newest - int(chrome[1])) * 4 + (today - at).days // 7
    if weeks > _OLD_WEEKS:
        yield Reason("old_browser", 15)
