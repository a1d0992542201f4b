"""The questions and orders that funnels are managed with. Every one names the website it is asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.funnels.logic import HOUR_MS, Funnel, Step
from analytics_app.funnels.models import FunnelRow, FunnelStepRow

_FUNNEL = FunnelRow.__table__
_STEP = FunnelStepRow.__table__


async def funnels_of(db: AsyncConnection, website_id: int, *, after: int = 0, limit: int) -> list[Row[Any]]:
    """The website's funnels with ids beyond `after`, by id."""
    query = select(_FUNNEL).where(FunnelRow.website_id == website_id, FunnelRow.id > after)
    return list(await db.execute(query.order_by(FunnelRow.id).limit(limit)))


async def funnel_of(
    db: AsyncConnection, website_id: int, funnel_id: int, *, to_change: bool = False
) -> Row[Any] | None:
    """The website's funnel of that id; None where it has none. `to_change`: locked to the end of the transaction."""
    query = select(_FUNNEL).where(FunnelRow.website_id == website_id, FunnelRow.id == funnel_id)
    found: Row[Any] | None = (await db.execute(query.with_for_update() if to_change else query)).first()
    return found


async def number_of_funnels(db: AsyncConnection, website_id: int) -> int:
    """How many funnels the website has."""
    query = select(func.count()).select_from(_FUNNEL).where(FunnelRow.website_id == website_id)
    return int((await db.execute(query)).scalar_one())


async def steps_of(db: AsyncConnection, funnel_ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """The steps of those funnels in order, by funnel."""
    found: dict[int, list[Row[Any]]] = {funnel_id: [] for funnel_id in funnel_ids}
    query = select(_STEP).where(FunnelStepRow.funnel_id.in_(list(funnel_ids)))
    for row in await db.execute(query.order_by(FunnelStepRow.funnel_id, FunnelStepRow.position)):
        found[row.funnel_id].append(row)
    return found


def counted(row: Row[Any], steps: Sequence[Row[Any]]) -> Funnel:
    """A funnel and its steps as they are counted."""
    taken = tuple(Step(step.id, step.match_type, step.match_value, step.is_optional) for step in steps)
    return Funnel(row.id, row.revision, row.is_strict, row.window_hours * HOUR_MS, taken)


async def add_funnel(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> int:
    """Make a funnel without steps; returns its id."""
    query = insert(FunnelRow).values(website_id=website_id, **values).returning(FunnelRow.id)
    return int((await db.execute(query)).scalar_one())


async def change_funnel(db: AsyncConnection, funnel_id: int, values: Mapping[str, Any]) -> None:
    """Change the named fields."""
    await db.execute(update(FunnelRow).where(FunnelRow.id == funnel_id).values(**values, updated_at=func.now()))


async def delete_funnel(db: AsyncConnection, website_id: int, funnel_id: int) -> bool:
    """Delete a funnel with its steps; returns whether there was such a one. Its attempts are removed by a backfill."""
    query = delete(FunnelRow).where(FunnelRow.website_id == website_id, FunnelRow.id == funnel_id)
    return (await db.execute(query)).rowcount > 0


async def put_steps(db: AsyncConnection, funnel_id: int, steps: Sequence[Mapping[str, Any]]) -> None:
    """Make `steps`, in that order, all that the funnel has. One with the `id` of a step it has stays that step."""
    kept = [step["id"] for step in steps if step.get("id") is not None]
    await db.execute(delete(FunnelStepRow).where(FunnelStepRow.funnel_id == funnel_id, FunnelStepRow.id.not_in(kept)))
    for position, step in enumerate(steps, 1):
        values = {name: value for name, value in step.items() if name != "id"} | {"position": position}
        if step.get("id") is None:
            await db.execute(insert(FunnelStepRow).values(funnel_id=funnel_id, **values))
        else:
            query = update(FunnelStepRow).where(FunnelStepRow.funnel_id == funnel_id, FunnelStepRow.id == step["id"])
            await db.execute(query.values(**values))
    await change_funnel(db, funnel_id, {})
