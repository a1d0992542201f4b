"""The numbers of texts: a bounded cache in front of the table `terms`."""

from collections.abc import Iterable

from analytics_app.db import AsyncDriver, batch_transaction
from analytics_app.sessions.kinds import TermKind

Term = tuple[int, int, str]
"""Website, kind (`TermKind`), text."""

CACHED = 200_000

_numbers: dict[Term, int] = {}


async def number_terms(terms: Iterable[Term]) -> None:
    """See to it that each of `terms` has a number, which `number_of` then gives.

    New ones are written in a transaction of their own: a batch that is undone leaves a term that nothing names, which
    is harmless, where a number cached from an undone transaction would not be.
    """
    missing = sorted({term for term in terms if term not in _numbers})
    if not missing:
        return
    if len(_numbers) + len(missing) > CACHED:
        _numbers.clear()
        missing = sorted(set(terms))
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
    _numbers.update(found)


def number_of(website_id: int, kind: TermKind, text: str) -> int | None:
    """The number of a term that `number_terms` was given; None for an empty text."""
    return _numbers[website_id, kind, text] if text else None


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
