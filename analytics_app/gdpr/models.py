"""Rows of consents, of what was erased, and of who asked for it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, Integer, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time, Uuid


class ConsentRow(Row):
    """What a visitor said last. A trigger tells every process of each change."""

    __tablename__ = "consents"
    __table_args__ = (
        UniqueConstraint("website_id", "visitor"),
        CheckConstraint("status IN ('granted', 'withdrawn')", name="status"),
        Index("ix_consents_withdrawn", "website_id", postgresql_where=text("status = 'withdrawn'")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[str] = mapped_column(Text, server_default="")
    at: Mapped[datetime] = mapped_column(Time)


class ConsentChangeRow(Row):
    """Everything a visitor ever said, in order."""

    __tablename__ = "consent_changes"
    __table_args__ = (Index("ix_consent_changes_visitor", "website_id", "visitor", "id"),)

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(Text)
    policy_version: Mapped[str] = mapped_column(Text, server_default="")
    at: Mapped[datetime] = mapped_column(Time)


class ErasureRow(Row):
    """A visitor whose hits from up to `at` count no more, however late they come; forgotten once none can come.

    Those from up to `anonymised_at` count as nobody's.
    """

    __tablename__ = "erasures"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    at: Mapped[datetime] = mapped_column(Time)
    anonymised_at: Mapped[datetime | None] = mapped_column(Time)
    forgotten_at: Mapped[datetime] = mapped_column(Time, index=True)


class ReceiptRow(Row):
    """What an erasure removed where, finished once texts that nobody else used are gone. It does not say of whom."""

    __tablename__ = "gdpr_receipts"
    __table_args__ = (
        CheckConstraint("action IN ('delete', 'anonymise')", name="action"),
        Index("ix_gdpr_receipts_open", "id", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Integer)
    website_id: Mapped[int] = mapped_column(Integer)
    action: Mapped[str] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    requested_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Time)
    forgotten_at: Mapped[datetime] = mapped_column(Time)


class AuditRow(Row):
    """One call about a visitor's data: who made it, and what came of it. It does not say about whom."""

    __tablename__ = "gdpr_audit"
    __table_args__ = (Index("ix_gdpr_audit_workspace_id", "workspace_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Integer)
    website_id: Mapped[int] = mapped_column(Integer)
    action: Mapped[str] = mapped_column(Text)
    token_id: Mapped[int] = mapped_column(Integer)
    token_name: Mapped[str] = mapped_column(Text)
    receipt_id: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
