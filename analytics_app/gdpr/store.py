"""The questions and orders of consents, receipts and the audit log."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.gdpr.logic import Action
from analytics_app.gdpr.models import AuditRow, ConsentChangeRow, ConsentRow, ErasureRow, ReceiptRow

# Consents.


async def set_consent(
    db: AsyncConnection, website_id: int, visitor: str, status: str, policy_version: str, now: datetime
) -> None:
    """Note what a visitor says now, beside all they said before."""
    said = {
        "website_id": website_id,
        "visitor": UUID(visitor),
        "status": status,
        "policy_version": policy_version,
        "at": now,
    }
    await db.execute(
        upsert(ConsentRow)
        .values(said)
        .on_conflict_do_update(
            index_elements=[ConsentRow.website_id, ConsentRow.visitor],
            set_={"status": status, "policy_version": policy_version, "at": now},
        )
    )
    await db.execute(insert(ConsentChangeRow).values(said))


async def consent_of(db: AsyncConnection, website_id: int, visitor: str) -> Row[Any] | None:
    """What a visitor said last; None where they never said anything."""
    query = select(ConsentRow.__table__).where(ConsentRow.website_id == website_id, ConsentRow.visitor == UUID(visitor))
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def consents(db: AsyncConnection, ids: Iterable[int]) -> list[tuple[int, str, str]]:
    """Those consents, as (website, visitor, status)."""
    query = select(ConsentRow.website_id, ConsentRow.visitor, ConsentRow.status).where(ConsentRow.id.in_(list(ids)))
    return [(row.website_id, row.visitor.hex, row.status) for row in await db.execute(query)]


async def withdrawn(db: AsyncConnection) -> set[tuple[int, str]]:
    """Everybody who has withdrawn consent, as (website, visitor)."""
    query = select(ConsentRow.website_id, ConsentRow.visitor).where(ConsentRow.status == "withdrawn")
    return {(row.website_id, row.visitor.hex) for row in await db.execute(query)}


# Visitors.


HELD_BY_HASH = ("visitors", "consents", "bot_detections", "heatmap_samples", "heatmap_reaches", "replays")
"""The tables that name a visitor by its hash: who only recorded, or was only refused, is found too."""


async def websites_with(db: AsyncConnection, workspace_id: int, visitor: str) -> list[int]:
    """Which websites of the workspace hold anything of a visitor."""
    columns = {table: "hash" if table == "visitors" else "visitor" for table in HELD_BY_HASH}
    held = " OR ".join(
        f"EXISTS (SELECT FROM {table} AS t WHERE t.website_id = w.id AND t.{column} = :visitor)"
        for table, column in columns.items()
    )
    asked = f"SELECT id FROM websites w WHERE workspace_id = :workspace AND deleted_at IS NULL AND ({held}) ORDER BY id"
    return list((await db.execute(text(asked), {"workspace": workspace_id, "visitor": UUID(visitor)})).scalars())


# Receipts and the log.


async def add_receipt(db: AsyncConnection, values: Mapping[str, Any]) -> int:
    """Write a receipt; returns its id."""
    return int((await db.execute(insert(ReceiptRow).values(**values).returning(ReceiptRow.id))).scalar_one())


async def receipt_of(db: AsyncConnection, workspace_id: int, receipt_id: int) -> Row[Any] | None:
    """The workspace's receipt of that id; None where it has none."""
    query = select(ReceiptRow.__table__).where(ReceiptRow.workspace_id == workspace_id, ReceiptRow.id == receipt_id)
    found: Row[Any] | None = (await db.execute(query)).first()
    return found


async def note(
    db: AsyncConnection,
    workspace_id: int,
    website_id: int,
    action: Action,
    token: tuple[int, str],
    receipt_id: int | None,
) -> None:
    """Note a call in the audit log; `token` is the id and the name of the caller's."""
    await db.execute(
        insert(AuditRow).values(
            workspace_id=workspace_id,
            website_id=website_id,
            action=action,
            token_id=token[0],
            token_name=token[1],
            receipt_id=receipt_id,
        )
    )


async def audit(
    db: AsyncConnection, workspace_id: int, *, before: int | None, limit: int, website_ids: Iterable[int] | None
) -> list[Row[Any]]:
    """The workspace's calls with ids below `before`, the latest first; of those websites, where they are given."""
    query = select(AuditRow.__table__).where(AuditRow.workspace_id == workspace_id)
    if before is not None:
        query = query.where(AuditRow.id < before)
    if website_ids is not None:
        query = query.where(AuditRow.website_id.in_(sorted(website_ids)))
    return list(await db.execute(query.order_by(AuditRow.id.desc()).limit(limit)))


async def forget_erasures(db: AsyncConnection, now: datetime) -> int:
    """Forget who was erased so long ago that nothing can bring them back; returns how many."""
    return (await db.execute(delete(ErasureRow).where(ErasureRow.forgotten_at < now))).rowcount
