"""When a visitor was anonymised: what they had on its way then is kept as nobody's.

Revision ID: anonymised_at
Revises: recordings_by_tab
Create Date: 2026-11-25 17:40
"""

import sqlalchemy as sa
from alembic import op

revision = "anonymised_at"
down_revision = "recordings_by_tab"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Processes that do not know it go on as before: what of an anonymised visitor is on its way is left out by them.
    op.add_column("erasures", sa.Column("anonymised_at", sa.DateTime(timezone=True), nullable=True))
