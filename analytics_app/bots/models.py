"""Rows of bot detection: rules, what was detected, verdicts about behaviour, and what rules can be tried on."""

import uuid
from datetime import date, datetime

from sqlalchemy import ARRAY, Date, Identity, Index, Integer, SmallInteger, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time, Uuid


class BotRuleRow(Row):
    """A rule of a website; an address or range in its one form."""

    __tablename__ = "bot_rules"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer, index=True)
    rule_type: Mapped[str] = mapped_column(Text)
    match_type: Mapped[str] = mapped_column(Text)
    match_value: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class BotDetectionRow(Row):
    """A hit that was found odd or a bot's, or (`late`) a session that a verdict took out of the numbers.

    `event_id` is the hit's, or the session's. `action` is an `Action`; `sender` a keyed hash of a day.
    """

    __tablename__ = "bot_detections"
    __table_args__ = (
        UniqueConstraint("event_id", "late"),
        Index("ix_bot_detections_website_id_at", "website_id", "at"),
    )

    id: Mapped[int] = mapped_column(Big, Identity(), primary_key=True)
    event_id: Mapped[int] = mapped_column(Big)
    late: Mapped[bool]
    website_id: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(Time)
    action: Mapped[int] = mapped_column(SmallInteger)
    score: Mapped[int] = mapped_column(SmallInteger)
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text))
    type: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    verified: Mapped[bool | None]
    rule_id: Mapped[int | None] = mapped_column(Integer)
    sender: Mapped[str] = mapped_column(Text)
    visitor: Mapped[uuid.UUID | None] = mapped_column(Uuid, index=True)
    path: Mapped[str] = mapped_column(Text)
    country: Mapped[str] = mapped_column(Text)
    pageviews: Mapped[int] = mapped_column(Integer)
    events: Mapped[int] = mapped_column(Integer)


class BotVerdictRow(Row):
    """The latest verdict about a source (a keyed hash of address and user agent) by its behaviour.

    Until `holds_until` its hits are left out; after that it fades. Deleted with the salt its hash was made with.
    """

    __tablename__ = "bot_verdicts"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(Time)
    holds_until: Mapped[datetime] = mapped_column(Time)


class BotSightingRow(Row):
    """How many requests one sender made in an hour; for a day, to try rules on.

    `prefixes` are keyed hashes of the networks its address lies in, `agent` is one of its user agent.
    """

    __tablename__ = "bot_sightings"
    __table_args__ = (Index("ix_bot_sightings_hour", "hour", postgresql_using="brin"),)

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    hour: Mapped[datetime] = mapped_column(Time, primary_key=True)
    source: Mapped[int] = mapped_column(Big, primary_key=True)
    agent: Mapped[int] = mapped_column(Big)
    prefixes: Mapped[list[int]] = mapped_column(ARRAY(Big))
    requests: Mapped[int] = mapped_column(Integer)


class BotAgentRow(Row):
    """A user agent seen on a day, as the keyed hashes of every three letters in it; for a day, to try rules on."""

    __tablename__ = "bot_agents"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    agent: Mapped[int] = mapped_column(Big, primary_key=True)
    grams: Mapped[list[int]] = mapped_column(ARRAY(Integer))
