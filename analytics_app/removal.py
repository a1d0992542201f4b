"""The one way in which sessions leave the numbers again: by a verdict, an erasure, or their age.

Everything derived from sessions or visitors follows in the same transaction; each capability hangs its part in here.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from analytics_app.backfills.store import hold_back
from analytics_app.bots import store as bots
from analytics_app.db import AsyncDriver
from analytics_app.experiments import exposures_store
from analytics_app.funnels.rebuild_store import take_out as take_out_of_funnels
from analytics_app.gdpr.erasing_store import erasures_of
from analytics_app.gdpr.logic import left_out, nameless
from analytics_app.goals.writes_store import remove_conversions
from analytics_app.heatmaps import removing_store as samples
from analytics_app.replays import store as replays
from analytics_app.sessions import removal_store
from analytics_app.sessions.removal_store import Removed
from analytics_app.stats import sealing_store

Derived = Callable[[AsyncDriver, int, Sequence[int], Sequence[int]], Awaitable[None]]
"""Takes out what a capability derived: given the website, the ids of its sessions that are gone, and whose they were.

The sessions' and events' rows are gone by then; the visitors, given by number, may have other sessions left, and their
rows in `visitors` are still there.
"""

DERIVED: tuple[Derived, ...] = (
    hold_back,
    remove_conversions,
    take_out_of_funnels,
    exposures_store.take_out,
)
"""Conversions, funnels, exposures: in the order in which they are taken out."""

OfSessions = Callable[[AsyncDriver, int, Mapping[str, str]], Awaitable[None]]
"""Takes out what was recorded of sessions: given the website and, by the sessions' keys, whose they were (hashes)."""

CAPTURED: tuple[OfSessions, ...] = (samples.remove_sessions, replays.remove_sessions)
"""What a verdict takes out beside `DERIVED`. By age, samples and recordings go by rules of their own; an erasure asks
for the visitor's (`analytics_app.subjects`)."""

LeftOut = Callable[[AsyncDriver, Sequence[Any]], Awaitable[Mapping[int, str]]]
"""Says, in a batch's transaction, which of its hits are left out: by their place in it, why (`bot`, `erased`).

Samples and chunks are asked about like hits: whatever names a website, a visitor and a time.
"""


LEFT_OUT: tuple[LeftOut, ...] = (bots.leave_out_condemned, replays.leave_out_deleted)
"""What was decided while hits were on their way. A reason is counted among the outcomes as `ignored_<reason>`."""


async def remove(db: AsyncDriver, website_id: int, session_ids: Collection[int]) -> Removed:
    """Take sessions of a website out of every number, in the transaction of `db`; once more changes nothing.

    A verdict or an erasure holds the website alone first (`removal_store.hold_alone`), notes what it decided where a
    function of `LEFT_OUT` finds it, and only then asks which sessions there are: nothing slips between.
    """
    removed = await removal_store.remove_sessions(db, website_id, session_ids)
    if removed.session_ids:
        await sealing_store.unseal(db, {website_id: removed.parts})
        for take_out in DERIVED:
            await take_out(db, website_id, removed.session_ids, removed.visitors)
    return removed


async def remove_recorded(db: AsyncDriver, website_id: int, sessions: Mapping[str, str]) -> None:
    """Take out what was sampled and recorded of sessions, given as `CAPTURED` takes them; the website is held alone."""
    if sessions:
        for take_out in CAPTURED:
            await take_out(db, website_id, sessions)


async def admitted(db: AsyncDriver, hits: Sequence[Any]) -> tuple[Sequence[Any], dict[str, int]]:
    """The hits of a batch that may count, and how many of the others were left out for which reason.

    What an anonymised visitor sent before that counts as somebody else's. Their websites are held to the end of the
    transaction.
    """
    websites = {hit.website_id for hit in hits}
    await removal_store.hold(db, websites)
    erasures = await erasures_of(db, websites) if hits else []
    reasons: dict[str, int] = {}

    def without(left: Mapping[int, str]) -> Sequence[Any]:
        for reason in left.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        return [hit for place, hit in enumerate(hits) if place not in left] if left else hits

    # One after the other: what was erased is not even noted as a bot's.
    hits = without(left_out(hits, erasures))
    hits = nameless(hits, erasures, _nobody)
    for ask in LEFT_OUT:
        hits = without(await ask(db, hits) if hits else {})
    return hits, reasons


def _nobody() -> str:
    return uuid4().hex
