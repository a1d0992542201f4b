"""Rows of websites, their keys, and of the workspaces and tokens that may see them."""

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Row, Time, Uuid


class WorkspaceRow(Row):
    """A workspace: what one tenant sees. Websites and tokens belong to exactly one."""

    __tablename__ = "workspaces"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class TokenRow(Row):
    """An API token. `hash` is SHA-256 of the token, which is shown once and never stored."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    website_ids: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(Time)
    last_used_at: Mapped[datetime | None] = mapped_column(Time)
    revoked_at: Mapped[datetime | None] = mapped_column(Time)


class WebsiteRow(Row):
    """A website and its settings. A deleted one keeps its row (`deleted_at`) until a job has removed what it held."""

    __tablename__ = "websites"
    __table_args__ = (
        CheckConstraint("tracking_type IN ('lightweight', 'full')", name="tracking_type"),
        CheckConstraint("channel_type IN ('website', 'app', 'server')", name="channel_type"),
        Index("ix_websites_workspace_id", "workspace_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    tracking_type: Mapped[str] = mapped_column(Text, server_default="lightweight")
    channel_type: Mapped[str] = mapped_column(Text, server_default="website")
    tracking_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    timezone: Mapped[str] = mapped_column(Text, server_default="UTC")
    require_consent: Mapped[bool] = mapped_column(server_default=text("false"))
    honour_dnt: Mapped[bool] = mapped_column(server_default=text("true"))
    session_timeout_s: Mapped[int | None] = mapped_column(Integer)
    allowed_hosts: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    events_retention_days: Mapped[int | None] = mapped_column(Integer)
    heatmaps_retention_days: Mapped[int | None] = mapped_column(Integer)
    replay_sampling: Mapped[float] = mapped_column(server_default=text("0"))
    replay_max_s: Mapped[int | None] = mapped_column(Integer)
    replays_retention_days: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    deleted_at: Mapped[datetime | None] = mapped_column(Time)


class PixelKeyRow(Row):
    """A pixel key of a website. The newest is current; an older one lives on until `expires_at`."""

    __tablename__ = "pixel_keys"

    key: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.clock_timestamp())
    expires_at: Mapped[datetime | None] = mapped_column(Time)
