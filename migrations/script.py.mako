"""${message}

Rules of a migration here:
- It goes forward, on a database that holds data and while older processes still run: add first, remove a release later.
- A column added to a large table has no volatile default; an index on one is built CONCURRENTLY or per partition.
- It takes no lock for long: `lock_timeout` is 5 s, and a migration that meets it is run again.
- Partitions of `events` and `sessions` are made by `analytics_app.partitions`, not here.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
