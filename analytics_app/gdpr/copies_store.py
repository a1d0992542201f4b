"""SQL of what workers' tables hold copies of: which of them are no row's any more."""

from collections.abc import Mapping

from analytics_app.arrays import hexes, numbers
from analytics_app.db import AsyncDriver

Copies = Mapping[str, int]
"""Copies of rows, each by its key with the version of the row that it is a copy of."""


async def stale_sessions(db: AsyncDriver, copies: Copies) -> list[str]:
    """The keys of those copies of session states whose row has changed since, or is gone."""
    query = "SELECT replace(key::text, '-', ''), version FROM session_states WHERE key = ANY(%s::uuid[])"
    return await _stale(db, query, copies, hexes(copies))


async def stale_progress(db: AsyncDriver, copies: Copies) -> list[str]:
    """The keys of those copies of visitors' progress through funnels whose row has changed since, or is gone."""
    query = "SELECT visitor::text, version FROM funnel_progress WHERE visitor = ANY(%s::bigint[])"
    return await _stale(db, query, copies, numbers(map(int, copies)))


async def _stale(db: AsyncDriver, query: str, copies: Copies, keys: object) -> list[str]:
    rows = await db.execute(query, (keys,))
    versions: dict[str, int] = dict(await rows.fetchall())
    return [key for key, version in copies.items() if versions.get(key) != version]
