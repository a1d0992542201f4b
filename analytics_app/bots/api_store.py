"""SQL of the API of bots: rules, and what was detected. Every question names the website it is asked for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, any_, case, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.bots.logic import Action
from analytics_app.bots.models import BotDetectionRow, BotRuleRow, BotSightingRow, BotVerdictRow

MOST_RULES = 1000
TOP = 20

_RULE = BotRuleRow.__table__
_FOUND = BotDetectionRow.__table__


# Rules.


async def rules_of(
    db: AsyncConnection,
    website_id: int,
    *,
    after: int,
    limit: int,
    rule_type: str | None = None,
    match_type: str | None = None,
) -> list[Row[Any]]:
    """The website's rules with ids beyond `after`, by id."""
    query = select(_RULE).where(_RULE.c.website_id == website_id, _RULE.c.id > after).order_by(_RULE.c.id).limit(limit)
    if rule_type:
        query = query.where(_RULE.c.rule_type == rule_type)
    if match_type:
        query = query.where(_RULE.c.match_type == match_type)
    return list(await db.execute(query))


async def rule_of(db: AsyncConnection, website_id: int, rule_id: int, *, lock: bool = False) -> Row[Any] | None:
    """The website's rule of that id; None where it has none."""
    query = select(_RULE).where(_RULE.c.website_id == website_id, _RULE.c.id == rule_id)
    found: Row[Any] | None = (await db.execute(query.with_for_update() if lock else query)).first()
    return found


async def add_rule(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> Row[Any] | None:
    """Make a rule; None where the website has as many as it may."""
    held = await db.execute(select(func.count()).select_from(_RULE).where(_RULE.c.website_id == website_id))
    if held.scalar_one() >= MOST_RULES:
        return None
    made: Row[Any] = (
        await db.execute(insert(BotRuleRow).values(website_id=website_id, **values).returning(_RULE))
    ).one()
    return made


async def change_rule(db: AsyncConnection, rule_id: int, values: Mapping[str, Any]) -> Row[Any]:
    """Change the named fields of a rule that there is."""
    query = update(BotRuleRow).where(_RULE.c.id == rule_id).values(**values, updated_at=func.now()).returning(_RULE)
    changed: Row[Any] = (await db.execute(query)).one()
    return changed


async def delete_rule(db: AsyncConnection, website_id: int, rule_id: int) -> bool:
    """Delete a rule; returns whether there was one."""
    return (
        await db.execute(delete(BotRuleRow).where(_RULE.c.website_id == website_id, _RULE.c.id == rule_id))
    ).rowcount > 0


# What was detected.


class Blocked(NamedTuple):
    """What was kept out of the numbers, in requests."""

    requests: int
    types: dict[str, int]
    bots: dict[str, int]


async def blocked(db: AsyncConnection, website_id: int, start: datetime, end: datetime) -> Blocked:
    """What was kept out of the numbers in `[start, end)`: in all, by type, and the most frequent names."""
    requests = func.sum(_FOUND.c.pageviews + _FOUND.c.events)
    rows = (
        await db.execute(
            select(_FOUND.c.type, _FOUND.c.name, requests.label("requests"))
            .where(
                _FOUND.c.website_id == website_id,
                _FOUND.c.at >= start,
                _FOUND.c.at < end,
                _FOUND.c.action != int(Action.LOGGED),
            )
            .group_by(_FOUND.c.type, _FOUND.c.name)
        )
    ).all()
    types: dict[str, int] = {}
    bots: dict[str, int] = {}
    for row in rows:
        types[row.type] = types.get(row.type, 0) + int(row.requests)
        if row.name:
            bots[row.name] = bots.get(row.name, 0) + int(row.requests)
    top = dict(sorted(bots.items(), key=lambda one: (-one[1], one[0]))[:TOP])
    return Blocked(sum(types.values()), dict(sorted(types.items(), key=lambda one: (-one[1], one[0]))), top)


async def detections_of(
    db: AsyncConnection,
    website_id: int,
    start: datetime,
    end: datetime,
    *,
    limit: int,
    before: tuple[datetime, int] | None = None,
    wanted: Mapping[str, Any] | None = None,
) -> list[Row[Any]]:
    """Detections in `[start, end)`, the latest first, those before a place; `wanted` narrows them by their fields."""
    given = wanted or {}
    query = (
        select(
            _FOUND,
            case((_FOUND.c.visitor.is_(None), None), else_=func.encode(func.uuid_send(_FOUND.c.visitor), "hex")).label(
                "visitor_hash"
            ),
        )
        .where(_FOUND.c.website_id == website_id, _FOUND.c.at >= start, _FOUND.c.at < end)
        .order_by(_FOUND.c.at.desc(), _FOUND.c.id.desc())
        .limit(limit)
    )
    for column in ("action", "type", "name", "visitor"):
        if given.get(column):
            query = query.where(_FOUND.c[column] == given[column])
    if given.get("reason"):
        query = query.where(any_(_FOUND.c.reasons) == given["reason"])
    if given.get("min_score"):
        query = query.where(_FOUND.c.score >= given["min_score"])
    if before is not None:
        query = query.where(tuple_(_FOUND.c.at, _FOUND.c.id) < before)
    return list(await db.execute(query))


# What is forgotten.


async def forget_detections(db: AsyncConnection, before: datetime, most: int) -> int:
    """Delete up to `most` detections of hits from before `before`; returns how many."""
    old = select(_FOUND.c.id).where(_FOUND.c.at < before).limit(most)
    return (await db.execute(delete(BotDetectionRow).where(_FOUND.c.id.in_(old)))).rowcount


async def forget_verdicts(db: AsyncConnection, before: datetime) -> int:
    """Delete the verdicts from before `before`: the hashes they are about are made no more."""
    return (await db.execute(delete(BotVerdictRow).where(BotVerdictRow.decided_at < before))).rowcount


async def forget_website(db: AsyncConnection, website_id: int) -> None:
    """Delete what is held of a website."""
    for row in (BotRuleRow, BotDetectionRow, BotVerdictRow, BotSightingRow):
        await db.execute(delete(row).where(row.website_id == website_id))
