"""The copy of what Postgres defines (websites, keys, tokens, salts, goals, …) that every process holds.

Postgres tells of a change on a channel (triggers do, so every writer is heard); a slow timer covers what a broken
connection missed. The hot path reads the copy; only a key or token that the copy does not know is asked for, once.
"""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.backfills.store import versions_of
from analytics_app.db import ANSWERED_WITHIN_S, AsyncDriver, answered, database_url
from analytics_app.definitions_reads import (
    KINDS,
    Change,
    in_a_transaction,
    read_everything,
    read_kind,
    read_token,
    read_website,
)
from analytics_app.embedded.endpoints import resolve
from analytics_app.sessions.state import Rules
from analytics_app.settings import settings
from analytics_app.websites import definitions_store as store
from analytics_app.websites.logic import Snapshot, Token, Website, token_hash

CHANNEL = "analytics_definitions"
RENEW_EVERY_S = 60.0
MISS_REMEMBERED_S = 1.0
READ_WITHIN_S = 30.0
"""Then the connection is taken for one that nobody answers, and whoever waits for its turn gets it."""
MISSES_REMEMBERED = 10_000

LISTENERS: dict[str, Callable[[int], Awaitable[None]]] = {}
"""What else hears of changes on the channel, by kind: called with the id that is told, with 0 where any may have."""

log = structlog.get_logger(__name__)


class Definitions:
    """One process' copy, and the task that keeps it fresh."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._first = asyncio.Event()
        self._asked: dict[str | bytes, float] = {}
        self._asking: dict[str | bytes, asyncio.Future[None]] = {}
        self._renewed: list[Callable[[], None]] = []
        self._one_at_a_time = asyncio.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the copy has been read at all."""
        return self._first.is_set()

    # Reading: no waiting, no database.

    def website(self, website_id: int) -> Website | None:
        """The website, or None where there is none of that id."""
        return self.snapshot.websites.get(website_id)

    def of(self, kind: str, website_id: int) -> tuple[Any, ...]:
        """What the website defines of a kind, by the copy alone."""
        return self.snapshot.of_websites.get(kind, {}).get(website_id, ())

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

    async def bring_up_to_date(self, db: AsyncDriver, website_ids: Collection[int]) -> None:
        """Make the copy of what those websites define at least as new as what is committed now.

        For who counts by it in a batch: called after the batch has locked its position (see
        `analytics_app.backfills.logic`), with one short question to Postgres. What is behind is read anew on a second
        connection. Raises what the database raises.
        """
        if not KINDS or not website_ids:
            return
        for (kind, website_id), version in (await versions_of(db, website_ids)).items():
            if kind in KINDS and version > self.snapshot.versions.get((kind, website_id), 0):
                await self.renew_one(kind, website_id)

    async def ready(self) -> None:
        """Wait until the copy has been read for the first time."""
        await self._first.wait()

    def website_of_key(self, key: str) -> Website | None:
        """The website that a pixel key stands for now, by the copy alone."""
        held = self.snapshot.keys.get(key)
        if held is None or (held.expires_at is not None and not held.is_good(clock.now())):
            return None
        return self.snapshot.websites.get(held.website_id)

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
            await self.ask_once(canonical, lambda: self._fetch_key(wanted))
        return self.website_of_key(canonical)

    async def find_websites(self, website_ids: Collection[int]) -> None:
        """Have the copy know those websites, as far as there are any: one was perhaps made a moment ago."""
        for website_id in website_ids:
            if website_id not in self.snapshot.websites:
                await self.ask_once(f"website:{website_id}", functools.partial(self.renew_one, "website", website_id))

    async def find_token(self, token: str) -> Token | None:
        """The token, if it may be used now; None otherwise."""
        digest = token_hash(token)
        if digest not in self.snapshot.tokens:
            await self.ask_once(digest, lambda: self._fetch_token(digest))
        held = self.snapshot.tokens.get(digest)
        return held if held is not None and held.is_good(clock.now()) else None

    async def _fetch_key(self, key: uuid.UUID) -> None:
        async def read(db: AsyncConnection) -> Change:
            keys = await store.pixel_keys(db, key=key)
            websites = await store.websites(db, [held.website_id for held in keys])
            return lambda held: replace(
                held,
                websites={**held.websites, **{website.id: website for website in websites}},
                keys={**held.keys, **{found.key: found for found in keys}},
            )

        await self._take_in(read)

    async def _fetch_token(self, digest: bytes) -> None:
        async def read(db: AsyncConnection) -> Change:
            tokens = await store.tokens(db, hash_=digest)
            return lambda held: replace(held, tokens={**held.tokens, **tokens})

        await self._take_in(read)

    async def ask_once(self, what: str | bytes, fetch: Callable[[], Coroutine[None, None, None]]) -> None:
        """Fetch `what`, unless that was done within the last second; who asks meanwhile waits for the same answer."""
        if self._asked.get(what, -MISS_REMEMBERED_S) > clock.monotonic() - MISS_REMEMBERED_S:
            return
        if what not in self._asking:
            self._asking[what] = asyncio.ensure_future(fetch())
            self._asking[what].add_done_callback(lambda done: self._answered(what, done))
        await answered(self._asking[what])

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
        await self._take_in(read_everything)
        for hear in LISTENERS.values():
            await hear(0)
        self._first.set()

    async def renew_one(self, kind: str, id_: int) -> None:
        """Read one website with its keys, one token, or what a website defines of a kind, anew.

        Raises what the database raises.
        """
        if kind == "website":
            await self._take_in(functools.partial(read_website, id_=id_))
        elif kind == "token":
            await self._take_in(functools.partial(read_token, id_=id_))
        elif kind in KINDS:
            await self._take_in(functools.partial(read_kind, kind=kind, id_=id_))
        elif kind in LISTENERS:
            await LISTENERS[kind](id_)
        else:
            await self.renew()

    async def _take_in(self, read: Callable[[AsyncConnection], Coroutine[None, None, Change]]) -> None:
        """Read what is committed now and put it into the copy: one after the other, each within its time.

        Who read before another and put in after it would undo what that one read. Raises what the database raises.
        """
        async with self._one_at_a_time:
            reading = asyncio.ensure_future(in_a_transaction(read))
            try:
                change = await answered(reading, READ_WITHIN_S)
            except asyncio.CancelledError:  # this process ends, and so does the connection
                reading.cancel()
                await asyncio.wait({reading}, timeout=ANSWERED_WITHIN_S)
                raise
            self.snapshot = change(self.snapshot)
            for call in self._renewed:
                call()

    async def keep_fresh(self) -> None:
        """Listen for changes and renew, for ever; where Postgres is away, try again with growing pauses."""
        pause_s = 0.2
        while True:
            try:
                await self._listen()
                pause_s = 0.2
            except (psycopg.Error, SQLAlchemyError, OSError, TimeoutError) as error:
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
