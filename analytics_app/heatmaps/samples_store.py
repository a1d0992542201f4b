"""SQL of what was sampled and what it adds up to: written in the transaction of a batch, or taken out again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from analytics_app.arrays import binaries, hexes, numbers
from analytics_app.db import AsyncDriver
from analytics_app.heatmaps import grids
from analytics_app.heatmaps.logic import (
    DAY_MS,
    Bins,
    Folded,
    Frame,
    Key,
    Points,
    Reach,
    Visit,
    bins_of,
    deeper,
    viewport_of,
)
from analytics_app.records import Samples

EPOCH = date(1970, 1, 1)
SIZES = "viewport_width, viewport_height, page_width, page_height"
FRAME = f"website_id, page, at, visitor, session_key, device, {SIZES}"
"""The columns of a frame, in its order."""
POINTS = f"{FRAME}, kinds, xs, ys, selectors"
REACH = f"{FRAME}, y"


def instant(at_ms: int) -> datetime:
    """Milliseconds since 1970 as Postgres takes them."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def day_of(day: int) -> date:
    """A day numbered since 1970 as Postgres takes it."""
    return EPOCH + timedelta(days=day)


def millis(at: datetime) -> int:
    """A time of Postgres' as milliseconds since 1970."""
    return round(at.timestamp() * 1000)


async def repeated(db: AsyncDriver, lots: Sequence[Samples]) -> set[int]:
    """Claim the clients' own ids of `lots`; returns the places of those that were stored before, or come twice."""
    first: dict[tuple[int, str], int] = {}
    repeats = set()
    for place, lot in enumerate(lots):
        if lot.client_id is not None and first.setdefault((lot.website_id, lot.client_id), place) != place:
            repeats.add(place)
    if not first:
        return repeats
    claims = sorted(first)
    rows = await db.execute(
        "INSERT INTO client_ids (website_id, id, event_id) "
        "SELECT w, i, 0 FROM unnest(%s::int[], %s::uuid[]) AS n (w, i) "
        "ON CONFLICT DO NOTHING RETURNING website_id, id",
        (numbers(website_id for website_id, _ in claims), hexes(client_id for _, client_id in claims)),
    )
    won = {(website_id, client_id.hex) async for website_id, client_id in rows}
    return repeats | {first[claim] for claim in claims if claim not in won}


async def write(db: AsyncDriver, folded: Folded) -> set[Key]:
    """Write what samples come to: rows, reaches, and what both add up to; returns the keys whose counts changed."""
    pages = sorted({(frame.website_id, frame.page) for frame in folded.points} | {v[:2] for v in folded.reaches})
    await db.execute(
        "INSERT INTO heatmap_pages (website_id, page) SELECT * FROM unnest(%s::int[], %s::int[]) "
        "ON CONFLICT DO NOTHING",
        (numbers(website_id for website_id, _ in pages), numbers(page for _, page in pages)),
    )
    await _add_points(db, folded.points)
    before = await _stored_reaches(db, folded.reaches)
    after = deeper(folded.reaches, before)
    await _save_reaches(db, after)
    gone = [before[visit] for visit in after if visit in before]
    bins = bins_of(folded.points.items(), gone, after.values())
    await add_bins(db, bins)
    return set(bins)


async def _add_points(db: AsyncDriver, points: Mapping[Frame, Points]) -> None:
    if not points:
        return
    async with (
        db.cursor() as cursor,
        cursor.copy(f"COPY heatmap_samples ({POINTS}, viewport) FROM STDIN") as copy,
    ):
        for frame, row in points.items():
            of_frame = (frame.website_id, frame.page, instant(frame.at_ms), *frame[3:])
            lists = (row.kinds, row.xs, row.ys, row.selectors)
            await copy.write_row((*of_frame, *lists, int(viewport_of(frame.viewport_width))))


async def _stored_reaches(db: AsyncDriver, visits: Collection[Visit]) -> dict[Visit, Reach]:
    """The reaches of those visits that are stored, locked."""
    if not visits:
        return {}
    rows = await db.execute(
        f"SELECT session_key, r.viewport, day, {REACH} FROM heatmap_reaches r "
        "JOIN unnest(%s::int[], %s::int[], %s::uuid[], %s::smallint[], %s::timestamptz[]) AS n (w, p, s, v, d) "
        "ON website_id = w AND page = p AND session_key = s AND r.viewport = v AND day = d "
        "ORDER BY website_id, page, session_key, r.viewport, day FOR UPDATE OF r",
        _columns(sorted(visits)),
    )
    return {
        Visit(row[0], row[1], session_key.hex, viewport, millis(day) // DAY_MS): read_reach(row)
        async for session_key, viewport, day, *row in rows
    }


async def _save_reaches(db: AsyncDriver, reaches: Mapping[Visit, Reach]) -> None:
    if not reaches:
        return
    visits = sorted(reaches)
    frames = [reaches[visit].frame for visit in visits]
    await db.execute(
        "INSERT INTO heatmap_reaches (website_id, page, session_key, viewport, day, at, visitor, device, y, "
        f"{SIZES}) SELECT * FROM unnest(%s::int[], %s::int[], %s::uuid[], %s::smallint[], %s::timestamptz[], "
        "%s::timestamptz[], %s::uuid[], %s::text[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[]) "
        "ON CONFLICT (website_id, page, session_key, viewport, day) DO UPDATE SET y = excluded.y, "
        "viewport_width = excluded.viewport_width, viewport_height = excluded.viewport_height, "
        "page_width = excluded.page_width, page_height = excluded.page_height",
        (
            *_columns(visits),
            [instant(frame.at_ms) for frame in frames],
            hexes(frame.visitor for frame in frames),
            [frame.device for frame in frames],
            numbers(reaches[visit].y for visit in visits),
            *(numbers(getattr(frame, size) for frame in frames) for size in SIZES.split(", ")),
        ),
    )


def read_points(row: Sequence[Any]) -> tuple[Frame, Points]:
    """A row of `POINTS` as the logic has it."""
    *frame, kinds, xs, ys, selectors = row
    return read_frame(frame), Points(kinds, xs, ys, selectors)


def read_reach(row: Sequence[Any]) -> Reach:
    """A row of `REACH` as the logic has it."""
    *frame, y = row
    return Reach(read_frame(frame), y)


def read_frame(row: Sequence[Any]) -> Frame:
    """A row of `FRAME` as the logic has it."""
    website_id, page, at, visitor, session_key, device, *sizes = row
    return Frame(website_id, page, millis(at), visitor.hex, session_key.hex if session_key else "", device, *sizes)


def _columns(visits: Sequence[Visit]) -> tuple[Any, ...]:
    return (
        numbers(visit.website_id for visit in visits),
        numbers(visit.page for visit in visits),
        hexes(visit.session_key for visit in visits),
        numbers(visit.viewport for visit in visits),
        [instant(visit.day * DAY_MS) for visit in visits],
    )


def read_key(row: Sequence[Any]) -> Key:
    """The key of a row of counts, its columns in the key's order."""
    website_id, page, kind, viewport, device, day = row
    return Key(website_id, page, kind, viewport, device, (day - EPOCH).days)


async def add_bins(db: AsyncDriver, bins: Bins) -> None:
    """Add parts to what pages count for."""
    if not bins:
        return
    keys = sorted(bins)
    packed = [grids.pack(bins[key]) for key in keys]
    await db.execute(
        "INSERT INTO heatmap_bins (website_id, page, kind, viewport, device, day, total, cells, counts) "
        "SELECT * FROM unnest(%s::int[], %s::int[], %s::smallint[], %s::smallint[], %s::text[], %s::date[], "
        "%s::bigint[], %s::bytea[], %s::bytea[])",
        (
            numbers(key.website_id for key in keys),
            numbers(key.page for key in keys),
            numbers(key.kind for key in keys),
            numbers(key.viewport for key in keys),
            [key.device for key in keys],
            [day_of(key.day) for key in keys],
            numbers(sum(bins[key].values()) for key in keys),
            binaries(cells for cells, _ in packed),
            binaries(counts for _, counts in packed),
        ),
    )


async def merge(db: AsyncDriver, key: Key) -> None:
    """Put the parts of a key into one."""
    rows = await db.execute(
        "DELETE FROM heatmap_bins WHERE website_id = %s AND page = %s AND kind = %s AND viewport = %s AND device = %s "
        "AND day = %s RETURNING cells, counts",
        (*key[:5], day_of(key.day)),
    )
    grid = grids.unite([(cells, counts) async for cells, counts in rows])
    if len(grid.cells):
        await db.execute(
            "INSERT INTO heatmap_bins (website_id, page, kind, viewport, device, day, total, cells, counts) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (*key[:5], day_of(key.day), grid.total, *grids.packed(grid)),
        )


async def in_parts(db: AsyncDriver, more_than: int, most: int) -> list[Key]:
    """Up to `most` keys whose counts are in more than so many parts."""
    rows = await db.execute(
        "SELECT website_id, page, kind, viewport, device, day FROM heatmap_bins "
        "GROUP BY website_id, page, kind, viewport, device, day HAVING count(*) > %s LIMIT %s",
        (more_than, most),
    )
    return [read_key(row) async for row in rows]
