"""foundation

Rules of a migration here:
- It goes forward, on a database that holds data and while older processes still run: add first, remove a release later.
- A column added to a large table has no volatile default; an index on one is built CONCURRENTLY or per partition.
- It takes no lock for long: `lock_timeout` is 5 s, and a migration that meets it is run again.
- Partitions of `events` and `sessions` are made by `analytics_app.partitions`, not here.

Revision ID: 0001
Revises: none
Create Date: 2026-11-23 07:51:38.195422
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Whatever changes a definition is heard by every process; a token's last use is no change of it.
TELL = """
CREATE FUNCTION tell_of_definition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - 'last_used_at' = to_jsonb(NEW) - 'last_used_at' THEN
        RETURN NULL;
    END IF;
    PERFORM pg_notify('analytics_definitions', TG_ARGV[0] || ':' || (changed ->> TG_ARGV[1]));
    RETURN NULL;
END $$
"""
REWRITTEN = (
    "session_states",
    "traffic_rollups",
    "live_views",
    "stream_writers",
    "stream_positions",
    "stream_outcomes",
)
TOLD = (("websites", "website", "id"), ("pixel_keys", "website", "website_id"), ("tokens", "token", "id"))


def upgrade() -> None:
    op.execute("CREATE SEQUENCE event_ids AS bigint INCREMENT BY 1000 MINVALUE 1 MAXVALUE 9007199254740000")
    op.create_table(
        "client_ids",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "id", name=op.f("pk_client_ids")),
    )
    op.create_index("ix_client_ids_at", "client_ids", ["at"], unique=False, postgresql_using="brin")
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Integer(), nullable=True),
        sa.Column("name", sa.Integer(), nullable=True),
        sa.Column("title", sa.Integer(), nullable=True),
        sa.Column("time_on_page_s", sa.Integer(), server_default="0", nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("scroll_depth", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("interactive", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("value", sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", "at", name=op.f("pk_events")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ix_events_session_id", "events", ["session_id"], unique=False)
    op.create_index("ix_events_website_id_at", "events", ["website_id", "at"], unique=False)
    op.create_table(
        "failed_records",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_as", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_records")),
    )
    op.create_index(
        "ix_failed_records_waiting",
        "failed_records",
        ["id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "job_runs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job", "slot", name=op.f("pk_job_runs")),
    )
    op.create_table(
        "live_views",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("view", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changes_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("website_id", name=op.f("pk_live_views")),
    )
    op.create_table(
        "rate_budgets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column(
            "refilled_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rate_budgets")),
    )
    op.create_table(
        "session_states",
        sa.Column("key", sa.UUID(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_session_states")),
    )
    op.create_index("ix_session_states_last_at", "session_states", ["last_at"], unique=False, postgresql_using="brin")
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("pageviews", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("engaged_s", sa.Integer(), nullable=False),
        sa.Column("is_bounce", sa.Boolean(), nullable=False),
        sa.Column("entry_path", sa.Integer(), nullable=True),
        sa.Column("exit_path", sa.Integer(), nullable=True),
        sa.Column("host", sa.Integer(), nullable=True),
        sa.Column("referrer", sa.Integer(), nullable=True),
        sa.Column("source", sa.Integer(), nullable=True),
        sa.Column("channel", sa.Integer(), nullable=True),
        sa.Column("utm_source", sa.Integer(), nullable=True),
        sa.Column("utm_medium", sa.Integer(), nullable=True),
        sa.Column("utm_campaign", sa.Integer(), nullable=True),
        sa.Column("utm_term", sa.Integer(), nullable=True),
        sa.Column("utm_content", sa.Integer(), nullable=True),
        sa.Column("country", sa.Integer(), nullable=True),
        sa.Column("device_type", sa.Integer(), nullable=True),
        sa.Column("browser", sa.Integer(), nullable=True),
        sa.Column("browser_version", sa.Integer(), nullable=True),
        sa.Column("os", sa.Integer(), nullable=True),
        sa.Column("os_version", sa.Integer(), nullable=True),
        sa.Column("language", sa.Integer(), nullable=True),
        sa.Column("screen", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", "started_at", name=op.f("pk_sessions")),
        postgresql_partition_by="RANGE (started_at)",
    )
    op.create_index("ix_sessions_website_id_started_at", "sessions", ["website_id", "started_at"], unique=False)
    op.create_table(
        "stream_losses",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False),
        sa.Column("to_offset", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream_losses")),
    )
    op.create_table(
        "stream_outcomes",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "outcome", name=op.f("pk_stream_outcomes")),
    )
    op.create_table(
        "stream_positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("last_digest", sa.LargeBinary(), nullable=True),
        sa.Column("stream_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_stream_positions")),
    )
    op.create_table(
        "stream_writers",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "writer", name=op.f("pk_stream_writers")),
    )
    op.create_table(
        "terms",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.UUID(), sa.Computed("md5(text)::uuid", persisted=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terms")),
        sa.UniqueConstraint("website_id", "kind", "digest", name=op.f("uq_terms_website_id_kind_digest")),
    )
    op.create_table(
        "traffic_rollups",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.DateTime(timezone=True), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("pageviews", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.BigInteger(), nullable=False),
        sa.Column("bounces", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.BigInteger(), nullable=False),
        sa.Column("session_pageviews", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("website_id", "bucket", "partition", name=op.f("pk_traffic_rollups")),
    )
    op.create_table(
        "visitor_salts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_visitor_salts")),
    )
    op.create_table(
        "visitors",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.UUID(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_visitors")),
        sa.UniqueConstraint("website_id", "hash", name=op.f("uq_visitors_website_id_hash")),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("name", name=op.f("uq_workspaces_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("website_ids", sa.ARRAY(sa.Integer()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_tokens_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_index(op.f("ix_tokens_workspace_id"), "tokens", ["workspace_id"], unique=False)
    op.create_table(
        "websites",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("tracking_type", sa.Text(), server_default="lightweight", nullable=False),
        sa.Column("channel_type", sa.Text(), server_default="website", nullable=False),
        sa.Column("tracking_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("require_consent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("honour_dnt", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("session_timeout_s", sa.Integer(), nullable=True),
        sa.Column("allowed_hosts", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("events_retention_days", sa.Integer(), nullable=True),
        sa.Column("replay_sampling", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("channel_type IN ('website', 'app', 'server')", name=op.f("ck_websites_channel_type")),
        sa.CheckConstraint("tracking_type IN ('lightweight', 'full')", name=op.f("ck_websites_tracking_type")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_websites_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_websites")),
    )
    op.create_index("ix_websites_workspace_id", "websites", ["workspace_id", "id"], unique=False)
    op.create_table(
        "pixel_keys",
        sa.Column("key", sa.UUID(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_pixel_keys_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_pixel_keys")),
    )
    op.create_index(op.f("ix_pixel_keys_website_id"), "pixel_keys", ["website_id"], unique=False)
    # Rewritten in place again and again: room on each page keeps an update from touching the indexes.
    for table in REWRITTEN:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
    op.execute(TELL)
    for table, kind, column in TOLD:
        op.execute(
            f"CREATE TRIGGER tell_{table} AFTER INSERT OR DELETE OR UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION tell_of_definition('{kind}', '{column}')"
        )
