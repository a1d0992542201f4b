"""Calls to addresses that users give: guarded, so that they reach nothing of the service's own network.

Host names are resolved here and the connection is made to an address that was looked at, so a name that changes its
mind in between gains nothing. There is no redirect, little time, and hardly anything of the answer is read.
"""

import hmac
import socket
from hashlib import blake2b, sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from analytics_app.deliveries.logic import Outcome
from analytics_app.settings import Network

WITHIN_S = 10.0
READ_BYTES = 4096
_TRANSLATED = IPv6Network("64:ff9b::/96")
FORBIDDEN = "the address lies in a network that webhooks may not reach"


class Forbidden(OSError):
    """Raised when a host lies where webhooks may not go."""


def may_reach(address: str, allowed: tuple[Network, ...]) -> bool:
    """Whether an IP address is a public one, or in a network that the settings allow."""
    found = _innermost(ip_address(address.partition("%")[0]))
    if any(found.version == network.version and found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to: mapped, by 6to4, or by a translator (RFC 6052)."""
    if isinstance(address, IPv4Address):
        return address
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else None
    return address.ipv4_mapped or address.sixtofour or translated or address


class GuardedResolver(AbstractResolver):
    """Resolves host names to those of their addresses that may be reached."""

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self.allowed = allowed
        self._plain = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The host's addresses. Raises `Forbidden` where none may be reached, OSError where it has none."""
        found = [one for one in await self._plain.resolve(host, port, family) if may_reach(one["host"], self.allowed)]
        if not found:
            raise Forbidden(FORBIDDEN)
        return found

    async def close(self) -> None:
        """Release what resolving holds."""
        await self._plain.close()


def signing_secret(secret: bytes, alert_id: int) -> str:
    """The key with which the calls of an alert are signed."""
    return blake2b(b"%d" % alert_id, digest_size=24, key=secret[:64], person=b"webhook").hexdigest()


def signature(key: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA-256 of `<timestamp>.<body>` under `key`, in hex."""
    return hmac.new(key.encode(), b"%d.%b" % (timestamp, body), sha256).hexdigest()


async def call(
    url: str, body: bytes, *, key: str, delivery_id: int, timestamp: int, allowed: tuple[Network, ...]
) -> Outcome:
    """POST `body` to `url`, signed; never raises for what the other side or the network does."""
    target = URL(url)
    try:
        if not may_reach(target.host or "", allowed):
            return Outcome("refused", FORBIDDEN)
    except ValueError:
        pass  # a name: the resolver decides
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "analytics-webhook",
        "X-Analytics-Delivery": str(delivery_id),
        "X-Analytics-Timestamp": str(timestamp),
        "X-Analytics-Signature": f"sha256={signature(key, timestamp, body)}",
    }
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(allowed), use_dns_cache=False, force_close=True)
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    # Neither proxies of the environment nor cookies: the call says what is written here, to whom it names.
    session: dict[str, Any] = {"connector": connector, "timeout": timeout, "trust_env": False}
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, **session) as client,
            client.post(target, data=body, headers=headers, allow_redirects=False) as response,
        ):
            await response.content.read(READ_BYTES)
            return _outcome_of(response.status)
    except aiohttp.InvalidURL as error:
        return Outcome("refused", f"the address cannot be called: {error}"[:500])
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, Forbidden):
            return Outcome("refused", FORBIDDEN)
        return Outcome("later", str(error)[:500])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        # A receiver knows a call by its number: calling again does no harm.
        return Outcome("later", f"{type(error).__name__}: {error}"[:500])


def _outcome_of(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome("sent")
    error = f"the receiver answered {status}"
    return Outcome("refused" if 300 <= status < 500 and status not in (408, 429) else "later", error)
