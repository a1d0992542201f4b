"""Who a visitor is, as far as the service knows: keyed hashes, and ids that last a day for those who keep none.

A cookieless visitor's id is a keyed hash of website, address and user agent under the random salt of the day; when the
salt is deleted, nobody can compute it again. Its session id is derived from it, so every web process says the same
without asking anybody.

**Over midnight.** The salt changes, but a session may run on. A session lies in one partition under one key, so which
ids a hit carries must be decided before it is produced. Hence the edge keeps `running`: the session keys that were
alive when the salt changed, read from Postgres when the new day begins and then every few seconds until none is left
(`last_at` within the session timeout; empty for most of the day). `cookieless_ids` gives a visitor whose session of
yesterday is among them yesterday's ids, and everybody else today's. The new day begins `SETTLE_S` after midnight, so
that what came in before it is stored when `running` is first read.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from hashlib import blake2b
from typing import Literal, NamedTuple
from uuid import UUID

SETTLE_S = 5
"""Seconds after midnight, UTC, that still belong to the day before as far as salts go."""


_EPOCH = date(1970, 1, 1).toordinal()


class Ids(NamedTuple):
    """A visitor id and a session id, as they are answered to the client: both shaped like a UUID."""

    visitor_id: str
    session_id: str


def visitor_hash(secret: bytes, website_id: int, visitor_id: str) -> str:
    """The only form in which a visitor is stored: 32 hexadecimal digits. Any text is an id."""
    return _keyed(secret, b"visitor", website_id, _bytes(visitor_id)).hex()


def session_key(secret: bytes, session_id: str) -> str:
    """The only form in which a session id leaves the edge: 32 hexadecimal digits.

    Without the website, for a heartbeat may know nothing but the session id.
    """
    return blake2b(_bytes(session_id), digest_size=16, key=_key(secret), person=b"session").hexdigest()


def salt_day(now_ms: int) -> date:
    """The day whose salt is in use at `now_ms`; the one before it may live on in running sessions."""
    return date.fromordinal(_EPOCH + (now_ms - SETTLE_S * 1000) // 86_400_000)


def cookieless_visitor(salt: bytes, website_id: int, ip: str, user_agent: str) -> str:
    """The id of a visitor for a day, shaped like a UUID; another on every website."""
    return _uuid(_keyed(salt, b"cookieless", website_id, _bytes(ip) + b"\0" + _bytes(user_agent)))


def cookieless_session(salt: bytes, website_id: int, visitor_id: str) -> str:
    """The id of a visitor's session for a day, shaped like a UUID: the same for the same visitor id."""
    return _uuid(_keyed(salt, b"cookieless-sess", website_id, _bytes(visitor_id)))


def cookieless_ids(
    today: bytes,
    yesterday: bytes | None,
    website_id: int,
    ip: str,
    user_agent: str,
    *,
    secret: bytes,
    running: AbstractSet[str] = frozenset(),
) -> Ids:
    """The ids of a visitor who sent none: yesterday's while the session of yesterday runs on, else today's.

    `today` and `yesterday` are salts; `running` holds the keys (`session_key`) of the sessions that outlived the
    change of salt; while it is empty, which is most of the day, nothing more is computed.
    """
    if yesterday is not None and running:
        visitor_id = cookieless_visitor(yesterday, website_id, ip, user_agent)
        session_id = cookieless_session(yesterday, website_id, visitor_id)
        if session_key(secret, session_id) in running:
            return Ids(visitor_id, session_id)
    visitor_id = cookieless_visitor(today, website_id, ip, user_agent)
    return Ids(visitor_id, cookieless_session(today, website_id, visitor_id))


def sender_hash(salt: bytes, website_id: int, address: str, user_agent: str = "") -> str:
    """Who sent a hit, for a day, as behaviour is judged by: 16 hexadecimal digits, others on every website.

    Of the address alone, or of address and user agent.
    """
    data = _bytes(address) + b"\0" + _bytes(user_agent)
    return _keyed(salt, b"sender", website_id, data).hex()[:16]


def opted_out(headers: Mapping[str, str], honour: bool = True) -> Literal["gpc", "dnt"] | None:
    """Why a visitor must not be counted: `Sec-GPC: 1` or `DNT: 1`, where the website honours them; else None."""
    if honour:
        if headers.get("Sec-GPC", "").strip() == "1":
            return "gpc"
        if headers.get("DNT", "").strip() == "1":
            return "dnt"
    return None


def _keyed(secret: bytes, purpose: bytes, website_id: int, data: bytes) -> bytes:
    message = website_id.to_bytes(8, "big") + data
    return blake2b(message, digest_size=16, key=_key(secret), person=purpose).digest()


def _key(secret: bytes) -> bytes:
    # BLAKE2b takes 64 bytes of key; without a key, anybody could compute the hashes.
    if not secret:
        raise ValueError("a secret or salt is needed")
    return secret if len(secret) <= 64 else blake2b(secret).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _uuid(digest: bytes) -> str:
    """`digest` as a UUID of version 8 (RFC 9562: bits of one's own making)."""
    bits = int.from_bytes(digest, "big")
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | 8 << 76 | 2 << 62
    return str(UUID(int=bits))
