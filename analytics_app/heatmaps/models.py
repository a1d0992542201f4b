"""Rows of heatmaps: what people define, what was sampled, and what that adds up to."""

import uuid
from datetime import date, datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time, Uuid


class HeatmapRow(Row):
    """A heatmap as somebody defined it."""

    __tablename__ = "heatmaps"
    __table_args__ = (CheckConstraint("type IN ('click', 'move', 'scroll')", name="type"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    url_pattern: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class HeatmapPageRow(Row):
    """A page of which there are samples; `page` is the number of its path among the terms."""

    __tablename__ = "heatmap_pages"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)


class HeatmapSampleRow(Row):
    """Clicks and moves of a session on a page within a minute, whose window and page had one size.

    Rows of releases before this column have no `session_key`.
    """

    __tablename__ = "heatmap_samples"
    __table_args__ = (
        Index("ix_heatmap_samples_page", "website_id", "page", "at"),
        Index("ix_heatmap_samples_visitor", "website_id", "visitor"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(Time, primary_key=True)
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid)
    session_key: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    website_id: Mapped[int] = mapped_column(Integer)
    page: Mapped[int] = mapped_column(Integer)
    viewport_width: Mapped[int] = mapped_column(Integer)
    viewport_height: Mapped[int] = mapped_column(Integer)
    page_width: Mapped[int] = mapped_column(Integer)
    page_height: Mapped[int] = mapped_column(Integer)
    viewport: Mapped[int] = mapped_column(SmallInteger)
    device: Mapped[str] = mapped_column(Text)
    kinds: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    xs: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    ys: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    selectors: Mapped[list[str]] = mapped_column(ARRAY(Text))


class HeatmapReachRow(Row):
    """How deep a session scrolled on a page, by day and group of windows. `at` is when its first sample was taken."""

    __tablename__ = "heatmap_reaches"
    __table_args__ = (
        Index("ix_heatmap_reaches_page", "website_id", "page", "at"),
        Index("ix_heatmap_reaches_visitor", "website_id", "visitor"),
        {"postgresql_partition_by": "RANGE (day)"},
    )

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    session_key: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    viewport: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    day: Mapped[datetime] = mapped_column(Time, primary_key=True)
    at: Mapped[datetime] = mapped_column(Time)
    visitor: Mapped[uuid.UUID] = mapped_column(Uuid)
    y: Mapped[int] = mapped_column(Integer)
    viewport_width: Mapped[int] = mapped_column(Integer)
    viewport_height: Mapped[int] = mapped_column(Integer)
    page_width: Mapped[int] = mapped_column(Integer)
    page_height: Mapped[int] = mapped_column(Integer)
    device: Mapped[str] = mapped_column(Text)


class HeatmapBinRow(Row):
    """A part of what a page's samples of a UTC day count for; the parts of a key are added up.

    `cells` and `counts` hold 32-bit integers beside each other (`heatmaps.grids`); a part may take away.
    """

    __tablename__ = "heatmap_bins"
    __table_args__ = (Index("ix_heatmap_bins_page", "website_id", "page", "kind", "viewport", "day", "device"),)

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    total: Mapped[int] = mapped_column(Big)
    website_id: Mapped[int] = mapped_column(Integer)
    page: Mapped[int] = mapped_column(Integer)
    day: Mapped[date] = mapped_column(Date)
    kind: Mapped[int] = mapped_column(SmallInteger)
    viewport: Mapped[int] = mapped_column(SmallInteger)
    device: Mapped[str] = mapped_column(Text)
    cells: Mapped[bytes] = mapped_column(LargeBinary)
    counts: Mapped[bytes] = mapped_column(LargeBinary)
