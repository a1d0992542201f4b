"""Rows of the live views."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class LiveViewRow(Row):
    """Who is on a website now, as the realtime agent last saw it.

    `changes_at` is when the first of them falls out of the window: a view older than that is overdue.
    """

    __tablename__ = "live_views"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    view: Mapped[dict[str, Any]] = mapped_column(JSONB)
    written_at: Mapped[datetime] = mapped_column(Time)
    changes_at: Mapped[datetime | None] = mapped_column(Time)


class LiveRemovalRow(Row):
    """A visitor whose sessions were taken out of a website, and when: activity up to then shows nobody."""

    __tablename__ = "live_removals"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    visitor: Mapped[int] = mapped_column(Big, primary_key=True)
    removed_at: Mapped[datetime] = mapped_column(Time)
