"""Sealed days are kept by parts of four hours, too: the job counts them again, from rows until then.

Revision ID: days_by_parts
Revises: anonymised_at
Create Date: 2026-11-30 00:50
"""

from alembic import op

revision = "days_by_parts"
down_revision = "anonymised_at"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM seals WHERE span <> 96")
    op.execute("UPDATE seals SET state = 2, changed_at = now()")
    op.execute("TRUNCATE sealed_sums, sealed_columns")
