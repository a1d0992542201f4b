"""SQL of dropping months: which there are, what counts their rows, and their end."""

from collections.abc import Sequence
from datetime import datetime

from analytics_app.db import AsyncDriver

LOCK_WITHIN = "2s"
"""Whoever waits to take a partition away holds up everybody behind: not for long, and again at the next run."""


async def tables_of(db: AsyncDriver, parent: str) -> dict[str, bool]:
    """The tables that are named as months of `parent`, and whether each is a partition of it still."""
    rows = await db.execute(
        "SELECT relname, relispartition FROM pg_class WHERE relkind = 'r' AND relname ~ %s ORDER BY relname",
        (f"^{parent}_[0-9]{{4}}_[0-9]{{2}}$",),
    )
    return {name: attached async for name, attached in rows}


async def websites_in(db: AsyncDriver, table: str) -> list[int]:
    """The websites of which there are rows in a month."""
    rows = await db.execute(f"SELECT DISTINCT website_id FROM {table} ORDER BY 1")
    return [website_id async for (website_id,) in rows]


async def sessions_near(db: AsyncDriver, website_id: int, end: datetime, most: int) -> list[int]:
    """The ids of up to `most` sessions that began before `end` and were under way within two days before it, or later.

    A session id's state may hold them beside ones that began after it.
    """
    rows = await db.execute(
        "SELECT id FROM sessions WHERE website_id = %(website_id)s AND started_at < %(end)s "
        "AND started_at >= %(end)s - interval '74 hours' AND last_at >= %(end)s - interval '49 hours' LIMIT %(most)s",
        {"website_id": website_id, "end": end, "most": most},
    )
    return [session_id async for (session_id,) in rows]


async def take_off(db: AsyncDriver, start: datetime, end: datetime, names: Sequence[tuple[str, str]]) -> None:
    """Take partitions, given as (table, partition), off their tables, with rollups and states of the time between."""
    await db.execute("DELETE FROM session_states WHERE last_at < %s", (end,))
    await db.execute("DELETE FROM traffic_rollups WHERE bucket >= %s AND bucket < %s", (start, end))
    await db.execute(f"SET LOCAL lock_timeout = '{LOCK_WITHIN}'")
    for table, name in names:
        await db.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")


async def piece_of(db: AsyncDriver, name: str, after: int, most: int) -> list[tuple[int, int, int]]:
    """Up to `most` sessions of a month with ids beyond `after`, as (id, website, visitor)."""
    query = f"SELECT id, website_id, visitor FROM {name} WHERE id > %s ORDER BY id LIMIT %s"
    rows = await db.execute(query, (after, most))
    return await rows.fetchall()


async def drop(db: AsyncDriver, names: Sequence[str]) -> None:
    """Drop tables that are nobody's partitions any more."""
    for name in names:
        await db.execute(f"DROP TABLE IF EXISTS {name}")


async def drop_samples(db: AsyncDriver, name: str, end: datetime) -> None:
    """Drop a month of heatmaps' samples, which ends at `end`, and what was counted up to then."""
    await db.execute("DELETE FROM heatmap_bins WHERE day < %s", (end.date(),))
    await db.execute(f"SET LOCAL lock_timeout = '{LOCK_WITHIN}'")
    await drop(db, [name])
