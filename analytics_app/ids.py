"""Event ids: minted by the edge before anything is produced, unique across processes and restarts, below 2^53."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import select

from analytics_app.db import answered, transaction
from analytics_app.sessions.models import EVENT_ID_BLOCK, EVENT_IDS

FETCHED_AHEAD = EVENT_ID_BLOCK // 2


async def next_block() -> int:
    """The first id of a block of `EVENT_ID_BLOCK` that nobody else has. Raises what the database raises."""
    async with transaction() as db:
        return int((await db.execute(select(EVENT_IDS.next_value()))).scalar_one())


class EventIds:
    """Hands out ids from blocks; the next block is fetched before the one in use runs out."""

    def __init__(self, fetch: Callable[[], Awaitable[int]] = next_block) -> None:
        self._fetch = fetch
        self._ids: list[range] = []
        self._next = 0
        self._fetching: asyncio.Task[None] | None = None

    async def mint(self) -> int:
        """A new id. Waits only where both blocks are used up, two seconds at most. Raises what the database raises."""
        while (minted := self.mint_at_once()) is None:
            await answered(self._fetch_block())
        return minted

    def mint_at_once(self) -> int | None:
        """A new id; None where one has to be waited for."""
        if not self._ids:
            return None
        block = self._ids[0]
        minted = self._next
        self._next += 1
        if self._next == block.stop:
            self._ids.pop(0)
            self._next = self._ids[0].start if self._ids else 0
        elif block.stop - self._next < FETCHED_AHEAD and len(self._ids) == 1:
            self._fetch_block()
        return minted

    def _fetch_block(self) -> asyncio.Task[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._add_block())
            # Fetched ahead, a failure is nobody's: whoever finds no id left asks again and hears of it.
            self._fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._fetching

    async def _add_block(self) -> None:
        first = await self._fetch()
        self._ids.append(range(first, first + EVENT_ID_BLOCK))
        if len(self._ids) == 1:
            self._next = first
