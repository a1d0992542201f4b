"""What a website and a token are to the processes that serve them: small frozen copies, and what they allow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Any

SCOPES = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Website:
    """A website as edge and agents know it."""

    id: int
    workspace_id: int
    host: str
    tracking_type: str = "lightweight"
    tracking_enabled: bool = True
    is_enabled: bool = True
    honour_dnt: bool = True
    require_consent: bool = False
    session_timeout_s: int | None = None
    allowed_hosts: tuple[str, ...] = ()
    timezone: str = "UTC"
    replay_sampling: float = 0.0
    replay_max_s: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the API knows it. `website_ids` None: every website of the workspace."""

    id: int
    workspace_id: int
    name: str
    scopes: frozenset[str]
    website_ids: frozenset[int] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether the token may be used at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def covers(self, website_id: int) -> bool:
        """Whether the token may be used for that website of its workspace."""
        return self.website_ids is None or website_id in self.website_ids

    def has(self, scope: str) -> bool:
        """Whether the token has `scope`, or one that includes it: admin includes write, write includes read."""
        return any(SCOPES.index(held) >= SCOPES.index(scope) for held in self.scopes)


@dataclass(frozen=True, slots=True)
class PixelKey:
    """A key and the website it stands for, until it expires."""

    key: str
    website_id: int
    expires_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether the key may be used at `now`."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that Postgres defines, as one process holds it."""

    websites: Mapping[int, Website] = field(default_factory=dict)
    keys: Mapping[str, PixelKey] = field(default_factory=dict)
    tokens: Mapping[bytes, Token] = field(default_factory=dict)
    salts: Mapping[date, bytes] = field(default_factory=dict)
    of_websites: Mapping[str, Mapping[int, tuple[Any, ...]]] = field(default_factory=dict)
    """What websites define (goals, funnels, …), by its kind and the website's id."""
    versions: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """How often what a website defines of a kind had changed when it was read; what never changed is missing."""


def token_hash(token: str) -> bytes:
    """The form in which a token is stored and looked up. Tokens are random, so a plain hash cannot be searched."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
