"""The questions about stored recordings, and the orders that take them away. Every one names its website."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, cast, delete, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import Time, driver_of
from analytics_app.replays.logic import recording_key
from analytics_app.replays.models import ReplayChunkRow, ReplayRow, ReplayTombstoneRow
from analytics_app.sessions.removal_store import hold_alone

FOR_EVER = cast(literal("infinity", Text), Time)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings are asked for; None stands for any."""

    since: datetime | None = None
    until: datetime | None = None
    min_ms: int | None = None
    max_ms: int | None = None
    min_pages: int | None = None
    max_pages: int | None = None
    min_clicks: int | None = None
    max_clicks: int | None = None
    page: str | None = None
    rage_clicks: bool | None = None
    errors: bool | None = None
    visitor: str | None = None
    equal: tuple[tuple[str, str], ...] = ()
    """Columns, and what each must be."""


async def replays_of(
    db: AsyncConnection, website_id: int, wanted: Wanted, *, after: tuple[datetime, int] | None, limit: int
) -> Sequence[Row[Any]]:
    """The website's recordings that fit, the newest first, from behind `after` (start, id)."""
    row = ReplayRow
    query = select(row.__table__).where(row.website_id == website_id, row.chunks > 0, *_fitting(wanted))
    if after is not None:
        query = query.where(text("(started_at, id) < (:after_at, :after_id)")).params(
            after_at=after[0], after_id=after[1]
        )
    return (await db.execute(query.order_by(row.started_at.desc(), row.id.desc()).limit(limit))).all()


def _fitting(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    row = ReplayRow
    if wanted.until is not None:
        yield row.started_at < wanted.until
    ranges: tuple[tuple[Any, Any, Any], ...] = (
        (row.started_at, wanted.since, None),
        (row.duration_ms, wanted.min_ms, wanted.max_ms),
        (func.cardinality(row.pages), wanted.min_pages, wanted.max_pages),
        (row.clicks, wanted.min_clicks, wanted.max_clicks),
    )
    for measured, least, most in ranges:
        if least is not None:
            yield measured >= least
        if most is not None:
            yield measured <= most
    for counted, some in ((row.rage_clicks, wanted.rage_clicks), (row.errors, wanted.errors)):
        if some is not None:
            yield counted > 0 if some else counted == 0
    if wanted.visitor is not None:
        yield row.visitor == uuid.UUID(wanted.visitor)
    for column, value in wanted.equal:
        yield getattr(row, column) == value
    if wanted.page is not None:
        path = func.unnest(row.pages).column_valued("path")
        fits = path.like(_like(wanted.page)) if "*" in wanted.page else path == wanted.page
        yield select(path).where(fits).exists()


def _like(pattern: str) -> str:
    for letter in "\\%_":
        pattern = pattern.replace(letter, f"\\{letter}")
    return pattern.replace("*", "%")


async def replay_of(db: AsyncConnection, website_id: int, replay_id: int) -> Row[Any] | None:
    """The website's recording of that id."""
    query = select(ReplayRow.__table__).where(
        ReplayRow.website_id == website_id, ReplayRow.id == replay_id, ReplayRow.chunks > 0
    )
    return (await db.execute(query)).first()


async def times_of(db: AsyncConnection, replay_id: int) -> list[tuple[int, int, int]]:
    """Sequence, first and last millisecond of each of its chunks."""
    row = ReplayChunkRow
    query = select(row.sequence, row.first_ms, row.last_ms).where(row.replay_id == replay_id).order_by(row.sequence)
    return [(one.sequence, one.first_ms, one.last_ms) for one in await db.execute(query)]


async def first_snapshot(db: AsyncConnection, replay_id: int) -> int | None:
    """The first chunk that a player can begin with."""
    row = ReplayChunkRow
    query = select(func.min(row.sequence)).where(row.replay_id == replay_id, row.has_snapshot)
    found: int | None = (await db.execute(query)).scalar()
    return found


async def chunks_from(db: AsyncConnection, replay_id: int, sequence: int, most: int) -> list[Any]:
    """Up to `most` of its chunks from that number on: sequence, sanitiser, data."""
    row = ReplayChunkRow
    query = select(row.sequence, row.sanitiser, row.data).where(row.replay_id == replay_id, row.sequence >= sequence)
    return list(await db.execute(query.order_by(row.sequence).limit(most)))


async def stopped_since(db: AsyncConnection, since: datetime) -> list[tuple[int, str, str]]:
    """What is not recorded any more since then: website, `recording_key`, and why."""
    row = ReplayRow
    rows = await db.execute(
        select(row.website_id, row.session_key, row.tab, row.stopped).where(row.stopped_at >= since)
    )
    buried = await db.execute(
        select(ReplayTombstoneRow.website_id, ReplayTombstoneRow.key).where(
            ReplayTombstoneRow.created_at >= since, ReplayTombstoneRow.before == FOR_EVER
        )
    )
    return [
        *((one.website_id, recording_key(one.session_key.hex, one.tab.hex), one.stopped) for one in rows),
        *((one.website_id, one.key.hex, "deleted") for one in buried),
    ]


async def delete_replay(db: AsyncConnection, website_id: int, replay_id: int) -> bool:
    """Take a recording away, and whatever of it is still on its way; False where there is none."""
    await hold_alone(await driver_of(db), website_id)
    gone = await db.execute(
        delete(ReplayRow)
        .where(ReplayRow.website_id == website_id, ReplayRow.id == replay_id, ReplayRow.chunks > 0)
        .returning(ReplayRow.session_key, ReplayRow.tab)
    )
    keys = [uuid.UUID(recording_key(one.session_key.hex, one.tab.hex)) for one in gone]
    for key in keys:
        await db.execute(
            upsert(ReplayTombstoneRow)
            .values(website_id=website_id, key=key, before=FOR_EVER)
            .on_conflict_do_update(
                index_elements=["website_id", "key"], set_={"before": FOR_EVER, "created_at": func.now()}
            )
        )
    return bool(keys)


# What jobs take away.


async def remove_old(db: AsyncConnection, website_id: int, before: datetime | None, most: int) -> int:
    """Delete up to `most` of a website's recordings that ended before `before` (None: any); returns how many."""
    query = select(ReplayRow.id).where(ReplayRow.website_id == website_id)
    if before is not None:
        query = query.where(ReplayRow.started_at < before, ReplayRow.updated_at < before)
    gone = await db.execute(delete(ReplayRow).where(ReplayRow.id.in_(query.order_by(ReplayRow.id).limit(most))))
    return gone.rowcount


async def forget_tombstones(db: AsyncConnection, before: datetime) -> None:
    """Delete what reminds of deletions so long ago that nothing can be on its way any more."""
    await db.execute(delete(ReplayTombstoneRow).where(ReplayTombstoneRow.created_at < before))


TOMBSTONES_KEPT = timedelta(days=8)
"""Longer than any topic keeps a chunk, any session lasts and any failed chunk waits to be tried again."""
