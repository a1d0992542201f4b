"""Which sessions outlived the change of salt: asked of Postgres, for every hit after midnight to know."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.intake.privacy import SETTLE_S, salt_day
from analytics_app.sessions import running_store
from analytics_app.settings import settings

RUNNING_READ_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class RunningSessions:
    """Sessions that outlived the change of salt: see `analytics_app.intake.privacy`."""

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()
        self._day = salt_day(clock.now_ms())
        self._caught_up = False

    async def read(self) -> None:
        """Read which sessions of yesterday still run. Raises what the database raises."""
        now = clock.now()
        day = salt_day(round(now.timestamp() * 1000))
        began = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if self._caught_up and day == self._day and not self.keys:
            return
        since = now - timedelta(seconds=max(settings().session_timeout_s, *self._timeouts()))
        async with transaction() as db:
            if self._caught_up and day == self._day:
                self.keys = await running_store.still_running(db, self.keys, since)
            else:
                self.keys = await running_store.running_over(db, began + timedelta(seconds=SETTLE_S), since)
        self._day, self._caught_up = day, True

    def _timeouts(self) -> list[int]:
        return [website.session_timeout_s or 0 for website in DEFINITIONS.snapshot.websites.values()] or [0]

    async def keep_reading(self) -> None:
        """Read again and again, until cancelled."""
        await DEFINITIONS.ready()
        while True:
            try:
                await self.read()
            except Exception as error:
                if not is_away(error):
                    log.exception("running sessions could not be read")
            await asyncio.sleep(RUNNING_READ_EVERY_S)


RUNNING = RunningSessions()
