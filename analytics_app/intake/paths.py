"""The page of a hit, as it is stored."""

import re
from functools import lru_cache

from analytics_app.intake.campaigns import without_campaign
from analytics_app.intake.scrubbing import scrub_url
from analytics_app.intake.text import clean_text

MAX_PATH = 1000

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://[^/?#]*")


@lru_cache(maxsize=8192)
def clean_path(value: str, limit: int = MAX_PATH) -> str:
    """The page of a path or URL: always with a `/` in front, without origin and fragment, secrets taken out.

    A query stays where the sender sent one, but for the campaign's parameters, which are stored by themselves. A
    fragment stays where it is the page of a hash-routed site (`#/…`, `#!…`). Cleaning twice changes nothing. Never
    raises; an empty value is `/`.
    """
    # Taken from more than is kept: a parameter that is scrubbed must not be cut before it is recognised.
    text = clean_text(value, 2 * limit)
    if "://" in text and (origin := _ORIGIN.match(text)):
        text = text[origin.end() :]
    if "#" in text:
        page, _, fragment = text.partition("#")
        text = f"{page}#{fragment}" if fragment.startswith(("/", "!")) else page
    if not text.startswith("/"):
        text = f"/{text}"
    if "?" in text:
        text = without_campaign(text)
    return clean_text(scrub_url(text), limit)


def is_host(host: str, pattern: str) -> bool:
    """Whether a host is the one named, or below it where that begins with `*.`."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) or host == pattern[2:]
    return host == pattern


def first_language(header: str) -> str:
    """The first language of an Accept-Language header, at most 35 characters as RFC 5646 wants them."""
    first = header.split(",", 1)[0].split(";", 1)[0].strip()
    return first[:35] if first.replace("-", "").isalnum() and first.isascii() else ""
