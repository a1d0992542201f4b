"""Rows of the stream's bookkeeping: positions, writers, what failed, what was lost."""

from datetime import datetime

from sqlalchemy import Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class PositionRow(Row):
    """The next offset of a topic's partition to be stored. Whoever stores holds its lock; consumers seek to it.

    `last_digest` is of the record before it: another record there means that the topic is not the same topic.
    `stream_at` is the latest time of a hit stored from the partition.
    """

    __tablename__ = "stream_positions"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    next_offset: Mapped[int] = mapped_column(Big)
    last_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    stream_at: Mapped[datetime | None] = mapped_column(Time)
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class WriterRow(Row):
    """The highest sequence stored of a writer's records in a partition: a record at or below it is a repeat."""

    __tablename__ = "stream_writers"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    writer: Mapped[str] = mapped_column(Text, primary_key=True)
    sequence: Mapped[int] = mapped_column(Big)
    seen_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class FailedRecordRow(Row):
    """A record, or one hit of it, that could not be stored; kept whole, to be replayed or discarded."""

    __tablename__ = "failed_records"
    __table_args__ = (Index("ix_failed_records_waiting", "id", postgresql_where=text("settled_at IS NULL")),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    topic: Mapped[str] = mapped_column(Text)
    partition: Mapped[int] = mapped_column(Integer)
    offset: Mapped[int] = mapped_column(Big)
    value: Mapped[bytes] = mapped_column(LargeBinary)
    error: Mapped[str] = mapped_column(Text)
    failed_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    settled_at: Mapped[datetime | None] = mapped_column(Time)
    settled_as: Mapped[str | None] = mapped_column(Text)


class LossRow(Row):
    """Offsets that Kafka no longer had when a worker came for them."""

    __tablename__ = "stream_losses"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    topic: Mapped[str] = mapped_column(Text)
    partition: Mapped[int] = mapped_column(Integer)
    from_offset: Mapped[int] = mapped_column(Big)
    to_offset: Mapped[int] = mapped_column(Big)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class OutcomeRow(Row):
    """How many hits ended so, ever; written in the transaction that decides it, under the first of its partitions.

    `received` is the sum of all other outcomes: every hit is stored, or accounted for.
    """

    __tablename__ = "stream_outcomes"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    outcome: Mapped[str] = mapped_column(Text, primary_key=True)
    hits: Mapped[int] = mapped_column(Big)
