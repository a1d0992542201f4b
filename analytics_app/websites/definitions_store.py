"""The questions that keep a process' copy of the definitions fresh."""

import secrets
import uuid
from collections.abc import Iterable
from datetime import date

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.backfills.models import DefinitionVersionRow
from analytics_app.sessions.models import VisitorSaltRow
from analytics_app.websites.logic import PixelKey, Token, Website
from analytics_app.websites.models import PixelKeyRow, TokenRow, WebsiteRow


async def websites(db: AsyncConnection, ids: Iterable[int] | None = None) -> list[Website]:
    """The websites of `ids` that are not deleted; all of them for None."""
    query = select(WebsiteRow.__table__).where(WebsiteRow.deleted_at.is_(None))
    if ids is not None:
        query = query.where(WebsiteRow.id.in_(list(ids)))
    return [
        Website(
            id=row.id,
            workspace_id=row.workspace_id,
            host=row.host,
            tracking_type=row.tracking_type,
            tracking_enabled=row.tracking_enabled,
            is_enabled=row.is_enabled,
            honour_dnt=row.honour_dnt,
            require_consent=row.require_consent,
            session_timeout_s=row.session_timeout_s,
            allowed_hosts=tuple(row.allowed_hosts),
            timezone=row.timezone,
            replay_sampling=row.replay_sampling,
            replay_max_s=row.replay_max_s,
        )
        for row in await db.execute(query)
    ]


async def pixel_keys(
    db: AsyncConnection, website_ids: Iterable[int] | None = None, key: uuid.UUID | None = None
) -> list[PixelKey]:
    """The keys of those websites, or the one that reads `key`; all keys for neither."""
    query = (
        select(PixelKeyRow.key, PixelKeyRow.website_id, PixelKeyRow.expires_at)
        .join(WebsiteRow, WebsiteRow.id == PixelKeyRow.website_id)
        .where(WebsiteRow.deleted_at.is_(None))
    )
    if website_ids is not None:
        query = query.where(PixelKeyRow.website_id.in_(list(website_ids)))
    if key is not None:
        query = query.where(PixelKeyRow.key == key)
    return [PixelKey(str(row.key), row.website_id, row.expires_at) for row in await db.execute(query)]


async def tokens(
    db: AsyncConnection, ids: Iterable[int] | None = None, hash_: bytes | None = None
) -> dict[bytes, Token]:
    """The tokens of `ids`, or the one with that hash, by hash; all that are not revoked for neither."""
    query = select(TokenRow.__table__).where(TokenRow.revoked_at.is_(None))
    if ids is not None:
        query = query.where(TokenRow.id.in_(list(ids)))
    if hash_ is not None:
        query = query.where(TokenRow.hash == hash_)
    return {
        row.hash: Token(
            id=row.id,
            workspace_id=row.workspace_id,
            name=row.name,
            scopes=frozenset(row.scopes),
            website_ids=None if row.website_ids is None else frozenset(row.website_ids),
            expires_at=row.expires_at,
        )
        for row in await db.execute(query)
    }


async def versions(db: AsyncConnection, website_ids: Iterable[int] | None = None) -> dict[tuple[str, int], int]:
    """How often what those websites (None: all) define has changed, by kind and website.

    Read before what it is the version of: a copy may then be newer than it says, and is read once too often, never
    older.
    """
    query = select(DefinitionVersionRow.__table__)
    if website_ids is not None:
        query = query.where(DefinitionVersionRow.website_id.in_(list(website_ids)))
    return {(row.kind, row.website_id): row.version for row in await db.execute(query)}


async def salts(db: AsyncConnection, days: Iterable[date]) -> dict[date, bytes]:
    """The salts of `days`, made where they are missing: the first process to ask decides for all."""
    wanted = list(days)
    await db.execute(
        insert(VisitorSaltRow).on_conflict_do_nothing(),
        [{"day": day, "salt": secrets.token_bytes(32)} for day in wanted],
    )
    rows = await db.execute(select(VisitorSaltRow.day, VisitorSaltRow.salt).where(VisitorSaltRow.day.in_(wanted)))
    return {row.day: row.salt for row in rows}


async def forget_salts(db: AsyncConnection, before: date) -> int:
    """Delete the salts of days before `before`; returns how many: nobody can compute those ids any more."""
    return (await db.execute(delete(VisitorSaltRow).where(VisitorSaltRow.day < before))).rowcount
