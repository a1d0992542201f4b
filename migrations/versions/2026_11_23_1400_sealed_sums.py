"""Sums of past days, sealed.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-23 14:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("span", sa.SmallInteger(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "span", "start", name=op.f("pk_seals")),
    )
    op.create_index(
        "ix_seals_open", "seals", ["website_id", "start"], unique=False, postgresql_where=sa.text("state <> 1")
    )
    op.create_table(
        "sealed_sums",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("dimension", sa.SmallInteger(), nullable=False),
        sa.Column("span", sa.SmallInteger(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("pageviews", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("bounces", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.BigInteger(), nullable=False),
        sa.Column("session_pageviews", sa.BigInteger(), nullable=False),
        sa.Column("time_on_page_s", sa.BigInteger(), nullable=False),
        sa.Column("scroll_depth", sa.BigInteger(), nullable=False),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "dimension", "span", "start", "value", name=op.f("pk_sealed_sums")),
    )
    # Bitmaps are dense already: squeezing them again would only cost time on every read.
    op.execute("ALTER TABLE sealed_sums ALTER COLUMN visitors SET STORAGE EXTERNAL")
