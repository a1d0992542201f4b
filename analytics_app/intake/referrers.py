"""Where a visit came from: the referrer as it is stored, the source behind it, and the channel."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from publicsuffixlist import PublicSuffixList

from analytics_app.intake import sources
from analytics_app.intake.campaigns import NONE, Campaign
from analytics_app.intake.channels import channel_of
from analytics_app.intake.scrubbing import scrub_url
from analytics_app.intake.sources import Kind, Source
from analytics_app.intake.text import clean_text

REFERRERS = Path(__file__).parent / "data" / "referrers.json"
MAX_REFERRER = 500
_MAX_HOST = 253

_URL = re.compile(r"(?:([a-z][a-z0-9+.\-]{0,20}):)?//([^/?#]*)([^?#]*)", re.IGNORECASE)
_BARE = re.compile(r"((?:[\w-]+\.)+[a-z][\w-]+)(?=[/?#]|$)([^?#]*)", re.IGNORECASE)
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*|\[[0-9a-f:.]+\]")
_WEB = {"", "http", "https"}
_APPS = {"android-app", "ios-app"}
_KINDS: dict[str, Kind] = {"search": "search", "social": "social", "email": "email", "paid": "ads"}
# A search engine's other subdomains (`classroom.google.com`) are not its search.
_SEARCHES = {"www", "m", "mobile", "lite", "html", "safe", "start", "search", "images", "image", "img", "video", "noai"}
NOWHERE = Source("")


class Referral(NamedTuple):
    """`referrer` is host and path, without scheme, `www.`, query; `source` its name. Both empty for a direct visit."""

    referrer: str
    source: str
    channel: str


def referral_of(referrer: str, own_hosts: Iterable[str] = (), campaign: Campaign = NONE) -> Referral:
    """Where a visit came from.

    A referrer on one of `own_hosts`, or on a subdomain of one, is none: the visitor was here already. The campaign's
    source wins over the referrer's, and a click id stands in where both are missing. Never raises.
    """
    host, path = _split(clean_text(referrer, 2 * MAX_REFERRER)) if referrer else ("", "")
    if host and is_own(host, own_hosts):
        host = path = ""
    source = NOWHERE
    if campaign.source:
        source = _named(campaign.source)
    elif host:
        source = _known(host, path)
    elif campaign.click_id:
        source = sources.CLICKS[campaign.click_id]
    stored = clean_text(f"{host}{scrub_url(path).rstrip('/')}", MAX_REFERRER) if host else ""
    return Referral(stored, source.name, channel_of(source, campaign, has_referrer=bool(host)))


def host_of(referrer: str) -> str:
    """The host of a referrer, as hosts are compared; empty where it is no address. Never raises."""
    return _split(clean_text(referrer, 2 * MAX_REFERRER))[0] if referrer else ""


def is_own(host: str, own_hosts: Iterable[str]) -> bool:
    """Whether `host` is one of the website's own, or a subdomain of one."""
    for name in own_hosts:
        own = plain_host(name.removeprefix("*.")) if name else ""
        if own and (host == own or host.endswith(f".{own}")):
            return True
    return False


@lru_cache(maxsize=16_384)
def plain_host(host: str) -> str:
    """A host as hosts are compared: small letters, in ASCII, without port, `www.` and a dot at the end."""
    host = host.strip().lower()
    host = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    host = host[:_MAX_HOST].rstrip(".").removeprefix("www.")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _split(referrer: str) -> tuple[str, str]:
    """Host and path of a referrer; both empty where it is no address of a website or app."""
    found = _URL.match(referrer)
    if found:
        scheme, authority, path = found[1] or "", found[2], found[3]
    elif found := _BARE.match(referrer):
        scheme, authority, path = "", found[1], found[2]
    else:
        return "", ""
    host = plain_host(authority.rpartition("@")[2])  # name and password are nobody's business
    if not _HOST.fullmatch(host):
        return "", ""
    if scheme.lower() in _APPS:
        return host, ""
    return (host, path) if scheme.lower() in _WEB else ("", "")


@lru_cache(maxsize=4096)
def _named(utm_source: str) -> Source:
    """The source that a link names: by name, by one of its many other names, or by host; else just as it is written."""
    name = utm_source.strip()
    known = _by_name().get(name.lower())
    if known:
        return known
    host, path = _split(name) if "." in name else ("", "")
    if host:
        source = _known(host, path)
        return source if source.name != host else Source(name)
    return Source(name)


def _known(host: str, path: str) -> Source:
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    if first and f"{host}/{first}".lower() in _first_segments():
        return _with_path(f"{host}{path}".lower().rstrip("/")) or _by_host(host)
    return _by_host(host)


def _with_path(address: str) -> Source | None:
    """The source of the longest known address that `address` begins with, segment by segment."""
    while "/" in address:
        if source := _list().get(address):
            return source
        address = address.rpartition("/")[0]
    return None


@lru_cache(maxsize=8192)
def _by_host(host: str) -> Source:
    registrable = _suffixes().privatesuffix(host) or host
    for parent in _parents(host, registrable):
        source = sources.HOSTS.get(parent) or _list().get(parent)
        if source is None:
            continue
        first = host.removesuffix(parent).split(".", 1)[0]
        if source.kind == "search" and parent == registrable and first not in _SEARCHES and len(first) > 2:
            return Source(source.name)
        return source
    return Source(host)


def _parents(host: str, registrable: str) -> Iterator[str]:
    """`host`, then each domain above it, down to the one that was registered."""
    yield host
    while host != registrable and "." in host:
        host = host.partition(".")[2]
        yield host


@cache
def _list() -> dict[str, Source]:
    """The list as built, by `host` or `host/path`. Raises FileNotFoundError where it was not: `make build` does."""
    try:
        entries = json.loads(REFERRERS.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise FileNotFoundError(f"{REFERRERS} is missing; run scripts/build_assets.py") from missing
    return {
        address: Source(sources.NAMES.get(entry["source"], entry["source"]), _KINDS.get(entry["medium"], ""))
        for address, entry in entries.items()
    }


@cache
def _first_segments() -> frozenset[str]:
    return frozenset("/".join(address.split("/", 2)[:2]) for address in _list() if "/" in address)


@cache
def _by_name() -> dict[str, Source]:
    """Sources by name in small letters and by alias. Of a name with several kinds, our own table's counts."""
    by_name: dict[str, Source] = {}
    for source in (*sources.HOSTS.values(), *sorted(_list().values(), key=lambda source: not source.kind)):
        by_name.setdefault(source.name.lower(), source)
    # Google is a search engine, whatever the list says of its mail and its advertisements.
    by_name["google"] = Source("Google", "search")
    for alias, name in sources.ALIASES.items():
        by_name[alias] = by_name[name.lower()]
    return by_name


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
