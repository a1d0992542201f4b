"""The question that keeps a process' copy of the funnels fresh, and what is noted of a website's funnels as a whole."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import AsyncDriver
from analytics_app.funnels.logic import HOUR_MS, Funnel, FunnelSet, Step
from analytics_app.funnels.models import FunnelRow, FunnelSetRow, FunnelStepRow


async def funnels_of_websites(
    db: AsyncConnection, website_ids: Iterable[int] | None = None
) -> Mapping[int, tuple[FunnelSet, ...]]:
    """The funnels of those websites (None: of all) as one `FunnelSet` each; of a website without steps none."""
    sets = select(FunnelSetRow.__table__)
    query = (
        select(
            FunnelRow.website_id,
            FunnelRow.id,
            FunnelRow.revision,
            FunnelRow.is_strict,
            FunnelRow.window_hours,
            FunnelStepRow.id.label("step_id"),
            FunnelStepRow.match_type,
            FunnelStepRow.match_value,
            FunnelStepRow.is_optional,
        )
        .join(FunnelStepRow, FunnelStepRow.funnel_id == FunnelRow.id)
        .order_by(FunnelRow.website_id, FunnelRow.id, FunnelStepRow.position)
    )
    if website_ids is not None:
        wanted = list(website_ids)
        sets = sets.where(FunnelSetRow.website_id.in_(wanted))
        query = query.where(FunnelRow.website_id.in_(wanted))
    steps: dict[tuple[int, int, int, bool, int], list[Step]] = {}
    for row in await db.execute(query):
        key = (row.website_id, row.id, row.revision, row.is_strict, row.window_hours)
        steps.setdefault(key, []).append(Step(row.step_id, row.match_type, row.match_value, row.is_optional))
    funnels: dict[int, list[Funnel]] = {}
    for (website_id, funnel_id, revision, is_strict, window_hours), taken in steps.items():
        made = Funnel(funnel_id, revision, is_strict, window_hours * HOUR_MS, tuple(taken))
        funnels.setdefault(website_id, []).append(made)
    return {
        row.website_id: (
            FunnelSet(
                row.website_id,
                row.version,
                funnels[row.website_id],
                since=row.since_version,
                is_settled=row.settled_version >= row.since_version,
            ),
        )
        for row in await db.execute(sets)
        if row.website_id in funnels
    }


async def settle(db: AsyncDriver, website_id: int, version: int) -> None:
    """Note that what is stored has been gone through under `version` of the website's funnels."""
    await db.execute(
        "UPDATE funnel_sets SET settled_version = %s WHERE website_id = %s AND settled_version < %s",
        (version, website_id, version),
    )
