"""Visitors' funnels made again from what is stored: for funnels that changed, and for sessions that were taken out."""

from collections.abc import Collection, Mapping, Sequence

from analytics_app import clock
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.funnels import progress_store as store
from analytics_app.funnels.logic import FunnelSet
from analytics_app.funnels.progress import Progress, Seen, all_runs, horizon, known_now, rebuilt
from analytics_app.sessions.state import Held


async def rebuild(
    db: AsyncDriver, website_id: int, visitors: Collection[int], *, now_ms: int, gone: Collection[int] = ()
) -> dict[str, Held]:
    """Count the funnels of those visitors again, in the transaction of `db`.

    `gone`: sessions that this transaction takes out, their rows deleted already: nothing of them counts, whatever of
    them is still under way. Returns the states as a table may hold them after the commit; nobody else need care. For a
    website without funnels it is one question.
    """
    await DEFINITIONS.bring_up_to_date(db, [website_id])
    funnels = funnels_of(website_id)
    if not visitors or funnels is None:
        return {}
    await store.remember_gone(db, gone)
    states = await store.open_states(db, dict.fromkeys(visitors, website_id), {})
    return await rebuild_states(db, funnels, states, now_ms=now_ms)


async def take_out(db: AsyncDriver, website_id: int, session_ids: Sequence[int], visitors: Sequence[int]) -> None:
    """Take out what funnels made of sessions that are removed: see `analytics_app.removal`."""
    await rebuild(db, website_id, visitors, now_ms=clock.now_ms(), gone=session_ids)


def funnels_of(website_id: int) -> FunnelSet | None:
    """The funnels of a website by this process' copy; None where it has none with steps."""
    found: tuple[FunnelSet, ...] = DEFINITIONS.of("funnels", website_id)
    return found[0] if found else None


async def rebuild_states(
    db: AsyncDriver,
    funnels: FunnelSet,
    states: Mapping[int, Progress],
    *,
    now_ms: int,
    told: Mapping[int, Sequence[Seen]] | None = None,
) -> dict[str, Held]:
    """The same of visitors whose states are locked. `told`: events, by visitor, that were told of just now."""
    new = told or {}
    stored = await store.stored_events(db, funnels.website_id, states.keys())
    coming = {visitor: (*held.seen, *new.get(visitor, ())) for visitor, held in states.items()}
    gone = await store.gone_among(db, {seen.session_id for some in coming.values() for seen in some})
    kept: dict[int, tuple[int, Progress]] = {}
    attempts: list[store.Attempt] = []
    for visitor, some in coming.items():
        seen = known_now(stored[visitor], {one.id: one for one in some}.values(), gone, now_ms)
        state = rebuilt(funnels, seen, horizon(now_ms, new.get(visitor, ())))
        if state.seen:
            kept[visitor] = funnels.website_id, state
        found = all_runs(funnels, seen)
        attempts += (
            (visitor, funnel.id, funnel.revision, run) for funnel in funnels.funnels for run in found[funnel.id]
        )
    await store.remove_runs_but(db, states.keys(), attempts)
    await store.put_runs(db, attempts)
    await store.remove_states(db, states.keys() - kept.keys())
    return await store.save_states(db, {funnels.website_id: funnels}, kept)
