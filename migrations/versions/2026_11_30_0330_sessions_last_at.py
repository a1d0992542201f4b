"""Who was there lately is found without reading every session of the day before.

Revision ID: sessions_last_at
Revises: days_by_parts
Create Date: 2026-11-30 03:30
"""

from alembic import op

revision = "sessions_last_at"
down_revision = "days_by_parts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_sessions_last_at",
        "sessions",
        ["last_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
