"""Whose request it is: the client's address, behind as many proxies as are trusted and no more."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import AF_INET, inet_pton
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_HOPS = 30
_MAX_HEADER = 4000

# The `for` of one element of RFC 7239. Elements are told apart by commas alone: no address holds one, and a quote that
# a client leaves open at the left must not swallow what the proxies wrote at the right.
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*"?([^";]{1,80})', re.IGNORECASE)


class _Hop(NamedTuple):
    address: str
    is_trusted: bool


def client_address(peer: str, headers: Mapping[str, str], trusted: Sequence[Network] = ()) -> str:
    """The address of the client whose request came from `peer`, in its shortest form.

    Only where `peer` lies in a trusted network, `X-Forwarded-For`, or else `Forwarded`, is read from right to left, and
    the first address that is not trusted is the client's: all that stands left of it may be made up. An entry that is
    no address (`unknown`, `_hidden`) ends the walk at the last that was. Never raises; falls back to `peer`.
    """
    networks = tuple(trusted)
    nearest = _judged(peer, networks)
    if nearest is None:
        return peer
    if not nearest.is_trusted:
        return nearest.address
    # Where a proxy sets one header, a client's own copy of the other may pass it: only one is believed, the usual one.
    hops = _forwarded_for(headers) or _forwarded(headers)
    for text in hops[: -MAX_HOPS - 1 : -1]:
        hop = _judged(text, networks)
        if hop is None:
            break
        nearest = hop
        if not hop.is_trusted:
            break
    return nearest.address


def parsed(text: str) -> Address | None:
    """The address that a proxy wrote, with or without port, brackets and zone; None where there is none."""
    text = text.strip().strip('"')
    if len(text) > 80:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    try:
        if ":" in text:
            return unmapped(ip_address(text))
        return IPv4Address(inet_pton(AF_INET, text))  # takes what ip_address takes, in a fifth of the time
    except (OSError, ValueError):
        return None


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`); any other as it is."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


@lru_cache(maxsize=8192)
def _judged(text: str, trusted: tuple[Network, ...]) -> _Hop | None:
    address = parsed(text)
    return None if address is None else _Hop(str(address), any(address in network for network in trusted))


def _forwarded_for(headers: Mapping[str, str]) -> list[str]:
    value = _whole(headers, "X-Forwarded-For")
    return value.split(",") if value.strip() else []


def _forwarded(headers: Mapping[str, str]) -> list[str]:
    """The `for` of each element, empty where an element has none."""
    value = _whole(headers, "Forwarded")
    return [found[1] if (found := _FOR.search(hop)) else "" for hop in value.split(",")] if value.strip() else []


def _whole(headers: Mapping[str, str], name: str) -> str:
    """All lines of a header as one, the last 4,000 characters of it: a proxy adds at the right."""
    every = getattr(headers, "getall", None)
    value = ",".join(every(name, ())) if every else headers.get(name, "")
    if len(value) <= _MAX_HEADER:
        return value
    return value[-_MAX_HEADER:].partition(",")[2]
