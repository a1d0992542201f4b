"""Rows of the additive rollups."""

from datetime import datetime

from sqlalchemy import Integer, SmallInteger
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
