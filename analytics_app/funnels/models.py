"""Rows of funnels: what websites define, how far visitors are, and their attempts."""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class FunnelRow(Row):
    """A funnel. `revision` is raised, by triggers, by whatever changes which attempts there are.

    `set_version` is the version that the website's funnels were given then.
    """

    __tablename__ = "funnels"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    is_strict: Mapped[bool] = mapped_column(server_default=text("false"))
    window_hours: Mapped[int] = mapped_column(Integer, server_default=text("24"))
    revision: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    set_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class FunnelStepRow(Row):
    """A step of a funnel; positions run from 1."""

    __tablename__ = "funnel_steps"
    __table_args__ = (
        CheckConstraint("match_type IN ('pageview', 'event')", name="match_type"),
        UniqueConstraint("funnel_id", "position", deferrable=True, initially="DEFERRED"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    funnel_id: Mapped[int] = mapped_column(ForeignKey("funnels.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(Text)
    match_type: Mapped[str] = mapped_column(Text)
    match_value: Mapped[str] = mapped_column(Text)
    is_optional: Mapped[bool] = mapped_column(server_default=text("false"))


class FunnelSetRow(Row):
    """The funnels of a website as one thing. Triggers raise `version` with every change.

    States of visitors older than `since_version` lack events that matter now; up to `settled_version` all that was
    stored has been gone through.
    """

    __tablename__ = "funnel_sets"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer)
    since_version: Mapped[int] = mapped_column(Integer)
    settled_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class FunnelProgressRow(Row):
    """What a visitor's funnels go on from, until nothing that may still come can meet it.

    `version` is a random number, new with each change: a copy held elsewhere is good while it agrees.
    """

    __tablename__ = "funnel_progress"
    __table_args__ = (Index("ix_funnel_progress_over_at", "over_at", postgresql_using="brin"),)

    visitor: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    website_id: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Big)
    over_at: Mapped[datetime] = mapped_column(Time)
    state: Mapped[bytes] = mapped_column(LargeBinary)


class FunnelGoneSessionRow(Row):
    """A session that was taken out, kept for as long as events of it may be on their way."""

    __tablename__ = "funnel_gone_sessions"

    session_id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    gone_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class FunnelRunRow(Row):
    """An attempt at a funnel: it began with the event `event_id`, in the session `session_id`.

    `offsets_ms`: of each step how long after the start it was taken; null where it was not.
    """

    __tablename__ = "funnel_runs"
    __table_args__ = (Index("ix_funnel_runs_funnel_id_started_at", "funnel_id", "started_at"),)

    visitor: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    funnel_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    event_id: Mapped[int] = mapped_column(Big, primary_key=True)
    session_id: Mapped[int] = mapped_column(Big)
    started_at: Mapped[datetime] = mapped_column(Time)
    revision: Mapped[int] = mapped_column(Integer)
    required: Mapped[int] = mapped_column(SmallInteger)
    taken: Mapped[int] = mapped_column(SmallInteger)
    is_open: Mapped[bool]
    offsets_ms: Mapped[list[int | None]] = mapped_column(ARRAY(Big))
