"""SQL that takes samples out again, with all they counted for: of a visitor, of sessions, of old days, of a website."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from analytics_app.arrays import hexes
from analytics_app.db import AsyncDriver
from analytics_app.heatmaps.logic import DAY_MS, bins_of, negated
from analytics_app.heatmaps.samples_store import POINTS, REACH, add_bins, millis, read_points, read_reach

_TABLES = ("heatmap_samples", "heatmap_reaches", "heatmap_bins", "heatmap_pages")


async def remove_visitor(db: AsyncDriver, website_id: int, visitor: str) -> int:
    """Delete what was sampled of a visitor (its hash), and take it out of every count; returns how many rows.

    The website is held alone: pages that nobody else was on are forgotten.
    """
    return await _remove(db, website_id, "visitor = %s::uuid", visitor)


async def remove_sessions(db: AsyncDriver, website_id: int, sessions: Mapping[str, str]) -> None:
    """The same of sessions: by key, whose they were. A part of `analytics_app.removal`."""
    keys = sorted(sessions)
    of_sessions = "(visitor, session_key) IN (SELECT * FROM unnest(%s::uuid[], %s::uuid[]))"
    await _remove(db, website_id, of_sessions, hexes(sessions[key] for key in keys), hexes(keys))


async def _remove(db: AsyncDriver, website_id: int, which: str, *given: Any) -> int:
    where = f"WHERE website_id = %s AND {which}"
    rows = await db.execute(f"DELETE FROM heatmap_samples {where} RETURNING {POINTS}", (website_id, *given))
    samples = [read_points(row) async for row in rows]
    rows = await db.execute(f"DELETE FROM heatmap_reaches {where} RETURNING {REACH}", (website_id, *given))
    reaches = [read_reach(row) async for row in rows]
    await add_bins(db, negated(bins_of(samples, (), reaches)))
    pages = {frame.page for frame, _ in samples} | {reach.frame.page for reach in reaches}
    rows = await db.execute(
        "DELETE FROM heatmap_pages p WHERE website_id = %s AND page = ANY(%s::int[]) AND NOT EXISTS "
        "(SELECT FROM heatmap_samples s WHERE s.website_id = p.website_id AND s.page = p.page) AND NOT EXISTS "
        "(SELECT FROM heatmap_reaches r WHERE r.website_id = p.website_id AND r.page = p.page) RETURNING page",
        (website_id, sorted(pages)),
    )
    left = [page async for (page,) in rows]
    await db.execute("DELETE FROM heatmap_bins WHERE website_id = %s AND page = ANY(%s::int[])", (website_id, left))
    return len(samples) + len(reaches)


async def retentions(db: AsyncDriver) -> dict[int, int | None]:
    """By website that has samples, the days they are kept; None where the setting decides."""
    rows = await db.execute(
        "SELECT id, heatmaps_retention_days FROM websites w WHERE EXISTS "
        "(SELECT FROM heatmap_pages p WHERE p.website_id = w.id)"
    )
    return {website_id: days async for website_id, days in rows}


async def remove_days(db: AsyncDriver, website_id: int, before: datetime, most: int) -> int:
    """Delete up to `most` rows of each kind from before a midnight, in UTC, and what they counted for.

    Returns how many rows of samples are gone: where that is fewer than `most`, none is left.
    """
    assert millis(before) % DAY_MS == 0
    given = {"website_id": website_id, "before": before, "most": most}
    rows = await db.execute(
        "DELETE FROM heatmap_samples WHERE (id, at) IN (SELECT id, at FROM heatmap_samples "
        f"WHERE website_id = %(website_id)s AND at < %(before)s LIMIT %(most)s) RETURNING {POINTS}",
        given,
    )
    samples = [read_points(row) async for row in rows]
    rows = await db.execute(
        "DELETE FROM heatmap_reaches WHERE (page, session_key, viewport, day) IN (SELECT page, session_key, viewport, "
        "day FROM heatmap_reaches WHERE website_id = %(website_id)s AND day < %(before)s LIMIT %(most)s) "
        f"AND website_id = %(website_id)s RETURNING {REACH}",
        given,
    )
    reaches = [read_reach(row) async for row in rows]
    if len(samples) < most and len(reaches) < most:  # the last of them: the counts of those days go whole
        await db.execute("DELETE FROM heatmap_bins WHERE website_id = %(website_id)s AND day < %(before)s", given)
    else:
        await add_bins(db, negated(bins_of(samples, (), reaches)))
    return max(len(samples), len(reaches))


async def remove_website(db: AsyncDriver, website_id: int) -> None:
    """Delete all that was sampled of a website."""
    for table in _TABLES:
        await db.execute(f"DELETE FROM {table} WHERE website_id = %s", (website_id,))
