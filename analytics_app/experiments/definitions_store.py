"""The questions that keep a process' copy of the experiments fresh."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.experiments.logic import Experiment, Status, Variant
from analytics_app.experiments.models import ExperimentRow, VariantRow


async def experiments(
    db: AsyncConnection, website_ids: Iterable[int] | None = None
) -> dict[int, tuple[Experiment, ...]]:
    """The experiments of those websites (None: of all) with their variants, by website."""
    wanted = select(ExperimentRow.__table__).order_by(ExperimentRow.id)
    parts = select(VariantRow.__table__).order_by(VariantRow.id)
    if website_ids is not None:
        ids = list(website_ids)
        wanted, parts = wanted.where(ExperimentRow.website_id.in_(ids)), parts.where(VariantRow.website_id.in_(ids))
    variants: defaultdict[int, list[Variant]] = defaultdict(list)
    for row in await db.execute(parts):
        variants[row.experiment_id].append(Variant(row.id, row.name, row.is_control, row.weight, row.config))
    found: defaultdict[int, list[Experiment]] = defaultdict(list)
    for row in await db.execute(wanted):
        found[row.website_id].append(
            Experiment(row.id, row.website_id, Status(row.status), row.traffic_percentage, tuple(variants[row.id]))
        )
    return {website_id: tuple(of_website) for website_id, of_website in found.items()}


async def website_of(db: AsyncConnection, experiment_id: int) -> int | None:
    """The website whose experiment that is; None where there is no such experiment."""
    query = select(ExperimentRow.website_id).where(ExperimentRow.id == experiment_id)
    return (await db.execute(query)).scalar()
