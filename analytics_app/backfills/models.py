"""Rows of backfills, and of the versions of what websites define."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class BackfillRow(Row):
    """The latest backfill of a definition: `kind` is one of `definitions.KINDS`."""

    __tablename__ = "backfills"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
        Index("ix_backfills_due", "requested_at", postgresql_where=text("state IN ('waiting', 'running')")),
    )

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    definition_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer, index=True)
    run: Mapped[int] = mapped_column(Big)
    state: Mapped[str] = mapped_column(Text)
    cursor: Mapped[Any] = mapped_column(JSONB, nullable=True)
    done: Mapped[int] = mapped_column(Big)
    total: Mapped[int] = mapped_column(Big)
    failures: Mapped[int] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)
    next_try_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class DefinitionVersionRow(Row):
    """How often what a website defines of a kind has changed: a trigger counts, a batch compares with its copy's."""

    __tablename__ = "definition_versions"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Big)
