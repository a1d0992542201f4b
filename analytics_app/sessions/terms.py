"""The numbers of texts: a bounded cache in front of the table `terms`."""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from analytics_app.arrays import numbers, texts
from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.sessions.kinds import TermKind
from analytics_app.settings import settings

Term = tuple[int, int, str]
"""Website, kind (`TermKind`), text."""


Held = dict[tuple[int, int], dict[str, int]]
"""Numbers by website and kind, and by text."""


class Named:
    """The numbers that one batch asked for; whatever others make the process forget, it has them."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def of(self, website_id: int, kind: TermKind, text: str) -> int | None:
        """The number of a text; None for an empty one. Raises KeyError where it was not asked for."""
        return self._held[website_id, kind][text] if text else None


class Numbers:
    """The numbers that are known, by website and kind; the websites heard of last stay longest."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._known: Held = {}
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._count = 0
        self._versions: dict[int, int] = {}

    def __len__(self) -> int:
        return self._count

    def keep_to(self, website_id: int, version: int) -> None:
        """Forget the website's numbers, unless they are of its terms as of `version`."""
        if self._versions.get(website_id, 0) != version:
            self._forget(website_id)
            self._versions[website_id] = version

    def of_kinds(self, wanted: Iterable[tuple[int, int]]) -> Held:
        """What is known of some kinds of texts of websites, which are the last to be forgotten from now on."""
        for website_id, _ in wanted:
            if website_id in self._counts:
                self._counts.move_to_end(website_id)
        return {key: self._known.get(key) or {} for key in wanted}

    def learn(self, numbers: Mapping[Term, int]) -> None:
        """Take in numbers. What is too much is forgotten first, whole websites, the longest unheard of first."""
        most = settings().terms_cached if self._most is None else self._most
        while self._counts and self._count + len(numbers) > most:
            self._forget(next(iter(self._counts)))
        for (website_id, kind, text), number in numbers.items():
            known = self._known.setdefault((website_id, kind), {})
            if text not in known:
                # The same text is named on many websites, and comes as another object with each hit.
                known[sys.intern(text)] = number
                self._counts[website_id] = self._counts.get(website_id, 0) + 1
                self._count += 1

    def _forget(self, website_id: int) -> None:
        for kind in TermKind:
            self._known.pop((website_id, kind), None)
        self._count -= self._counts.pop(website_id, 0)


NUMBERS = Numbers()
"""What this process knows."""

_asking = asyncio.Lock()


async def number_terms(db: AsyncDriver, wanted: Mapping[tuple[int, TermKind], set[str]]) -> Named:
    """The numbers of the texts `wanted`, by website and kind; such as have none get one.

    `db` is the batch's transaction, which holds its position: terms are only ever deleted while no batch does, and the
    website's version of `terms` tells of it.

    New ones are written in a transaction of their own: a batch that is undone leaves a term that nothing names, which
    is harmless, where a number cached from an undone transaction would not be.
    """
    for website_id, version in await _versions(db, {website_id for website_id, _ in wanted}):
        NUMBERS.keep_to(website_id, version)
    held = NUMBERS.of_kinds(wanted)
    if _missing(wanted, held):
        # One after the other: agents that store side by side may miss the same texts.
        async with _asking:
            held = await _learn(wanted)
    return Named(held)


async def _learn(wanted: Mapping[tuple[int, TermKind], set[str]]) -> Held:
    held = NUMBERS.of_kinds(wanted)
    missing = _missing(wanted, held)
    if not missing:
        return held
    async with batch_transaction() as own:
        found = await _numbers_in(own, missing)
        new = [term for term in missing if term not in found]
        if new:
            await own.execute(
                "INSERT INTO terms (website_id, kind, text) "
                "SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[]) ON CONFLICT DO NOTHING",
                _columns(new),
            )
            found |= await _numbers_in(own, new)
    NUMBERS.learn(found)
    for (website_id, kind, text), number in found.items():
        held[website_id, kind][text] = number
    return held


def _missing(wanted: Mapping[tuple[int, TermKind], set[str]], held: Held) -> list[Term]:
    """The texts that have no number in `held`, in one order for every process: two never wait for each other."""
    return sorted(
        (website_id, kind, text)
        for (website_id, kind), texts in wanted.items()
        for text in texts
        if text and text not in held[website_id, kind]
    )


async def _versions(db: AsyncDriver, websites: set[int]) -> list[tuple[int, int]]:
    rows = await db.execute(
        "SELECT website_id, version FROM definition_versions WHERE kind = 'terms' AND website_id = ANY(%s::int[])",
        (numbers(sorted(websites)),),
    )
    return await rows.fetchall()


async def _numbers_in(db: AsyncDriver, terms: list[Term]) -> dict[Term, int]:
    rows = await db.execute(
        "SELECT id, t.website_id, t.kind, t.text FROM terms t "
        "JOIN unnest(%s::int[], %s::smallint[], %s::text[]) AS wanted (website_id, kind, text) "
        "ON t.website_id = wanted.website_id AND t.kind = wanted.kind AND t.digest = md5(wanted.text)::uuid",
        _columns(terms),
    )
    return {(website_id, kind, text): number async for number, website_id, kind, text in rows}


def _columns(terms: list[Term]) -> tuple[str, str, str]:
    return numbers(term[0] for term in terms), numbers(term[1] for term in terms), texts(term[2] for term in terms)
