"""Bots: rules, detections, verdicts.

Revision ID: bots
Revises: experiments
Create Date: 2026-11-25 15:56
"""

import sqlalchemy as sa
from alembic import op

revision = "bots"
down_revision = "experiments"
branch_labels = None
depends_on = None

TOLD = ("bot_rules", "bot_verdicts")


def upgrade() -> None:
    op.create_table(
        "bot_rules",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("rule_type", sa.Text(), nullable=False),
        sa.Column("match_type", sa.Text(), nullable=False),
        sa.Column("match_value", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_rules")),
    )
    op.create_index(op.f("ix_bot_rules_website_id"), "bot_rules", ["website_id"], unique=False)
    op.create_table(
        "bot_detections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("reasons", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=True),
        sa.Column("rule_id", sa.Integer(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("pageviews", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_detections")),
        sa.UniqueConstraint("event_id", "late", name=op.f("uq_bot_detections_event_id_late")),
    )
    op.create_index("ix_bot_detections_website_id_at", "bot_detections", ["website_id", "at"], unique=False)
    op.create_index("ix_bot_detections_visitor", "bot_detections", ["visitor"], unique=False)
    op.create_table(
        "bot_verdicts",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holds_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "source", name=op.f("pk_bot_verdicts")),
    )
    op.create_table(
        "bot_sightings",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.BigInteger(), nullable=False),
        sa.Column("prefixes", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "hour", "source", name=op.f("pk_bot_sightings")),
    )
    op.create_index("ix_bot_sightings_hour", "bot_sightings", ["hour"], unique=False, postgresql_using="brin")
    op.create_table(
        "bot_agents",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("agent", sa.BigInteger(), nullable=False),
        sa.Column("grams", sa.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("day", "agent", name=op.f("pk_bot_agents")),
    )
    for table in TOLD:
        op.execute(
            f"CREATE TRIGGER tell_{table} AFTER INSERT OR DELETE OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION tell_of_definition('{table}', 'website_id')"
        )
