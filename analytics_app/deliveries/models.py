"""Rows of messages on their way to an address."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class DeliveryRow(Row):
    """One message to one address: of a report's send, or of an alert's firing. `state` is a `deliveries.logic.State`.

    Whoever sends it notes `sending` first, in a transaction of its own: a process that is killed before it notes the
    end leaves that, and the message is never sent a second time by itself.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("channel IN ('email', 'webhook')", name="channel"),
        CheckConstraint("state IN ('waiting', 'sending', 'sent', 'failed', 'unknown')", name="state"),
        CheckConstraint("(send_id IS NULL) <> (firing_id IS NULL)", name="of_one"),
        Index("ix_deliveries_open", "next_at", postgresql_where=text("state IN ('waiting', 'sending')")),
        Index("ix_deliveries_send_id", "send_id"),
        Index("ix_deliveries_firing_id", "firing_id"),
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    send_id: Mapped[int | None] = mapped_column(ForeignKey("report_sends.id", ondelete="CASCADE"))
    firing_id: Mapped[int | None] = mapped_column(ForeignKey("alert_firings.id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    claimed_at: Mapped[datetime | None] = mapped_column(Time)
    error: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Time)
