"""The questions and orders that experiments are managed with. Every one names the website it is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.experiments.models import ExperimentRow, ExposureRow, VariantRow

_EXPERIMENT = ExperimentRow.__table__
_VARIANT = VariantRow.__table__


def _experiments_of(website_id: int) -> Select[Any]:
    return select(_EXPERIMENT).where(ExperimentRow.website_id == website_id)


async def experiments_of(
    db: AsyncConnection, website_id: int, *, after: int = 0, limit: int, status: str | None = None
) -> list[Row[Any]]:
    """The website's experiments with ids beyond `after`, by id."""
    query = _experiments_of(website_id).where(ExperimentRow.id > after).order_by(ExperimentRow.id).limit(limit)
    if status is not None:
        query = query.where(ExperimentRow.status == status)
    return list(await db.execute(query))


async def experiment_of(
    db: AsyncConnection, website_id: int, experiment_id: int, *, lock: bool = False
) -> Row[Any] | None:
    """The website's experiment of that id, None where it has none; with `lock` nobody else changes it meanwhile."""
    query = _experiments_of(website_id).where(ExperimentRow.id == experiment_id)
    if lock:
        query = query.with_for_update()
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def variants_of(db: AsyncConnection, experiment_ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """The variants of those experiments, by experiment and id."""
    query = select(_VARIANT).where(VariantRow.experiment_id.in_(experiment_ids)).order_by(VariantRow.id)
    found: dict[int, list[Row[Any]]] = {experiment_id: [] for experiment_id in experiment_ids}
    for row in await db.execute(query):
        found[row.experiment_id].append(row)
    return found


async def variant_page(db: AsyncConnection, experiment_id: int, *, after: int, limit: int) -> list[Row[Any]]:
    """The experiment's variants with ids beyond `after`, by id."""
    query = select(_VARIANT).where(VariantRow.experiment_id == experiment_id, VariantRow.id > after)
    return list(await db.execute(query.order_by(VariantRow.id).limit(limit)))


async def add_experiment(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> int:
    """Make an experiment; returns its id."""
    query = insert(ExperimentRow).values(website_id=website_id, **values).returning(ExperimentRow.id)
    return int((await db.execute(query)).scalar_one())


async def change_experiment(db: AsyncConnection, experiment_id: int, values: Mapping[str, Any]) -> None:
    """Change the named fields."""
    await db.execute(
        update(ExperimentRow).where(ExperimentRow.id == experiment_id).values(**values, updated_at=func.now())
    )


async def move_experiment(db: AsyncConnection, experiment_id: int, status: str, now: datetime) -> None:
    """Give the experiment another status, at `now`; how long it ran is added up."""
    ran = func.extract("epoch", now - ExperimentRow.running_since)
    values: dict[str, Any] = {"status": status, "updated_at": func.now()}
    if status == "running":
        values |= {"running_since": now, "started_at": func.coalesce(ExperimentRow.started_at, now)}
    else:
        values |= {"running_since": None, "ran_s": ExperimentRow.ran_s + func.coalesce(ran, 0)}
    if status == "stopped":
        values["stopped_at"] = now
    await db.execute(update(ExperimentRow).where(ExperimentRow.id == experiment_id).values(**values))


async def delete_experiment(db: AsyncConnection, website_id: int, experiment_id: int) -> bool:
    """Delete an experiment with its variants and exposures; returns whether there was one.

    The experiment first: exposures that are being stored hold its row until they are, and none come after it.
    """
    gone = await db.execute(
        delete(ExperimentRow).where(ExperimentRow.website_id == website_id, ExperimentRow.id == experiment_id)
    )
    if gone.rowcount:
        await db.execute(delete(ExposureRow).where(ExposureRow.experiment_id == experiment_id))
    return gone.rowcount > 0


async def add_variant(db: AsyncConnection, website_id: int, experiment_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Make a variant."""
    query = insert(VariantRow).values(website_id=website_id, experiment_id=experiment_id, **values)
    made: Row[Any] = (await db.execute(query.returning(_VARIANT))).one()
    return made


async def change_variant(
    db: AsyncConnection, experiment_id: int, variant_id: int, values: Mapping[str, Any]
) -> Row[Any] | None:
    """Change the named fields; returns the variant as it is then, None where the experiment has none of that id."""
    query = update(VariantRow).where(VariantRow.experiment_id == experiment_id, VariantRow.id == variant_id)
    found: Row[Any] | None = (
        await db.execute(query.values(**values, updated_at=func.now()).returning(_VARIANT))
    ).first()
    return found


async def delete_variant(db: AsyncConnection, experiment_id: int, variant_id: int) -> bool:
    """Delete a variant; returns whether there was one."""
    gone = await db.execute(
        delete(VariantRow).where(VariantRow.experiment_id == experiment_id, VariantRow.id == variant_id)
    )
    return gone.rowcount > 0
