"""The questions and orders that goals are managed with."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.goals.goal import Goal
from analytics_app.goals.logic import GoalSet
from analytics_app.goals.models import GoalRow

_GOAL = GoalRow.__table__
DECIDES = ("type", "match_type", "match_value", "count")
"""What decides which sessions convert: a change of it makes a new revision."""


def goal_in(row: Any) -> Goal:
    """The goal that a row says."""
    return Goal(row.id, row.revision, row.type, row.match_value, row.match_type, row.count == "every")


async def goals_by_website(
    db: AsyncConnection, website_ids: Iterable[int] | None = None
) -> dict[int, tuple[GoalSet, ...]]:
    """The enabled goals of those websites (None: all), by website, as one set each."""
    query = select(_GOAL).where(GoalRow.is_enabled).order_by(GoalRow.website_id, GoalRow.id)
    if website_ids is not None:
        query = query.where(GoalRow.website_id.in_(list(website_ids)))
    found: dict[int, list[Goal]] = {}
    for row in await db.execute(query):
        found.setdefault(row.website_id, []).append(goal_in(row))
    return {website_id: (GoalSet(goals),) for website_id, goals in found.items()}


async def goals_of(db: AsyncConnection, website_id: int, *, after: int, limit: int) -> list[Row[Any]]:
    """The website's goals with ids beyond `after`, by id."""
    query = select(_GOAL).where(GoalRow.website_id == website_id, GoalRow.id > after).order_by(GoalRow.id)
    return list(await db.execute(query.limit(limit)))


async def goal_of(db: AsyncConnection, website_id: int, goal_id: int, *, lock: bool = False) -> Row[Any] | None:
    """The website's goal of that id, locked to be changed if asked for; None where it has none."""
    query = select(_GOAL).where(GoalRow.website_id == website_id, GoalRow.id == goal_id)
    return (await db.execute(query.with_for_update() if lock else query)).first()


async def number_of_goals(db: AsyncConnection, website_id: int) -> int:
    """How many goals the website has."""
    return int((await db.execute(select(func.count()).where(GoalRow.website_id == website_id))).scalar_one())


async def add_goal(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Make a goal."""
    values = _exact(values)
    made: Row[Any] = (await db.execute(insert(GoalRow).values(website_id=website_id, **values).returning(_GOAL))).one()
    return made


async def change_goal(db: AsyncConnection, before: Row[Any], values: Mapping[str, Any]) -> Row[Any]:
    """Change a goal, locked before, to `values`."""
    values = _exact(values)
    decides = any(getattr(before, name) != values[name] for name in DECIDES)
    query = update(GoalRow).where(GoalRow.id == before.id)
    query = query.values(**values, revision=before.revision + decides, updated_at=func.now())
    changed: Row[Any] = (await db.execute(query.returning(_GOAL))).one()
    return changed


def _exact(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the money as it was written: as a float, Postgres would round it to 15 digits."""
    worth = values.get("value")
    return {**values, "value": None if worth is None else Decimal(str(worth))} if "value" in values else {**values}


async def delete_goal(db: AsyncConnection, goal_id: int) -> None:
    """Delete a goal; its conversions are nobody's from then on, and are removed by its last backfill."""
    await db.execute(delete(GoalRow).where(GoalRow.id == goal_id))


async def delete_goals_of(db: AsyncConnection, website_id: int) -> None:
    """Delete the goals of a website."""
    await db.execute(delete(GoalRow).where(GoalRow.website_id == website_id))
