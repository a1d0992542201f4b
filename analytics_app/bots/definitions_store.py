"""What every process holds of bots: the rules of each website, and the verdicts about its senders."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.bots.behaviour import Condemned
from analytics_app.bots.models import BotRuleRow, BotVerdictRow
from analytics_app.bots.rules import MatchType, Rule, RuleSet, RuleType


async def rules(db: AsyncConnection, website_ids: Iterable[int] | None) -> dict[int, tuple[Any, ...]]:
    """The rules of those websites (None: of all), each as a tuple of one `RuleSet`."""
    query = select(BotRuleRow.__table__).order_by(BotRuleRow.id)
    if website_ids is not None:
        query = query.where(BotRuleRow.website_id.in_(list(website_ids)))
    found: dict[int, list[Rule]] = {}
    for row in await db.execute(query):
        rule = Rule(row.id, RuleType(row.rule_type), MatchType(row.match_type), row.match_value)
        found.setdefault(row.website_id, []).append(rule)
    return {website_id: (RuleSet(of_website),) for website_id, of_website in found.items()}


async def verdicts(db: AsyncConnection, website_ids: Iterable[int] | None) -> dict[int, tuple[Any, ...]]:
    """The verdicts of the last day about senders, each website's as a tuple of one dictionary by source."""
    query = select(BotVerdictRow.__table__).where(BotVerdictRow.decided_at >= func.now() - text("interval '1 day'"))
    if website_ids is not None:
        query = query.where(BotVerdictRow.website_id.in_(list(website_ids)))
    found: dict[int, dict[str, Condemned]] = {}
    for row in await db.execute(query):
        found.setdefault(row.website_id, {})[row.source] = Condemned(
            row.reason, round(row.decided_at.timestamp() * 1000), round(row.holds_until.timestamp() * 1000)
        )
    return {website_id: (of_website,) for website_id, of_website in found.items()}
