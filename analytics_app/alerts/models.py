"""Rows of alerts and of their firings."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Float, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Row, Time


class AlertRow(Row):
    """A watch over a website's traffic or over one of its goals. `firing_since` is null while all is well."""

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint("type IN ('traffic_spike', 'traffic_drop', 'goal_silence')", name="type"),
        CheckConstraint("metric IN ('pageviews', 'visitors')", name="metric"),
        Index("ix_alerts_website_id", "website_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(Text, server_default="pageviews")
    goal_id: Mapped[int | None] = mapped_column(Integer)
    window_minutes: Mapped[int] = mapped_column(Integer)
    threshold_percent: Mapped[float] = mapped_column(Float)
    min_count: Mapped[int] = mapped_column(Integer)
    cooldown_minutes: Mapped[int] = mapped_column(Integer)
    recipients: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    webhook_url: Mapped[str | None] = mapped_column(Text)
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    firing_since: Mapped[datetime | None] = mapped_column(Time)
    last_fired_at: Mapped[datetime | None] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class FiringRow(Row):
    """One time an alert fired: what was counted, what is usual, and when all was well again."""

    __tablename__ = "alert_firings"
    __table_args__ = (Index("ix_alert_firings_alert_id", "alert_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    value: Mapped[int] = mapped_column(Integer)
    usual: Mapped[float] = mapped_column(Float)
    is_test: Mapped[bool] = mapped_column(server_default=text("false"))
    resolved_at: Mapped[datetime | None] = mapped_column(Time)
