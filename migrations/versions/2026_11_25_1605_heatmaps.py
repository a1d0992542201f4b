"""heatmaps

Rules of a migration here:
- It goes forward, on a database that holds data and while older processes still run: add first, remove a release later.
- A column added to a large table has no volatile default; an index on one is built CONCURRENTLY or per partition.
- It takes no lock for long: `lock_timeout` is 5 s, and a migration that meets it is run again.
- Partitions of partitioned tables are made by `analytics_app.partitions`, not here.

Revision ID: heatmaps
Revises: replays
Create Date: 2026-11-25 14:40:00
"""

import sqlalchemy as sa
from alembic import op

revision = "heatmaps"
down_revision = "replays"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("websites", sa.Column("heatmaps_retention_days", sa.Integer(), nullable=True))
    op.create_table(
        "heatmaps",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url_pattern", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("type IN ('click', 'move', 'scroll')", name=op.f("ck_heatmaps_type")),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_heatmaps_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heatmaps")),
    )
    op.create_index(op.f("ix_heatmaps_website_id"), "heatmaps", ["website_id"], unique=False)
    op.execute(
        "CREATE TRIGGER tell_of_heatmaps AFTER INSERT OR UPDATE OR DELETE ON heatmaps "
        "FOR EACH ROW EXECUTE FUNCTION tell_of_definition('heatmap', 'website_id')"
    )
    op.execute(
        "CREATE TRIGGER version_heatmaps AFTER INSERT OR UPDATE OR DELETE ON heatmaps "
        "FOR EACH ROW EXECUTE FUNCTION version_definition('heatmap', 'website_id')"
    )
    op.create_table(
        "heatmap_pages",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "page", name=op.f("pk_heatmap_pages")),
    )
    op.create_table(
        "heatmap_samples",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("viewport_width", sa.Integer(), nullable=False),
        sa.Column("viewport_height", sa.Integer(), nullable=False),
        sa.Column("page_width", sa.Integer(), nullable=False),
        sa.Column("page_height", sa.Integer(), nullable=False),
        sa.Column("viewport", sa.SmallInteger(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kinds", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("xs", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("ys", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("selectors", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", "at", name=op.f("pk_heatmap_samples")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ix_heatmap_samples_page", "heatmap_samples", ["website_id", "page", "at"], unique=False)
    op.create_index("ix_heatmap_samples_visitor", "heatmap_samples", ["website_id", "visitor"], unique=False)
    op.create_table(
        "heatmap_reaches",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("session_key", sa.UUID(), nullable=False),
        sa.Column("viewport", sa.SmallInteger(), nullable=False),
        sa.Column("day", TIME, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("y", sa.Integer(), nullable=False),
        sa.Column("viewport_width", sa.Integer(), nullable=False),
        sa.Column("viewport_height", sa.Integer(), nullable=False),
        sa.Column("page_width", sa.Integer(), nullable=False),
        sa.Column("page_height", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "website_id", "page", "session_key", "viewport", "day", name=op.f("pk_heatmap_reaches")
        ),
        postgresql_partition_by="RANGE (day)",
    )
    op.create_index("ix_heatmap_reaches_page", "heatmap_reaches", ["website_id", "page", "at"], unique=False)
    op.create_index("ix_heatmap_reaches_visitor", "heatmap_reaches", ["website_id", "visitor"], unique=False)
    op.create_table(
        "heatmap_bins",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("viewport", sa.SmallInteger(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("cells", sa.LargeBinary(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heatmap_bins")),
    )
    op.create_index(
        "ix_heatmap_bins_page",
        "heatmap_bins",
        ["website_id", "page", "kind", "viewport", "day", "device"],
        unique=False,
    )
    # Read whole, again and again, and seldom written: no time is to go into unpacking them.
    op.execute("ALTER TABLE heatmap_bins ALTER COLUMN cells SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE heatmap_bins ALTER COLUMN counts SET STORAGE EXTERNAL")
