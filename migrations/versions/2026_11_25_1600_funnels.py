"""Funnels: their definitions, visitors' progress, and attempts.

Revision ID: funnels
Revises: bots
Create Date: 2026-11-25 16:00
"""

import sqlalchemy as sa
from alembic import op

revision = "funnels"
down_revision = "bots"
branch_labels = None
depends_on = None

CHANGE_SET = """
CREATE FUNCTION change_funnel_set() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    website integer := CASE WHEN TG_OP = 'DELETE' THEN OLD.website_id ELSE NEW.website_id END;
    made integer;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.revision = OLD.revision THEN
        RETURN NULL;
    END IF;
    INSERT INTO funnel_sets AS s (website_id, version, since_version) VALUES (website, 1, 1)
    ON CONFLICT (website_id) DO UPDATE SET version = s.version + 1,
        since_version = CASE WHEN TG_OP = 'UPDATE' THEN s.version + 1 ELSE s.since_version END
    RETURNING s.version INTO made;
    IF TG_OP <> 'DELETE' THEN
        UPDATE funnels SET set_version = made WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END $$
"""
REVISE = """
CREATE FUNCTION revise_funnel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.is_strict, NEW.window_hours) IS DISTINCT FROM (OLD.is_strict, OLD.window_hours) THEN
        NEW.revision := OLD.revision + 1;
    END IF;
    RETURN NEW;
END $$
"""
REVISE_BY_STEP = """
CREATE FUNCTION revise_funnel_of_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.position, NEW.match_type, NEW.match_value, NEW.is_optional)
            = (OLD.position, OLD.match_type, OLD.match_value, OLD.is_optional) THEN
        RETURN NULL;
    END IF;
    UPDATE funnels SET revision = revision + 1
    WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.funnel_id ELSE NEW.funnel_id END;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "funnels",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_strict", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("window_hours", sa.Integer(), server_default=sa.text("24"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("set_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_funnels_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funnels")),
    )
    op.create_index(op.f("ix_funnels_website_id"), "funnels", ["website_id"], unique=False)
    op.create_table(
        "funnel_steps",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("funnel_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("match_type", sa.Text(), nullable=False),
        sa.Column("match_value", sa.Text(), nullable=False),
        sa.Column("is_optional", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("match_type IN ('pageview', 'event')", name=op.f("ck_funnel_steps_match_type")),
        sa.ForeignKeyConstraint(
            ["funnel_id"], ["funnels.id"], name=op.f("fk_funnel_steps_funnel_id_funnels"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funnel_steps")),
        sa.UniqueConstraint(
            "funnel_id",
            "position",
            name=op.f("uq_funnel_steps_funnel_id_position"),
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_table(
        "funnel_sets",
        sa.Column("website_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("since_version", sa.Integer(), nullable=False),
        sa.Column("settled_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("website_id", name=op.f("pk_funnel_sets")),
    )
    op.create_table(
        "funnel_progress",
        sa.Column("visitor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("visitor", name=op.f("pk_funnel_progress")),
    )
    op.create_index("ix_funnel_progress_over_at", "funnel_progress", ["over_at"], postgresql_using="brin")
    op.create_table(
        "funnel_gone_sessions",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_funnel_gone_sessions")),
    )
    op.create_table(
        "funnel_runs",
        sa.Column("visitor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("funnel_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("required", sa.SmallInteger(), nullable=False),
        sa.Column("taken", sa.SmallInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("offsets_ms", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("visitor", "funnel_id", "event_id", name=op.f("pk_funnel_runs")),
    )
    op.create_index("ix_funnel_runs_funnel_id_started_at", "funnel_runs", ["funnel_id", "started_at"], unique=False)
    # Rewritten in place again and again.
    for table in ("funnel_progress", "funnel_runs"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
    for function in (CHANGE_SET, REVISE, REVISE_BY_STEP):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER change_set AFTER INSERT OR DELETE OR UPDATE ON funnels "
        "FOR EACH ROW EXECUTE FUNCTION change_funnel_set()"
    )
    op.execute("CREATE TRIGGER revise BEFORE UPDATE ON funnels FOR EACH ROW EXECUTE FUNCTION revise_funnel()")
    op.execute(
        "CREATE TRIGGER revise_by_step AFTER INSERT OR DELETE OR UPDATE ON funnel_steps "
        "FOR EACH ROW EXECUTE FUNCTION revise_funnel_of_step()"
    )
    for name, function in (("tell", "tell_of_definition"), ("version", "version_definition")):
        op.execute(
            f"CREATE TRIGGER {name}_funnel_sets AFTER INSERT OR DELETE OR UPDATE ON funnel_sets "
            f"FOR EACH ROW EXECUTE FUNCTION {function}('funnels', 'website_id')"
        )
    # Finds a visitor's sessions. Built while nothing is stored: some seconds for each ten million sessions.
    op.create_index("ix_sessions_website_id_visitor", "sessions", ["website_id", "visitor"], unique=False)
