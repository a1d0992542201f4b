"""SQL of what rules are tried on."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import numbers
from analytics_app.bots.models import BotAgentRow, BotSightingRow
from analytics_app.bots.sightings import Sighting, Sought
from analytics_app.db import AsyncDriver


class Tried(NamedTuple):
    """What a rule would have matched."""

    requests: int
    senders: int
    matched_requests: int
    matched_senders: int


async def add(db: AsyncDriver, sightings: Sequence[Sighting], agents: Mapping[tuple[date, int], list[int]]) -> None:
    """Add to what was seen in each hour, and note the user agents."""
    async with db.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO bot_agents (day, agent, grams) VALUES (%s, %s, %s::int[]) ON CONFLICT DO NOTHING",
            [(day, agent, numbers(grams)) for (day, agent), grams in sorted(agents.items())],
        )
        await cursor.executemany(
            "INSERT INTO bot_sightings AS s (website_id, hour, source, agent, prefixes, requests) "
            "VALUES (%s, %s, %s, %s, %s::bigint[], %s) "
            "ON CONFLICT (website_id, hour, source) DO UPDATE SET requests = s.requests + excluded.requests",
            [
                (one.website_id, one.hour, one.source, one.agent, numbers(one.prefixes), one.requests)
                for one in sorted(sightings)
            ],
        )


async def tried(db: AsyncConnection, website_id: int, since: datetime, wanted: Sequence[Sought]) -> Tried:
    """What a rule, sought under every salt in `wanted`, would have matched since then."""
    prefixes = [prefix for one in wanted for prefix in one.prefixes]
    given: dict[str, object] = {"website_id": website_id, "since": since, "prefixes": prefixes}
    hits = "prefixes && CAST(:prefixes AS bigint[])"
    if not prefixes:
        for place, one in enumerate(wanted):
            given[f"grams{place}"] = one.grams
        holds = " OR ".join(f"grams @> CAST(:grams{place} AS int[])" for place in range(len(wanted)))
        hits = f"agent IN (SELECT agent FROM bot_agents WHERE {holds})"
        del given["prefixes"]
    row = (
        await db.execute(
            text(
                "SELECT coalesce(sum(requests), 0) AS requests, count(DISTINCT source) AS senders, "
                f"coalesce(sum(requests) FILTER (WHERE {hits}), 0) AS matched_requests, "
                f"count(DISTINCT source) FILTER (WHERE {hits}) AS matched_senders "
                "FROM bot_sightings WHERE website_id = :website_id AND hour >= :since"
            ),
            given,
        )
    ).one()
    return Tried(*(int(value) for value in row))


async def forget(db: AsyncConnection, before: datetime) -> None:
    """Forget what was seen before."""
    await db.execute(delete(BotSightingRow).where(BotSightingRow.hour < before))
    await db.execute(delete(BotAgentRow).where(BotAgentRow.day < before.date()))
