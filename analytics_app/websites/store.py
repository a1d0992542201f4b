"""The questions and orders that websites are managed with. Every one names the workspace it is asked for."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.websites.models import PixelKeyRow, WebsiteRow, WorkspaceRow

_WEBSITE = WebsiteRow.__table__
_CURRENT_KEY = (
    select(PixelKeyRow.key)
    .where(PixelKeyRow.website_id == WebsiteRow.id, PixelKeyRow.expires_at.is_(None))
    .order_by(PixelKeyRow.created_at.desc())
    .limit(1)
    .scalar_subquery()
    .label("pixel_key")
)


def _websites_of(workspace_id: int) -> Select[Any]:
    return select(_WEBSITE, _CURRENT_KEY).where(
        WebsiteRow.workspace_id == workspace_id, WebsiteRow.deleted_at.is_(None)
    )


async def websites_of(
    db: AsyncConnection,
    workspace_id: int,
    *,
    after: int = 0,
    limit: int,
    channel_type: str | None = None,
    ids: frozenset[int] | None = None,
) -> list[Row[Any]]:
    """The workspace's websites with ids beyond `after`, by id; only those of `ids` where that is given."""
    query = _websites_of(workspace_id).where(WebsiteRow.id > after).order_by(WebsiteRow.id).limit(limit)
    if channel_type is not None:
        query = query.where(WebsiteRow.channel_type == channel_type)
    if ids is not None:
        query = query.where(WebsiteRow.id.in_(sorted(ids)))
    return list(await db.execute(query))


async def website_of(db: AsyncConnection, workspace_id: int, website_id: int) -> Row[Any] | None:
    """The workspace's website of that id; None where it has none."""
    found: Row[Any] | None = (await db.execute(_websites_of(workspace_id).where(WebsiteRow.id == website_id))).first()
    return found


async def add_website(db: AsyncConnection, workspace_id: int, values: Mapping[str, Any], key: uuid.UUID) -> int:
    """Make a website with its first pixel key; returns its id."""
    query = insert(WebsiteRow).values(workspace_id=workspace_id, **values).returning(WebsiteRow.id)
    website_id = int((await db.execute(query)).scalar_one())
    await db.execute(insert(PixelKeyRow).values(key=key, website_id=website_id))
    return website_id


async def change_website(db: AsyncConnection, workspace_id: int, website_id: int, values: Mapping[str, Any]) -> bool:
    """Change the named fields; returns whether there is such a website."""
    changed = await db.execute(
        update(WebsiteRow)
        .where(WebsiteRow.workspace_id == workspace_id, WebsiteRow.id == website_id, WebsiteRow.deleted_at.is_(None))
        .values(**values, updated_at=func.now())
    )
    return changed.rowcount > 0


async def delete_website(db: AsyncConnection, workspace_id: int, website_id: int, now: datetime) -> bool:
    """Take the website out of sight: a job removes what it held. Returns whether there was such a website."""
    return await change_website(db, workspace_id, website_id, {"deleted_at": now})


async def replace_pixel_key(
    db: AsyncConnection, website_id: int, key: uuid.UUID, now: datetime, grace: timedelta
) -> tuple[uuid.UUID, datetime] | None:
    """Make `key` the website's current one; returns the one before it and when that expires.

    A key that was replaced earlier keeps its own end. Two of these at once wait for one another.
    """
    await db.execute(select(WebsiteRow.id).where(WebsiteRow.id == website_id).with_for_update())
    ended = await db.execute(
        update(PixelKeyRow)
        .where(PixelKeyRow.website_id == website_id, PixelKeyRow.expires_at.is_(None))
        .values(expires_at=now + grace)
        .returning(PixelKeyRow.key, PixelKeyRow.expires_at, PixelKeyRow.created_at)
    )
    before = max(ended, key=lambda row: row.created_at, default=None)
    await db.execute(insert(PixelKeyRow).values(key=key, website_id=website_id, created_at=now))
    return None if before is None else (before.key, before.expires_at)


async def give_pixel_key(db: AsyncConnection, website_id: int, key: uuid.UUID) -> uuid.UUID:
    """Make `key` a key of the website; returns it."""
    await db.execute(insert(PixelKeyRow).values(key=key, website_id=website_id))
    return key


async def covers_websites(db: AsyncConnection, workspace_id: int, ids: list[int]) -> set[int]:
    """Those of `ids` that are websites of the workspace."""
    query = select(WebsiteRow.id).where(
        WebsiteRow.workspace_id == workspace_id, WebsiteRow.id.in_(ids), WebsiteRow.deleted_at.is_(None)
    )
    return set((await db.execute(query)).scalars())


async def workspaces(db: AsyncConnection) -> list[Row[Any]]:
    """Every workspace, by id, with the number of its websites."""
    websites = (
        select(func.count())
        .where(WebsiteRow.workspace_id == WorkspaceRow.id, WebsiteRow.deleted_at.is_(None))
        .scalar_subquery()
        .label("websites")
    )
    return list(await db.execute(select(WorkspaceRow.__table__, websites).order_by(WorkspaceRow.id)))


async def workspace_id_of(db: AsyncConnection, name: str) -> int | None:
    """The id of the workspace of that name; None where there is none."""
    found: int | None = (await db.execute(select(WorkspaceRow.id).where(WorkspaceRow.name == name))).scalar()
    return found


async def ensure_workspace(db: AsyncConnection, name: str) -> int:
    """The id of the workspace of that name, made where there is none."""
    await db.execute(upsert(WorkspaceRow).values(name=name).on_conflict_do_nothing(index_elements=[WorkspaceRow.name]))
    return int((await db.execute(select(WorkspaceRow.id).where(WorkspaceRow.name == name))).scalar_one())


async def alone(db: AsyncConnection, what: str) -> None:
    """Wait until no other transaction does `what`, and keep it so to the end of this one."""
    await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


async def add_workspace(db: AsyncConnection, name: str) -> int:
    """Make a workspace; returns its id. The caller has made sure that the name is free."""
    return int((await db.execute(insert(WorkspaceRow).values(name=name).returning(WorkspaceRow.id))).scalar_one())
