"""backfills

Rules of a migration here:
- It goes forward, on a database that holds data and while older processes still run: add first, remove a release later.
- A column added to a large table has no volatile default; an index on one is built CONCURRENTLY or per partition.
- It takes no lock for long: `lock_timeout` is 5 s, and a migration that meets it is run again.
- Partitions of `events` and `sessions` are made by `analytics_app.partitions`, not here.

Revision ID: backfills
Revises: 0002
Create Date: 2026-11-25 14:30:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "backfills"
down_revision = "0002"
branch_labels = None
depends_on = None

# A table of definitions has it beside `tell_of_definition`, as in version_definition('goals', 'website_id').
VERSION = """
CREATE FUNCTION version_definition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    INSERT INTO definition_versions AS d (website_id, kind, version)
    VALUES ((changed ->> TG_ARGV[1])::integer, TG_ARGV[0], 1)
    ON CONFLICT (website_id, kind) DO UPDATE SET version = d.version + 1;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "backfills",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("definition_id", sa.Integer(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cursor", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name=op.f("ck_backfills_state")),
        sa.PrimaryKeyConstraint("kind", "definition_id", name=op.f("pk_backfills")),
    )
    op.create_index(op.f("ix_backfills_website_id"), "backfills", ["website_id"], unique=False)
    op.create_index(
        "ix_backfills_due",
        "backfills",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )
    op.create_table(
        "definition_versions",
        sa.Column("website_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "kind", name=op.f("pk_definition_versions")),
    )
    op.execute(VERSION)
