"""Whether Postgres answers: looked at every second, so that nobody waits for a server that hangs.

Where it answers others but not this process, whose connections nobody answers any more, the process ends, to be started
again with new ones: too much of it may wait on the old ones.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import structlog

from analytics_app import clock
from analytics_app.db import answers_anew, is_away, ping
from analytics_app.errors import Unavailable
from analytics_app.watchdog import EXIT_CODE

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
DOUBT_AFTER_S = 10.0
"""A look that hangs for so long makes it worth asking on another connection."""
ARRIVES_WITHIN_S = 2.0
"""What a network held back arrives within that once it is well again."""
AWAY_AFTER_S = 1.2
"""A look that takes longer than that means that Postgres hangs; with the pause between looks under 2.5 s in all."""


class Presence:
    """What the last look at Postgres found. Before the first it is taken to be there."""

    def __init__(self) -> None:
        self.away = asyncio.Event()
        self.since: float | None = None
        self._look: asyncio.Task[None] | None = None
        self._looked_at = 0.0

    def is_away(self) -> bool:
        """Whether Postgres did not answer the last look."""
        return self.away.is_set()

    async def look(self) -> None:
        """Ask Postgres for a sign of life and remember the answer. Never raises, never takes longer than 1.2 s."""
        # A look that hangs is left to itself, not cancelled: the driver would wait for the server to agree to that.
        if self._look is None:
            self._look, self._looked_at = asyncio.ensure_future(ping()), clock.monotonic()
        look = self._look  # the one that others wait for too: who wakes first takes it away
        done, _ = await asyncio.wait({look}, timeout=AWAY_AFTER_S)
        if not done:
            self._found(answers=False)
            return
        if self._look is look:
            self._look = None
        error = look.exception()
        if error is not None and not is_away(error):
            log.error("the look at Postgres failed", error=repr(error))
        self._found(answers=error is None)

    async def keep_looking(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await self.look()
            if self.hangs() and await answers_anew():
                await asyncio.sleep(ARRIVES_WITHIN_S)
                if self.hangs():
                    log.critical("this process ends, to be started again", why="Postgres answers, but not here")
                    os._exit(EXIT_CODE)
            await asyncio.sleep(LOOK_EVERY_S)

    def hangs(self) -> bool:
        """Whether the look under way has hung for longer than a server takes to come back."""
        return self._look is not None and not self._look.done() and clock.monotonic() - self._looked_at > DOUBT_AFTER_S

    def _found(self, *, answers: bool) -> None:
        if answers == self.away.is_set():
            log.warning("Postgres answers again" if answers else "Postgres does not answer")
        if answers:
            self.away.clear()
            self.since = None
        elif not self.away.is_set():
            self.away.set()
            self.since = clock.monotonic()


PRESENCE = Presence()
"""What this process knows."""


async def while_postgres_answers(work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` returns or raises. Raises `Unavailable` as soon as Postgres is known to be away."""
    if PRESENCE.is_away():
        work.close()
        raise Unavailable("The database is away; try again")
    working = asyncio.ensure_future(work)
    noticed = asyncio.ensure_future(PRESENCE.away.wait())
    try:
        await asyncio.wait({working, noticed}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        # Left to itself: it ends when the server does, or wakes up. Its error has been answered already.
        working.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise Unavailable("The database is away; try again")
    except asyncio.CancelledError:
        working.cancel()
        raise
    finally:
        noticed.cancel()
