"""How hits ended, over the whole service."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.stream.models import FailedRecordRow, LossRow, OutcomeRow


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many hits of a topic ended so, ever."""

    topic: str
    outcome: str
    hits: int


async def outcomes(db: AsyncConnection) -> list[Outcome]:
    """Every outcome of every topic, over all partitions."""
    total = func.sum(OutcomeRow.hits).label("hits")
    rows = await db.execute(
        select(OutcomeRow.topic, OutcomeRow.outcome, total).group_by(OutcomeRow.topic, OutcomeRow.outcome)
    )
    return [Outcome(row.topic, row.outcome, int(row.hits)) for row in rows]


async def failures_waiting(db: AsyncConnection) -> int:
    """How many failed records are neither replayed nor discarded."""
    return int((await db.execute(select(func.count()).where(FailedRecordRow.settled_at.is_(None)))).scalar_one())


async def losses(db: AsyncConnection) -> int:
    """How many stretches of records were gone when a worker came for them."""
    return int((await db.execute(select(func.count(LossRow.id)))).scalar_one())
