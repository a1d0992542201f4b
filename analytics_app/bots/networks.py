"""Which of many networks an address lies in: one look in a dictionary for each length of prefix. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Generic, TypeVar

from analytics_app.intake.addresses import Address, Network, parsed, unmapped

Value = TypeVar("Value")

_CIDR = re.compile(r"^[0-9A-Fa-f:.]{2,45}/\d{1,3}$")
_MAPPED_BITS = 96


class Networks(Generic[Value]):
    """Networks, each with a value."""

    def __init__(self, items: Iterable[tuple[Network, Value]] = ()) -> None:
        self._by_length: dict[tuple[int, int], dict[int, Value]] = {}
        for network, value in items:
            known = self._by_length.setdefault((network.version, network.prefixlen), {})
            known.setdefault(int(network.network_address) >> (network.max_prefixlen - network.prefixlen), value)
        # The longest prefix first: of several networks the nearest answers.
        self._lengths = sorted(self._by_length, reverse=True)

    def find(self, address: Address | None) -> Value | None:
        """The value of the smallest network that holds the address; None where none does."""
        if address is None:
            return None
        number, version, bits = int(address), address.version, address.max_prefixlen
        for key in self._lengths:
            if key[0] == version:
                found = self._by_length[key].get(number >> (bits - key[1]))
                if found is not None:
                    return found
        return None

    def __bool__(self) -> bool:
        return bool(self._lengths)


@lru_cache(maxsize=8192)
def address_of(text: str) -> Address | None:
    """The address that a text stands for, IPv4-mapped ones as IPv4, without a zone; None where it is none."""
    return parsed(text)


def read_address(text: str) -> Address:
    """The address that a person wrote. Raises ValueError."""
    try:
        return unmapped(ip_address(text.strip().partition("%")[0]))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def read_network(text: str) -> Network:
    """The network that a person wrote as CIDR; bits behind the prefix do not count, IPv4-mapped ones are IPv4.

    Raises ValueError.
    """
    wanted = text.strip()
    try:
        network = ip_network(wanted if _CIDR.match(wanted) else "no CIDR", strict=False)
    except ValueError:
        raise ValueError("must be a CIDR range such as 192.168.1.0/24 or 2001:db8::/32") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def masked(address: Address) -> str:
    """What of an address stands for one sender: all of IPv4, the first 64 bits of IPv6, which a home or phone owns."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
