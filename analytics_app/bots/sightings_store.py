"""SQL of what rules are tried on."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.arrays import instants, numbers, texts
from analytics_app.bots.models import BotAgentRow, BotSightingRow
from analytics_app.bots.sightings import Sighting, Sought
from analytics_app.db import AsyncDriver

ADDED_AT_ONCE = 1000
"""Rows of a statement: to write them down takes the web process a few milliseconds, for which hits wait."""


class Tried(NamedTuple):
    """What a rule would have matched."""

    requests: int
    senders: int
    matched_requests: int
    matched_senders: int


async def add(db: AsyncDriver, sightings: Sequence[Sighting], agents: Mapping[tuple[date, int], list[int]]) -> None:
    """Add to what was seen in each hour, and note the user agents."""
    days = sorted(agents.items())
    await db.execute(
        "INSERT INTO bot_agents (day, agent, grams) "
        "SELECT d, a, g::int[] FROM unnest(%s::date[], %s::bigint[], %s::text[]) AS n (d, a, g) ON CONFLICT DO NOTHING",
        (
            texts(day.isoformat() for (day, _), _ in days),
            numbers(agent for (_, agent), _ in days),
            texts(numbers(grams) for _, grams in days),
        ),
    )
    # In the order of their keys, as every process does: none can wait for one that waits for it.
    rows = sorted(sightings)
    for start in range(0, len(rows), ADDED_AT_ONCE):
        await _add(db, rows[start : start + ADDED_AT_ONCE])


async def _add(db: AsyncDriver, rows: Sequence[Sighting]) -> None:
    await db.execute(
        "INSERT INTO bot_sightings AS s (website_id, hour, source, agent, prefixes, requests) "
        "SELECT w, h, o, a, p::bigint[], r "
        "FROM unnest(%s::int[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::text[], %s::int[]) "
        "AS n (w, h, o, a, p, r) "
        "ON CONFLICT (website_id, hour, source) DO UPDATE SET requests = s.requests + excluded.requests",
        (
            numbers(one.website_id for one in rows),
            instants(one.hour for one in rows),
            numbers(one.source for one in rows),
            numbers(one.agent for one in rows),
            texts(numbers(one.prefixes) for one in rows),
            numbers(one.requests for one in rows),
        ),
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
