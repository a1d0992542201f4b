"""Who is asking: the token of a request, and whether it covers the call."""

import asyncio
from contextlib import suppress
from ipaddress import ip_address

import structlog
from aiohttp.web import Request

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Forbidden, Unauthenticated
from analytics_app.websites import tokens_store
from analytics_app.websites.logic import Token

log = structlog.get_logger(__name__)

LONGEST_TOKEN = 512
NOTED_EVERY_S = 60.0


async def bearer(request: Request) -> Token | None:
    """The good token that the request carries; None where it carries no Authorization header at all.

    Raises `Unauthenticated` where the header is there, but no token that may be used now.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not 0 < len(text) <= LONGEST_TOKEN:
        raise refused()
    token = await DEFINITIONS.find_token(text)
    if token is None:
        raise refused()
    LAST_USED.note(token.id)
    return token


async def caller(request: Request, scope: str) -> Token:
    """The token of the request, which has `scope`. Raises `Unauthenticated`, `Forbidden`."""
    token = await bearer(request)
    if token is None:
        raise refused()
    if not token.has(scope):
        raise Forbidden(f"The token lacks the scope {scope}")
    return token


FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def is_local(request: Request) -> bool:
    """Whether the request was made on this machine: by its peer, and by no proxy having passed it on."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple) or any(name in request.headers for name in FORWARDED):
        return False
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def refused() -> Unauthenticated:
    """401, with the challenge that HTTP asks for."""
    return Unauthenticated(headers={"WWW-Authenticate": 'Bearer realm="analytics"'})


class LastUsed:
    """When tokens were last used: noted at once, written together, at most once a minute for each token."""

    def __init__(self) -> None:
        self._written: dict[int, float] = {}
        self._waiting: set[int] = set()

    def note(self, token_id: int) -> None:
        """The token was used now."""
        if clock.monotonic() - self._written.get(token_id, -NOTED_EVERY_S) >= NOTED_EVERY_S:
            self._waiting.add(token_id)

    async def write(self) -> None:
        """Write what waits. Where Postgres is away it goes on waiting."""
        if not self._waiting:
            return
        ids, self._waiting = self._waiting, set()
        try:
            async with transaction() as db:
                await tokens_store.note_use(db, sorted(ids), clock.now())
        except Exception as error:
            self._waiting |= ids
            if not is_away(error):
                raise
            return
        self._written.update(dict.fromkeys(ids, clock.monotonic()))

    async def keep_writing(self, every_s: float = 2.0) -> None:
        """Write again and again, until cancelled; what waits then is written last."""
        try:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await self.write()
                except Exception:
                    log.exception("the last use of tokens could not be written")
        finally:
            with suppress(Exception):
                await self.write()


LAST_USED = LastUsed()
"""This process' notes."""
