"""What is kept for a day of who sent something, so that a rule can be tried on it: keyed hashes alone. Pure.

Of an address, the hash of every network around it whose prefix is a multiple of eight bits; a range is then looked for
by the hashes of the networks it is made of, exactly. Of a user agent, the hashes of every three letters: one that has
all of a text's is taken to hold the text. The key is the day's salt; once that is deleted, nothing can be looked for.
"""

from collections.abc import Iterator
from datetime import date, datetime
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from analytics_app.bots.networks import read_address, read_network
from analytics_app.bots.rules import MatchType
from analytics_app.intake.addresses import Address, Network

STEP = 8
SHORTEST_TEXT = 3
MOST_HELD = 20_000
"""Senders of a few seconds: of more, the rest is not noted."""


class Sighting(NamedTuple):
    """One sender's requests to a website in an hour."""

    website_id: int
    day: date
    hour: datetime
    source: int
    agent: int
    prefixes: list[int]
    requests: int


class Sought(NamedTuple):
    """What a rule is looked for by, under one salt: any of `prefixes`, or all of `grams`."""

    prefixes: list[int]
    grams: list[int]


def _hash(salt: bytes, purpose: bytes, data: bytes) -> int:
    digest = blake2b(data, digest_size=8, key=salt[:64], person=purpose).digest()
    return int.from_bytes(digest, "big", signed=True)


def whole_hash(salt: bytes, website_id: int, *texts: str) -> int:
    """A hash of texts together, another on every website."""
    joined = "\0".join((str(website_id), *texts)).encode("utf-8", "surrogatepass")
    return _hash(salt, b"sighting", joined)


def prefixes_of(salt: bytes, website_id: int, address: Address) -> list[int]:
    """The hashes of the networks around an address."""
    number, bits = int(address), address.max_prefixlen
    return [
        _prefix(salt, website_id, bits, length, number >> (bits - length)) for length in range(STEP, bits + 1, STEP)
    ]


def _prefix(salt: bytes, website_id: int, bits: int, length: int, head: int) -> int:
    return _hash(salt, b"prefix", b"%d %d %d %d" % (website_id, bits, length, head))


def grams_of(salt: bytes, text: str) -> list[int]:
    """The hashes of every three letters of a text, each once, without regard to case."""
    lower = text.lower().encode("utf-8", "surrogatepass")
    grams = {lower[place : place + SHORTEST_TEXT] for place in range(len(lower) - SHORTEST_TEXT + 1)}
    return sorted({_hash(salt, b"gram", gram) >> 33 for gram in grams})


def sought(salt: bytes, website_id: int, match_type: MatchType, value: str) -> Sought:
    """What a rule of a normal value is looked for by."""
    if match_type is MatchType.USER_AGENT:
        return Sought([], grams_of(salt, value))
    if match_type is MatchType.IP:
        address = read_address(value)
        return Sought(prefixes_of(salt, website_id, address)[-1:], [])
    network = read_network(value)
    return Sought([_of_network(salt, website_id, part) for part in _parts(network)], [])


def _parts(network: Network) -> Iterator[Network]:
    """The networks of a multiple of eight bits that a range is made of: 256 at most."""
    length = max(STEP, -(-network.prefixlen // STEP) * STEP)
    yield from network.subnets(new_prefix=length)


def _of_network(salt: bytes, website_id: int, network: IPv4Network | IPv6Network) -> int:
    bits, length = network.max_prefixlen, network.prefixlen
    return _prefix(salt, website_id, bits, length, int(network.network_address) >> (bits - length))
