"""Rows of recordings: one a session, one a chunk, and what must not come back."""

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, ForeignKey, Identity, Index, Integer, LargeBinary, SmallInteger, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time, Uuid


class ReplayRow(Row):
    """What the chunks of one tab of a session add up to. `session_key`, `tab` and `visitor` are hashes."""

    __tablename__ = "replays"
    __table_args__ = (
        Index("ix_replays_website_id_session_key_tab", "website_id", "session_key", "tab", unique=True),
        Index("ix_replays_website_id_started_at", "website_id", "started_at", "id"),
        Index("ix_replays_website_id_visitor", "website_id", "visitor"),
        Index("ix_replays_stopped_at", "stopped_at", postgresql_where=text("stopped_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    session_key: Mapped[uuid.UUID] = mapped_column(Uuid)
    tab: Mapped[uuid.UUID] = mapped_column(Uuid, server_default=text(f"'{uuid.UUID(int=0)}'"))
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid)
    started_at: Mapped[datetime] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    first_ms: Mapped[int] = mapped_column(Big, server_default="0")
    last_ms: Mapped[int] = mapped_column(Big, server_default="0")
    duration_ms: Mapped[int] = mapped_column(Big, server_default="0")
    first_sequence: Mapped[int] = mapped_column(Integer, server_default="0")
    last_sequence: Mapped[int] = mapped_column(Integer, server_default="0")
    chunks: Mapped[int] = mapped_column(Integer, server_default="0")
    stored_bytes: Mapped[int] = mapped_column(Big, server_default="0")
    raw_bytes: Mapped[int] = mapped_column(Big, server_default="0")
    events: Mapped[int] = mapped_column(Integer, server_default="0")
    clicks: Mapped[int] = mapped_column(Integer, server_default="0")
    rage_clicks: Mapped[int] = mapped_column(Integer, server_default="0")
    errors: Mapped[int] = mapped_column(Integer, server_default="0")
    entry_ms: Mapped[int] = mapped_column(Big, server_default="0")
    entry_page: Mapped[str] = mapped_column(Text, server_default="")
    pages: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    country: Mapped[str] = mapped_column(Text, server_default="")
    device_type: Mapped[str] = mapped_column(Text, server_default="")
    browser: Mapped[str] = mapped_column(Text, server_default="")
    os: Mapped[str] = mapped_column(Text, server_default="")
    stopped: Mapped[str | None] = mapped_column(Text)
    stopped_at: Mapped[datetime | None] = mapped_column(Time)


class ReplayChunkRow(Row):
    """One chunk: events as JSON, compressed by Zstandard; `click_marks` are its clicks as time, x, y, time, x, y …"""

    __tablename__ = "replay_chunks"

    replay_id: Mapped[int] = mapped_column(ForeignKey("replays.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True)
    first_ms: Mapped[int] = mapped_column(Big)
    last_ms: Mapped[int] = mapped_column(Big)
    sanitiser: Mapped[int] = mapped_column(SmallInteger)
    has_snapshot: Mapped[bool]
    click_marks: Mapped[list[int] | None] = mapped_column(ARRAY(Big))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ReplayTombstoneRow(Row):
    """A deleted recording, by its `logic.recording_key`: nothing of it that came in before `before` may be stored."""

    __tablename__ = "replay_tombstones"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    before: Mapped[datetime] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now(), index=True)
