"""goals

Rules of a migration here:
- It goes forward, on a database that holds data and while older processes still run: add first, remove a release later.
- A column added to a large table has no volatile default; an index on one is built CONCURRENTLY or per partition.
- It takes no lock for long: `lock_timeout` is 5 s, and a migration that meets it is run again.
- Partitions of `events` and `sessions` are made by `analytics_app.partitions`, not here.

Revision ID: goals
Revises: gdpr
Create Date: 2026-11-25 15:15:00
"""

import sqlalchemy as sa
from alembic import op

revision = "goals"
down_revision = "gdpr"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "goals",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("match_type", sa.Text(), nullable=True),
        sa.Column("match_value", sa.Text(), nullable=False),
        sa.Column("count", sa.Text(), nullable=False),
        sa.Column("value", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "type IN ('pageview', 'event', 'duration', 'pages_per_session')", name=op.f("ck_goals_type")
        ),
        sa.CheckConstraint(
            "match_type IN ('equals', 'contains', 'starts_with', 'ends_with', 'regex')",
            name=op.f("ck_goals_match_type"),
        ),
        sa.CheckConstraint("count IN ('once', 'every')", name=op.f("ck_goals_count")),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_goals_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goals")),
    )
    op.create_index("ix_goals_website_id", "goals", ["website_id", "id"], unique=False)
    op.create_table(
        "conversions",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("goal_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("value", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "goal_id", "revision", "key", name=op.f("pk_conversions")),
    )
    op.create_index("ix_conversions_goal_id_revision_at", "conversions", ["goal_id", "revision", "at"], unique=False)
    for name, function in (("tell", "tell_of_definition"), ("version", "version_definition")):
        op.execute(
            f"CREATE TRIGGER {name}_goals AFTER INSERT OR DELETE OR UPDATE ON goals "
            f"FOR EACH ROW EXECUTE FUNCTION {function}('goals', 'website_id')"
        )
