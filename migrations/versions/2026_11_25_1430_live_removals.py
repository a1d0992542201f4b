"""Who was taken out of the live views.

Revision ID: live_removals
Revises: backfills
Create Date: 2026-11-25 14:30
"""

import sqlalchemy as sa
from alembic import op

revision = "live_removals"
down_revision = "backfills"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "live_removals",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "visitor", name=op.f("pk_live_removals")),
    )
