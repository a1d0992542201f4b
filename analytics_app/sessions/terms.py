"""The numbers of texts: a bounded cache in front of the table `terms`."""

from collections import defaultdict
from collections.abc import Iterable

from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.sessions.kinds import TermKind

Term = tuple[int, int, str]
"""Website, kind (`TermKind`), text."""

CACHED = 200_000


class Numbers:
    """The numbers that are known, by website and kind."""

    def __init__(self) -> None:
        self._known: defaultdict[tuple[int, int], dict[str, int]] = defaultdict(dict)
        self._count = 0

    def of(self, website_id: int, kind: TermKind, text: str) -> int | None:
        """The number of a text; None for an empty one. Raises KeyError where it is not known."""
        return self._known[website_id, kind][text] if text else None

    def unknown(self, website_id: int, kind: TermKind, texts: Iterable[str]) -> set[Term]:
        """Those of `texts` whose number is not known, as terms."""
        known = self._known[website_id, kind]
        return {(website_id, kind, text) for text in texts if text and text not in known}

    def learn(self, numbers: dict[Term, int]) -> None:
        """Take in numbers."""
        for (website_id, kind, text), number in numbers.items():
            self._known[website_id, kind][text] = number
        self._count += len(numbers)

    def make_room(self, coming: int) -> bool:
        """Forget everything where `coming` more would be too many; returns whether that was so."""
        if self._count + coming <= CACHED:
            return False
        self._known.clear()
        self._count = 0
        return True


NUMBERS = Numbers()
"""What this process knows."""


async def number_terms(wanted: dict[tuple[int, TermKind], set[str]]) -> None:
    """See to it that the texts `wanted`, by website and kind, have numbers, which `NUMBERS.of` then gives.

    New ones are written in a transaction of their own: a batch that is undone leaves a term that nothing names, which
    is harmless, where a number cached from an undone transaction would not be.
    """
    missing = _unknown(wanted)
    if not missing:
        return
    if NUMBERS.make_room(len(missing)):
        missing = _unknown(wanted)
    async with batch_transaction() as db:
        found = await _numbers_in(db, missing)
        new = [term for term in missing if term not in found]
        if new:
            await db.execute(
                "INSERT INTO terms (website_id, kind, text) "
                "SELECT * FROM unnest(%s::int[], %s::smallint[], %s::text[]) ON CONFLICT DO NOTHING",
                _columns(new),
            )
            found |= await _numbers_in(db, new)
    NUMBERS.learn(found)


def _unknown(wanted: dict[tuple[int, TermKind], set[str]]) -> list[Term]:
    """The terms without a known number, in one order for every process: two never wait for each other."""
    unknown: set[Term] = set()
    for (website_id, kind), texts in wanted.items():
        unknown |= NUMBERS.unknown(website_id, kind, texts)
    return sorted(unknown)


async def _numbers_in(db: AsyncDriver, terms: list[Term]) -> dict[Term, int]:
    rows = await db.execute(
        "SELECT id, t.website_id, t.kind, t.text FROM terms t "
        "JOIN unnest(%s::int[], %s::smallint[], %s::text[]) AS wanted (website_id, kind, text) "
        "ON t.website_id = wanted.website_id AND t.kind = wanted.kind AND t.digest = md5(wanted.text)::uuid",
        _columns(terms),
    )
    return {(website_id, kind, text): number async for number, website_id, kind, text in rows}


def _columns(terms: list[Term]) -> tuple[list[int], list[int], list[str]]:
    return [term[0] for term in terms], [int(term[1]) for term in terms], [term[2] for term in terms]
