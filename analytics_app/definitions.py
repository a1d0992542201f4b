"""The copy of what Postgres defines (websites, keys, tokens, salts) that every process holds.

Postgres tells of a change on a channel (triggers do, so every writer is heard); a slow timer covers what a broken
connection missed. The hot path reads the copy; only a key or token that the copy does not know is asked for, once.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from analytics_app import clock
from analytics_app.db import database_url, transaction
from analytics_app.embedded.endpoints import resolve
from analytics_app.sessions.state import Rules
from analytics_app.settings import settings
from analytics_app.websites import definitions_store as store
from analytics_app.websites.logic import PixelKey, Snapshot, Token, Website, token_hash

CHANNEL = "analytics_definitions"
RENEW_EVERY_S = 60.0
MISS_REMEMBERED_S = 1.0
MISSES_REMEMBERED = 10_000

log = structlog.get_logger(__name__)


class Definitions:
    """One process' copy, and the task that keeps it fresh."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._first = asyncio.Event()
        self._asked: dict[str | bytes, float] = {}
        self._asking: dict[str | bytes, asyncio.Future[None]] = {}
        self._renewed: list[Callable[[], None]] = []

    @property
    def loaded(self) -> bool:
        """Whether the copy has been read at all."""
        return self._first.is_set()

    # Reading: no waiting, no database.

    def website(self, website_id: int) -> Website | None:
        """The website, or None where there is none of that id."""
        return self.snapshot.websites.get(website_id)

    def rules(self) -> Callable[[int], Rules | None]:
        """The rules of sessions by website, as they are now; None for a website that is gone."""
        websites, conf = self.snapshot.websites, settings()

        @cache
        def rules_of(website_id: int) -> Rules | None:
            website = websites.get(website_id)
            if website is None:
                return None
            timeout_s = website.session_timeout_s or conf.session_timeout_s
            return Rules(timeout_s * 1000, conf.session_max_s * 1000, conf.bounce_engaged_s)

        return rules_of

    async def ready(self) -> None:
        """Wait until the copy has been read for the first time."""
        await self._first.wait()

    def website_of_key(self, key: str) -> Website | None:
        """The website that a pixel key stands for now, by the copy alone."""
        held = self.snapshot.keys.get(key)
        return self.snapshot.websites.get(held.website_id) if held and held.is_good(clock.now()) else None

    def on_renewal(self, call: Callable[[], None]) -> None:
        """Have `call` made after each renewal of the copy."""
        self._renewed.append(call)

    # Asking once for what the copy does not know.

    async def find_website(self, key: str) -> Website | None:
        """The website of a pixel key; what the copy does not know is looked up, and a miss remembered for a second."""
        found = self.website_of_key(key)
        if found is not None:
            return found
        try:
            wanted = uuid.UUID(key)
        except (ValueError, AttributeError):
            return None
        canonical = str(wanted)
        if canonical not in self.snapshot.keys:
            await self._ask_once(canonical, lambda: self._fetch_key(wanted))
        return self.website_of_key(canonical)

    async def find_token(self, token: str) -> Token | None:
        """The token, if it may be used now; None otherwise."""
        digest = token_hash(token)
        if digest not in self.snapshot.tokens:
            await self._ask_once(digest, lambda: self._fetch_token(digest))
        held = self.snapshot.tokens.get(digest)
        return held if held is not None and held.is_good(clock.now()) else None

    async def _fetch_key(self, key: uuid.UUID) -> None:
        async with transaction() as db:
            keys = await store.pixel_keys(db, key=key)
            websites = await store.websites(db, [held.website_id for held in keys])
        self._merge(websites, keys, {})

    async def _fetch_token(self, digest: bytes) -> None:
        async with transaction() as db:
            self._merge([], [], await store.tokens(db, hash_=digest))

    async def _ask_once(self, what: str | bytes, fetch: Callable[[], Coroutine[None, None, None]]) -> None:
        """Fetch `what`, unless that was done within the last second; who asks meanwhile waits for the same answer."""
        if self._asked.get(what, -MISS_REMEMBERED_S) > clock.monotonic() - MISS_REMEMBERED_S:
            return
        if what not in self._asking:
            self._asking[what] = asyncio.ensure_future(fetch())
            self._asking[what].add_done_callback(lambda done: self._answered(what, done))
        await asyncio.shield(self._asking[what])

    def _answered(self, what: str | bytes, done: asyncio.Future[None]) -> None:
        self._asking.pop(what, None)
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._asked) > MISSES_REMEMBERED:
            self._asked.clear()
        self._asked[what] = clock.monotonic()

    # Renewing.

    async def renew(self) -> None:
        """Read everything anew. Raises what the database raises."""
        today = clock.now().date()
        async with transaction() as db:
            websites = await store.websites(db)
            keys = await store.pixel_keys(db)
            tokens = await store.tokens(db)
            salts = await store.salts(db, [today - timedelta(days=1), today, today + timedelta(days=1)])
        self._replace(
            Snapshot(
                websites={website.id: website for website in websites},
                keys={key.key: key for key in keys},
                tokens=tokens,
                salts=salts,
            )
        )
        self._first.set()

    async def renew_one(self, kind: str, id_: int) -> None:
        """Read one website with its keys, or one token, anew. Raises what the database raises."""
        held = self.snapshot
        if kind == "website":
            async with transaction() as db:
                websites = await store.websites(db, [id_])
                keys = await store.pixel_keys(db, website_ids=[id_])
            self._replace(
                replace(
                    held,
                    websites={k: v for k, v in held.websites.items() if k != id_} | {w.id: w for w in websites},
                    keys={k: v for k, v in held.keys.items() if v.website_id != id_} | {k.key: k for k in keys},
                )
            )
        elif kind == "token":
            async with transaction() as db:
                tokens = await store.tokens(db, ids=[id_])
            kept = {digest: token for digest, token in held.tokens.items() if token.id != id_}
            self._replace(replace(held, tokens=kept | tokens))
        else:
            await self.renew()

    def _merge(self, websites: list[Website], keys: list[PixelKey], tokens: dict[bytes, Token]) -> None:
        held = self.snapshot
        self._replace(
            replace(
                held,
                websites={**held.websites, **{website.id: website for website in websites}},
                keys={**held.keys, **{key.key: key for key in keys}},
                tokens={**held.tokens, **tokens},
            )
        )

    def _replace(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        for call in self._renewed:
            call()

    async def keep_fresh(self) -> None:
        """Listen for changes and renew, for ever; where Postgres is away, try again with growing pauses."""
        pause_s = 0.2
        while True:
            try:
                await self._listen()
                pause_s = 0.2
            except (psycopg.Error, DBAPIError, OSError, TimeoutError) as error:
                log.warning("definitions are not being renewed", error=str(error).strip(), again_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    async def _listen(self) -> None:
        """One connection's worth of listening; returns when it is time to look at the connection anew."""
        url = database_url(resolve(settings()).database_url).set(drivername="postgresql")
        connection = await psycopg.AsyncConnection.connect(
            url.render_as_string(hide_password=False), autocommit=True, connect_timeout=5
        )
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
            await self.renew()  # after LISTEN, so that no change falls between
            async for notice in connection.notifies(timeout=RENEW_EVERY_S):
                kind, _, number = notice.payload.partition(":")
                await self.renew_one(kind, int(number) if number.isdecimal() else 0)
        finally:
            with suppress(psycopg.Error):
                await connection.close()


DEFINITIONS = Definitions()
"""This process' copy."""
