"""Rows of experiments, their variants, and who saw which."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Big, Row, Time


class ExperimentRow(Row):
    """An experiment. `ran_s` are the seconds it ran before `running_since`, which is null while it does not run."""

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint("goal_type IN ('pageview', 'event')", name="goal_type"),
        CheckConstraint("status IN ('draft', 'running', 'paused', 'stopped')", name="status"),
        CheckConstraint("traffic_percentage BETWEEN 0 AND 100", name="traffic_percentage"),
        Index("ix_experiments_website_id", "website_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    website_id: Mapped[int] = mapped_column(ForeignKey("websites.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    goal_type: Mapped[str] = mapped_column(Text)
    goal_value: Mapped[str] = mapped_column(Text)
    traffic_percentage: Mapped[int] = mapped_column(SmallInteger, server_default="100")
    status: Mapped[str] = mapped_column(Text, server_default="draft")
    started_at: Mapped[datetime | None] = mapped_column(Time)
    running_since: Mapped[datetime | None] = mapped_column(Time)
    stopped_at: Mapped[datetime | None] = mapped_column(Time)
    ran_s: Mapped[float] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class VariantRow(Row):
    """A variant of an experiment. `config` is JSON as it was given, in its order."""

    __tablename__ = "variants"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight"),
        Index("ix_variants_experiment_id", "experiment_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    website_id: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    is_control: Mapped[bool] = mapped_column(server_default=text("false"))
    weight: Mapped[int] = mapped_column(Integer, server_default="50")
    config: Mapped[dict[str, Any]] = mapped_column(JSON, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class ExposureRow(Row):
    """A visitor's first exposure to an experiment; `multiple` once it was shown two variants.

    `visitor` is the number by which events know the visitor, who may have none yet.
    """

    __tablename__ = "exposures"
    __table_args__ = (Index("ix_exposures_visitor", "visitor"),)

    experiment_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    visitor: Mapped[int] = mapped_column(Big, primary_key=True)
    website_id: Mapped[int] = mapped_column(Integer)
    variant_id: Mapped[int] = mapped_column(Integer)
    first_at: Mapped[datetime] = mapped_column(Time)
    multiple: Mapped[bool] = mapped_column(server_default=text("false"))
