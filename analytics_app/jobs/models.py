"""Rows of background work and of the budget that web processes share."""

from datetime import datetime

from sqlalchemy import Float, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Row, Time


class JobRunRow(Row):
    """One run of a job: `slot` names what it was for (a day, a due time), so that no slot is run twice."""

    __tablename__ = "job_runs"

    job: Mapped[str] = mapped_column(Text, primary_key=True)
    slot: Mapped[str] = mapped_column(Text, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Time)
    error: Mapped[str | None] = mapped_column(Text)


class RateBudgetRow(Row):
    """Tokens left of a rate limit that all web processes draw on; `name` is `all` or a website's."""

    __tablename__ = "rate_budgets"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    tokens: Mapped[float] = mapped_column(Float)
    refilled_at: Mapped[datetime] = mapped_column(Time, server_default=func.clock_timestamp())
    asked_at: Mapped[datetime] = mapped_column(Time, server_default=func.clock_timestamp())
