"""One step of a funnel's backfill: some of the website's visitors, whose funnels are all made again.

A state holds what all funnels of its website want, so it is made again for all of them at once; of several backfills
of a website the one of the funnel that changed last goes through everything for the others, too, which come after it
and find it done.
"""

from collections.abc import Sequence
from typing import Any

from analytics_app import clock
from analytics_app.backfills.logic import Backfill, Step
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.funnels.definitions_store import settle
from analytics_app.funnels.logic import FunnelSet
from analytics_app.funnels.progress_store import open_states, stored_events, visitors_after
from analytics_app.funnels.rebuild_store import funnels_of, rebuild_states

VISITORS_AT_ONCE = 500
RUNS_AT_ONCE = 5_000


async def take_step(db: AsyncDriver, job: Backfill) -> Step:
    """Make the funnels of the next visitors again; at the end, or of a funnel that is gone, remove what is left."""
    await DEFINITIONS.bring_up_to_date(db, [job.website_id])
    found = await _row(db, "SELECT revision, set_version FROM funnels WHERE id = %s", job.definition_id)
    if found is None:
        removed = await _remove_runs(db, job.definition_id, revision=0)
        return Step(0, removed) if removed == RUNS_AT_ONCE else Step(None, removed, forget=True)
    revision, set_version = found
    funnels = funnels_of(job.website_id)
    after: int = job.cursor or 0
    visitors: Sequence[int] = ()
    if funnels is not None and not funnels.is_settled and after != _ONLY_REMOVING:
        visitors = await visitors_after(db, job.website_id, after, VISITORS_AT_ONCE)
        await _make_again(db, funnels, visitors)
        if len(visitors) == VISITORS_AT_ONCE:
            total = None if after else await _visitors(db, job.website_id)
            return Step(visitors[-1], len(visitors), total)
    if await _remove_runs(db, job.definition_id, revision) == RUNS_AT_ONCE:
        return Step(_ONLY_REMOVING, len(visitors))
    await settle(db, job.website_id, set_version)
    return Step(None, len(visitors), job.done + len(visitors))


_ONLY_REMOVING = -1
"""The cursor of a backfill that has been through all visitors."""


async def _make_again(db: AsyncDriver, funnels: FunnelSet, visitors: Sequence[int]) -> None:
    """Make the funnels of those of the visitors again who have an event that matters to one."""
    wanted = {
        visitor: funnels.website_id
        for visitor, seen in (await stored_events(db, funnels.website_id, visitors)).items()
        if any(funnels.wants(one.kind, one.text) for one in seen)
    }
    # Read again once they are locked: sessions may have been taken out meanwhile.
    await rebuild_states(db, funnels, await open_states(db, wanted, {}), now_ms=clock.now_ms())


async def _visitors(db: AsyncDriver, website_id: int) -> int:
    found = await _row(db, "SELECT count(*) FROM visitors WHERE website_id = %s", website_id)
    return int(found[0]) if found else 0


async def _row(db: AsyncDriver, query: str, *given: Any) -> tuple[Any, ...] | None:
    return await (await db.execute(query, given)).fetchone()


async def _remove_runs(db: AsyncDriver, funnel_id: int, revision: int) -> int:
    """Delete attempts of another revision of the funnel, not too many at once; returns how many."""
    rows = await db.execute(
        "DELETE FROM funnel_runs WHERE (visitor, funnel_id, event_id) IN (SELECT visitor, funnel_id, event_id "
        "FROM funnel_runs WHERE funnel_id = %s AND revision <> %s ORDER BY visitor LIMIT %s)",
        (funnel_id, revision, RUNS_AT_ONCE),
    )
    return rows.rowcount
