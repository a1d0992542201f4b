"""Rows of email reports and of their sends."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, Integer, Text, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Row, Time


class ReportRow(Row):
    """A report of a website that is mailed. Only what falls due after `active_since` is sent."""

    __tablename__ = "email_reports"
    __table_args__ = (
        CheckConstraint("frequency IN ('daily', 'weekly', 'monthly')", name="frequency"),
        Index("ix_email_reports_website_id", "website_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    frequency: Mapped[str] = mapped_column(Text)
    recipients: Mapped[list[str]] = mapped_column(ARRAY(Text))
    metrics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    sections: Mapped[list[str]] = mapped_column(ARRAY(Text))
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    active_since: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class SendRow(Row):
    """One sending of a report: of a due time (`slot`), which has at most one, or by hand (null)."""

    __tablename__ = "report_sends"
    __table_args__ = (UniqueConstraint("report_id", "slot"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("email_reports.id", ondelete="CASCADE"))
    slot: Mapped[str | None] = mapped_column(Text)
    period_start: Mapped[datetime] = mapped_column(Time)
    period_end: Mapped[datetime] = mapped_column(Time)
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
