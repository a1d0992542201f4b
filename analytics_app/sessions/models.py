"""Rows of what was counted: events, sessions, visitors, the texts they name, and the state sessions are folded from."""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Computed,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time, Uuid

EVENT_ID_BLOCK = 1000
EVENT_IDS = Sequence("event_ids", increment=EVENT_ID_BLOCK, metadata=Row.metadata)
"""Event ids: each value opens a block of `EVENT_ID_BLOCK`, which one web process hands out."""


class TermRow(Row):
    """A text that events and sessions name by number: a path, a browser, a campaign."""

    __tablename__ = "terms"
    __table_args__ = (UniqueConstraint("website_id", "kind", "digest"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    kind: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str] = mapped_column(Text)
    # An index entry holds 2,704 bytes at most; a path may be longer.
    digest: Mapped[uuid.UUID] = mapped_column(Uuid, Computed("md5(text)::uuid", persisted=True))


class VisitorRow(Row):
    """A visitor of a website: the hash it is known by outside, the number rows carry."""

    __tablename__ = "visitors"
    __table_args__ = (UniqueConstraint("website_id", "hash"),)

    number: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    hash: Mapped[uuid.UUID] = mapped_column(Uuid)
    first_seen_at: Mapped[datetime] = mapped_column(Time)


class SessionStateRow(Row):
    """What the fold of one session id needs to go on, for as long as a hit may still change it.

    `version` is a random number, new with each change: a copy of the state held elsewhere is good while it agrees.
    """

    __tablename__ = "session_states"
    __table_args__ = (Index("ix_session_states_last_at", "last_at", postgresql_using="brin"),)

    key: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(Big)
    partition: Mapped[int] = mapped_column(SmallInteger)
    first_at: Mapped[datetime] = mapped_column(Time)
    last_at: Mapped[datetime] = mapped_column(Time)
    state: Mapped[bytes] = mapped_column(LargeBinary)


class SessionRow(Row):
    """A session as counted. From `entry_path` on, columns are numbers of terms; null where nothing was sent."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_website_id_started_at", "website_id", "started_at"),
        Index("ix_sessions_website_id_visitor", "website_id", "visitor"),
        # A session may last a day, and few of the day before a period reach into it. An index of this kind does not
        # keep Postgres from updating a session that goes on in place (from 16 on), as one by rows would.
        Index(
            "ix_sessions_last_at",
            "last_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
        ),
        {"postgresql_partition_by": "RANGE (started_at)"},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    started_at: Mapped[datetime] = mapped_column(Time, primary_key=True)
    last_at: Mapped[datetime] = mapped_column(Time)
    visitor: Mapped[int] = mapped_column(Big)
    website_id: Mapped[int] = mapped_column(Integer)
    duration_s: Mapped[int] = mapped_column(Integer)
    pageviews: Mapped[int] = mapped_column(Integer)
    events: Mapped[int] = mapped_column(Integer)
    engaged_s: Mapped[int] = mapped_column(Integer)
    is_bounce: Mapped[bool]
    entry_path: Mapped[int | None] = mapped_column(Integer)
    exit_path: Mapped[int | None] = mapped_column(Integer)
    host: Mapped[int | None] = mapped_column(Integer)
    referrer: Mapped[int | None] = mapped_column(Integer)
    source: Mapped[int | None] = mapped_column(Integer)
    channel: Mapped[int | None] = mapped_column(Integer)
    utm_source: Mapped[int | None] = mapped_column(Integer)
    utm_medium: Mapped[int | None] = mapped_column(Integer)
    utm_campaign: Mapped[int | None] = mapped_column(Integer)
    utm_term: Mapped[int | None] = mapped_column(Integer)
    utm_content: Mapped[int | None] = mapped_column(Integer)
    country: Mapped[int | None] = mapped_column(Integer)
    device_type: Mapped[int | None] = mapped_column(Integer)
    browser: Mapped[int | None] = mapped_column(Integer)
    browser_version: Mapped[int | None] = mapped_column(Integer)
    os: Mapped[int | None] = mapped_column(Integer)
    os_version: Mapped[int | None] = mapped_column(Integer)
    language: Mapped[int | None] = mapped_column(Integer)
    screen: Mapped[int | None] = mapped_column(Integer)


class EventRow(Row):
    """A pageview or event as counted; `kind` is an `EventKind`. Dimensions of its session are the session's."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_website_id_at", "website_id", "at"),
        Index("ix_events_session_id", "session_id"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Time, primary_key=True)
    session_id: Mapped[int] = mapped_column(Big)
    visitor: Mapped[int] = mapped_column(Big)
    website_id: Mapped[int] = mapped_column(Integer)
    path: Mapped[int | None] = mapped_column(Integer)
    name: Mapped[int | None] = mapped_column(Integer)
    title: Mapped[int | None] = mapped_column(Integer)
    time_on_page_s: Mapped[int] = mapped_column(Integer, server_default="0")
    kind: Mapped[int] = mapped_column(SmallInteger)
    scroll_depth: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    interactive: Mapped[bool] = mapped_column(server_default=text("true"))
    currency: Mapped[str | None] = mapped_column(Text)
    value: Mapped[Decimal | None] = mapped_column(Numeric(18, 4))
    properties: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class ClientIdRow(Row):
    """A client's own id of a hit, kept 48 hours: the same id again is the same hit."""

    __tablename__ = "client_ids"
    __table_args__ = (Index("ix_client_ids_at", "at", postgresql_using="brin"),)

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    event_id: Mapped[int] = mapped_column(Big)
    at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class VisitorSaltRow(Row):
    """The random salt of a UTC day, from which cookieless visitor ids are made; deleted when nothing may need it."""

    __tablename__ = "visitor_salts"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
