"""The rate limit of the public tracking endpoints, over all web processes together."""

import asyncio
import math
import secrets

import structlog

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.errors import RateLimited
from analytics_app.limits import store
from analytics_app.limits.logic import Budget, Limit, Verdict, parse
from analytics_app.settings import settings

log = structlog.get_logger(__name__)

WAIT_AT_MOST_S = 0.25
"""How long a call waits for the common budget; then this process goes on alone."""

ALONE_FOR_S = 1.0
"""How long it does so before it asks again."""

NO_WEBSITE = 0
"""The key of calls that name no known website: all of them together get what one website gets."""


class Limits:
    """One process' view of the limit."""

    def __init__(self, limit: Limit | None) -> None:
        self.limit = limit
        self.budget = Budget(limit) if limit else None
        self.name = secrets.token_hex(8)
        self._renewing: asyncio.Task[None] | None = None
        self._alone_until = -math.inf
        self._waiting = 0

    async def take(self, website_id: int = NO_WEBSITE) -> None:
        """Count one call against the limit; at once where tokens are held. Raises `RateLimited`."""
        if self.budget is None or self.take_at_once(website_id):
            return
        self._waiting += 1
        try:
            # What a lease brings, others who wait for it may take first.
            while (verdict := self.budget.take(website_id, clock.monotonic())) is Verdict.ASK:
                await self._ask()
        finally:
            self._waiting -= 1
        if verdict is not Verdict.TAKEN:
            raise self.refused()

    def take_at_once(self, website_id: int = NO_WEBSITE) -> bool:
        """Count one call where that needs no waiting; False where `take` has to be asked."""
        if self.budget is None:
            return True
        now = clock.monotonic()
        if self.budget.take(website_id, now) is not Verdict.TAKEN:
            return False
        if self.budget.is_due(now):
            self._renew()
        return True

    def refused(self) -> RateLimited:
        """429, with when to try again."""
        assert self.limit is not None
        assert self.budget is not None
        left_s = max(1, math.ceil(min(self.budget.ends_at - clock.monotonic(), self.limit.period_s)))
        return RateLimited(
            f"Too many requests: {self.limit.count} are taken every {self.limit.period_s} s",
            headers={
                "Retry-After": str(left_s),
                "RateLimit-Limit": str(self.limit.count),
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": str(left_s),
            },
        )

    async def keep_settled(self) -> None:
        """Tell the common budget every second what was used, and give back what is not, until cancelled; then all."""
        if self.budget is None:
            return
        try:
            while True:
                await asyncio.sleep(1.0)
                now = clock.monotonic()
                if self.budget.is_due(now) and now >= self._alone_until:
                    self._renew()
        finally:
            # What goes with a process is missing to the others for the rest of the window.
            await asyncio.wait({asyncio.ensure_future(self._exchange(closing=True))}, timeout=WAIT_AT_MOST_S)

    async def _ask(self) -> None:
        """Wait for the common budget's answer, not for long."""
        assert self.budget is not None
        now = clock.monotonic()
        if now >= self._alone_until:
            # Not cancelled where it takes too long: its answer is welcome later.
            done, _ = await asyncio.wait({self._renew()}, timeout=WAIT_AT_MOST_S)
            if done and clock.monotonic() >= self._alone_until:
                return
            self._alone_until = max(self._alone_until, clock.monotonic() + ALONE_FOR_S)
        if self.budget.held == 0:
            self.budget.stand_alone(clock.monotonic())

    def _renew(self) -> asyncio.Task[None]:
        """One exchange with the common budget at a time; who asks meanwhile gets the one under way."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.ensure_future(self._exchange())
        return self._renewing

    async def _exchange(self, *, closing: bool = False) -> None:
        assert self.budget is not None
        assert self.limit is not None
        report = self.budget.report(clock.monotonic(), waiting=self._waiting, closing=closing)
        try:
            async with transaction() as db:
                lease = await store.lease(db, self.limit, self.name, report)
        except Exception as error:
            self._alone_until = clock.monotonic() + ALONE_FOR_S
            self.budget.take_back(report)
            if is_away(error):
                log.warning("the common rate limit is away, going on alone", error=str(error).strip())
            else:
                log.exception("the common rate limit failed, going on alone")
            return
        self._alone_until = -math.inf
        self.budget.renew(lease, clock.monotonic(), wanted=report.wanted)


LIMITS = Limits(parse(settings().tracking_rate_limit, settings().tracking_key_share))
"""The limit of this process."""
