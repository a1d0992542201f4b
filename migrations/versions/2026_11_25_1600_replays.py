"""Session replays: what each session's recording adds up to, its chunks, and what must not come back.

Revision ID: replays
Revises: funnels
Create Date: 2026-11-25 16:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "replays"
down_revision = "funnels"
branch_labels = None
depends_on = None

ZERO, EMPTY, NOW = sa.text("0"), sa.text("''"), sa.text("now()")


def number(name: str, kind: type = sa.Integer) -> sa.Column:
    return sa.Column(name, kind(), server_default=ZERO, nullable=False)


def words(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), server_default=EMPTY, nullable=False)


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("session_key", sa.UUID(), nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        number("first_ms", sa.BigInteger),
        number("last_ms", sa.BigInteger),
        number("duration_ms", sa.BigInteger),
        number("first_sequence"),
        number("last_sequence"),
        number("chunks"),
        number("stored_bytes", sa.BigInteger),
        number("raw_bytes", sa.BigInteger),
        number("events"),
        number("clicks"),
        number("rage_clicks"),
        number("errors"),
        number("entry_ms", sa.BigInteger),
        words("entry_page"),
        sa.Column("pages", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        words("country"),
        words("device_type"),
        words("browser"),
        words("os"),
        sa.Column("stopped", sa.Text()),
        sa.Column("stopped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("ix_replays_website_id_session_key", "replays", ["website_id", "session_key"], unique=True)
    op.create_index("ix_replays_website_id_started_at", "replays", ["website_id", "started_at", "id"])
    op.create_index("ix_replays_website_id_visitor", "replays", ["website_id", "visitor"])
    op.create_index("ix_replays_stopped_at", "replays", ["stopped_at"], postgresql_where="stopped_at IS NOT NULL")
    op.create_table(
        "replay_chunks",
        sa.Column("replay_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("sanitiser", sa.SmallInteger(), nullable=False),
        sa.Column("has_snapshot", sa.Boolean(), nullable=False),
        sa.Column("click_marks", postgresql.ARRAY(sa.BigInteger())),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["replay_id"], ["replays.id"], name=op.f("fk_replay_chunks_replay_id_replays"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("replay_id", "sequence", name=op.f("pk_replay_chunks")),
    )
    # What is compressed already is not to be squeezed again.
    op.execute("ALTER TABLE replay_chunks ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "replay_tombstones",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.UUID(), nullable=False),
        sa.Column("before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("website_id", "key", name=op.f("pk_replay_tombstones")),
    )
    op.create_index("ix_replay_tombstones_created_at", "replay_tombstones", ["created_at"])
    op.add_column("websites", sa.Column("replay_max_s", sa.Integer()))
    op.add_column("websites", sa.Column("replays_retention_days", sa.Integer()))
