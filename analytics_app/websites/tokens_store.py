"""The questions and orders that tokens are managed with. Every one names the workspace it is asked for."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.websites.models import TokenRow


def new_token() -> str:
    """A token nobody can guess: `an_` and 40 characters that need no quoting anywhere, 240 bits of chance."""
    return f"an_{secrets.token_urlsafe(30)}"


_TOKEN = TokenRow.__table__


def _tokens_of(workspace_id: int) -> Select[Any]:
    return select(_TOKEN).where(TokenRow.workspace_id == workspace_id, TokenRow.revoked_at.is_(None))


async def tokens_of(db: AsyncConnection, workspace_id: int, *, after: int = 0, limit: int) -> list[Row[Any]]:
    """The workspace's tokens with ids beyond `after` that are not revoked, by id."""
    query = _tokens_of(workspace_id).where(TokenRow.id > after).order_by(TokenRow.id).limit(limit)
    return list(await db.execute(query))


async def token_of(db: AsyncConnection, workspace_id: int, token_id: int) -> Row[Any] | None:
    """The workspace's token of that id; None where it has none, or it is revoked."""
    found: Row[Any] | None = (await db.execute(_tokens_of(workspace_id).where(TokenRow.id == token_id))).first()
    return found


async def add_token(db: AsyncConnection, workspace_id: int, hash_: bytes, values: Mapping[str, Any]) -> Row[Any]:
    """Keep a token's hash and what it may do; returns the row."""
    query = insert(TokenRow).values(workspace_id=workspace_id, hash=hash_, **values).returning(_TOKEN)
    added: Row[Any] = (await db.execute(query)).one()
    return added


async def accept_token(db: AsyncConnection, workspace_id: int, hash_: bytes, name: str) -> int:
    """Keep an admin token that was given from outside; one that is known stays as it is, but is good again.

    Returns its id.
    """
    query = (
        upsert(TokenRow)
        .values(workspace_id=workspace_id, hash=hash_, name=name, scopes=["admin"])
        .on_conflict_do_nothing(index_elements=[TokenRow.hash])
    )
    await db.execute(query)
    found = (await db.execute(select(_TOKEN).where(TokenRow.hash == hash_))).one()
    whole = {"scopes": ["admin"], "website_ids": None, "expires_at": None, "revoked_at": None}
    if any(getattr(found, field) != value for field, value in whole.items()):
        await db.execute(update(TokenRow).where(TokenRow.hash == hash_).values(**whole))
    return int(found.id)


async def change_token(db: AsyncConnection, workspace_id: int, token_id: int, values: Mapping[str, Any]) -> bool:
    """Change the named fields; returns whether there is such a token."""
    changed = await db.execute(
        update(TokenRow)
        .where(TokenRow.workspace_id == workspace_id, TokenRow.id == token_id, TokenRow.revoked_at.is_(None))
        .values(**values)
    )
    return changed.rowcount > 0


async def revoke_token(db: AsyncConnection, workspace_id: int, token_id: int) -> bool:
    """End the token for good; returns whether there was such a token."""
    return await change_token(db, workspace_id, token_id, {"revoked_at": func.now()})


async def has_tokens(db: AsyncConnection, workspace_id: int) -> bool:
    """Whether the workspace ever had a token."""
    query = select(TokenRow.id).where(TokenRow.workspace_id == workspace_id).limit(1)
    return (await db.execute(query)).first() is not None


async def note_use(db: AsyncConnection, ids: Sequence[int], at: datetime) -> None:
    """Those tokens were used at `at`."""
    await db.execute(update(TokenRow).where(TokenRow.id.in_(ids)).values(last_used_at=at))
