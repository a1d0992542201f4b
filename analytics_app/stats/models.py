"""Rows of the additive rollups, and of the sealed sums of past days."""

from datetime import datetime

from sqlalchemy import Index, Integer, LargeBinary, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class TrafficRollupRow(Row):
    """What one partition counted of a website in a quarter hour; a total is the sum over partitions and buckets.

    `pageviews` and `events` count by their own time; `sessions`, `bounces`, `duration_s` and `session_pageviews`
    by the start of the session. Written by difference in the transaction that writes what they count.
    """

    __tablename__ = "traffic_rollups"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    bucket: Mapped[datetime] = mapped_column(Time, primary_key=True)
    partition: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    pageviews: Mapped[int] = mapped_column(Big)
    events: Mapped[int] = mapped_column(Big)
    sessions: Mapped[int] = mapped_column(Big)
    bounces: Mapped[int] = mapped_column(Big)
    duration_s: Mapped[int] = mapped_column(Big)
    session_pageviews: Mapped[int] = mapped_column(Big)


class SealRow(Row):
    """A piece of time of a website: whether its sums are sealed. `state` is a `SealState`, `span` in quarter hours.

    `token` is new with each attempt to seal: an attempt that finds another one was overtaken.
    """

    __tablename__ = "seals"
    __table_args__ = (Index("ix_seals_open", "website_id", "start", postgresql_where=text("state <> 1")),)

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    span: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    start: Mapped[datetime] = mapped_column(Time, primary_key=True)
    state: Mapped[int] = mapped_column(SmallInteger)
    token: Mapped[int] = mapped_column(Big)
    changed_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class SealedSumRow(Row):
    """What a value of a dimension comes to in a sealed piece of time, by the definitions of docs/numbers.md.

    `dimension` and `span` are of `stats.spans`; `value` is the number of a term, 0 where it is missing (or where
    the dimension is everything); `visitors` is a set of visitors' numbers as `stats.visitors` writes it.
    """

    __tablename__ = "sealed_sums"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    dimension: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    span: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    start: Mapped[datetime] = mapped_column(Time, primary_key=True)
    value: Mapped[int] = mapped_column(Integer, primary_key=True)
    pageviews: Mapped[int] = mapped_column(Big)
    events: Mapped[int] = mapped_column(Big)
    sessions: Mapped[int] = mapped_column(Big)
    bounces: Mapped[int] = mapped_column(Big)
    duration_s: Mapped[int] = mapped_column(Big)
    session_pageviews: Mapped[int] = mapped_column(Big)
    time_on_page_s: Mapped[int] = mapped_column(Big)
    scroll_depth: Mapped[int] = mapped_column(Big)
    visitors: Mapped[bytes] = mapped_column(LargeBinary)


class SealedColumnRow(Row):
    """A column of a sealed day's sessions or events, as `stats.columns` packs it; `number` is one of its columns."""

    __tablename__ = "sealed_columns"

    website_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    start: Mapped[datetime] = mapped_column(Time, primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)
