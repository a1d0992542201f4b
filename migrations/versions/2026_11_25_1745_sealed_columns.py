"""Sealed days as columns. The job adds them to days that were sealed without.

Revision ID: sealed_columns
Revises: heatmaps
Create Date: 2026-11-25 17:45
"""

import sqlalchemy as sa
from alembic import op

revision = "sealed_columns"
down_revision = "heatmaps"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sealed_columns",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "start", "number", name=op.f("pk_sealed_columns")),
    )
    # They are squeezed already.
    op.execute("ALTER TABLE sealed_columns ALTER COLUMN data SET STORAGE EXTERNAL")
