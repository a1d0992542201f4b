"""What visitors said about consent, as every process knows it: who withdrew, and who was asked about lately.

Postgres tells of each change (a trigger does). Everybody who withdrew is held; who consented is looked up once, for
websites that require it, and remembered.
"""

import asyncio
from collections import OrderedDict

from analytics_app import definitions
from analytics_app.db import answered, transaction
from analytics_app.gdpr import store

REMEMBERED = 200_000


class Consents:
    """One process' copy."""

    def __init__(self) -> None:
        self._withdrawn: set[tuple[int, str]] = set()
        self._granted: OrderedDict[tuple[int, str], bool] = OrderedDict()

    def is_withdrawn(self, website_id: int, visitor: str) -> bool:
        """Whether the visitor has withdrawn consent."""
        return (website_id, visitor) in self._withdrawn

    def is_granted(self, website_id: int, visitor: str) -> bool:
        """Whether the visitor has consented, as far as that was looked up."""
        return self._granted.get((website_id, visitor), False)

    async def look_up(self, website_id: int, visitor: str) -> None:
        """Have `is_granted` know of the visitor. Raises what the database raises, after two seconds at most."""
        if (website_id, visitor) not in self._granted:
            await answered(asyncio.ensure_future(self._look_up(website_id, visitor)))

    async def _look_up(self, website_id: int, visitor: str) -> None:
        async with transaction() as db:
            row = await store.consent_of(db, website_id, visitor)
        # Unless a change was told meanwhile: that is newer.
        self._granted.setdefault((website_id, visitor), row is not None and row.status == "granted")
        self._trim()

    def note(self, website_id: int, visitor: str, status: str) -> None:
        """Take in what a visitor said."""
        one = (website_id, visitor)
        if status == "withdrawn":
            self._withdrawn.add(one)
        else:
            self._withdrawn.discard(one)
        self._granted[one] = status == "granted"
        self._trim()

    def _trim(self) -> None:
        if len(self._granted) > REMEMBERED:
            self._granted.popitem(last=False)

    async def hear(self, consent_id: int) -> None:
        """Read one consent that changed anew; 0: all, for any may have. Raises what the database raises."""
        if not consent_id:
            async with transaction() as db:
                self._withdrawn = await store.withdrawn(db)
            self._granted.clear()
            return
        async with transaction() as db:
            found = await store.consents(db, [consent_id])
        for website_id, visitor, status in found:
            self.note(website_id, visitor, status)
        if not found:  # erased: whose it was is not known any more
            await self.hear(0)


CONSENTS = Consents()
"""This process' copy."""

definitions.LISTENERS["consent"] = CONSENTS.hear
