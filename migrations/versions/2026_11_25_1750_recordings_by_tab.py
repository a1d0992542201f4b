"""Recordings by tab of their session, samples by session.

Revision ID: recordings_by_tab
Revises: sealed_columns
Create Date: 2026-11-25 17:50
"""

import sqlalchemy as sa
from alembic import op

revision = "recordings_by_tab"
down_revision = "sealed_columns"
branch_labels = None
depends_on = None

NONE = sa.text("'00000000-0000-0000-0000-000000000000'")


def upgrade() -> None:
    op.add_column("replays", sa.Column("tab", sa.UUID(), server_default=NONE, nullable=False))
    # A row for each recorded session: a second for a million.
    op.create_index(
        "ix_replays_website_id_session_key_tab", "replays", ["website_id", "session_key", "tab"], unique=True
    )
    op.drop_index("ix_replays_website_id_session_key", "replays")
    op.add_column("heatmap_samples", sa.Column("session_key", sa.UUID(), nullable=True))
