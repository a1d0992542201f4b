"""Rows of goals and their conversions."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, Numeric, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class GoalRow(Row):
    """A goal. `value`, where it is set, is what each of its conversions is worth, whatever its event says."""

    __tablename__ = "goals"
    __table_args__ = (
        CheckConstraint("type IN ('pageview', 'event', 'duration', 'pages_per_session')", name="type"),
        CheckConstraint("match_type IN ('equals', 'contains', 'starts_with', 'ends_with', 'regex')", name="match_type"),
        CheckConstraint("count IN ('once', 'every')", name="count"),
        Index("ix_goals_website_id", "website_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    match_type: Mapped[str | None] = mapped_column(Text)
    match_value: Mapped[str] = mapped_column(Text)
    count: Mapped[str] = mapped_column(Text)
    value: Mapped[Decimal | None] = mapped_column(Numeric(18, 4))
    currency: Mapped[str | None] = mapped_column(Text)
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    revision: Mapped[int] = mapped_column(Integer, server_default="1")
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class ConversionRow(Row):
    """A session that met a goal, as that was in `revision`; `key` is 0, or the event's id where every event counts.

    `event_id` is 0 where no event converts (a duration). `value` and `currency` are the event's own.
    """

    __tablename__ = "conversions"
    __table_args__ = (Index("ix_conversions_goal_id_revision_at", "goal_id", "revision", "at"),)

    session_id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    goal_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Time)
    event_id: Mapped[int] = mapped_column(Big)
    visitor: Mapped[int] = mapped_column(Big)
    website_id: Mapped[int] = mapped_column(Integer)
    currency: Mapped[str | None] = mapped_column(Text)
    value: Mapped[Decimal | None] = mapped_column(Numeric(18, 4))
