"""Email reports, alerts, and what is delivered for them.

Revision ID: reports
Revises: live_removals
Create Date: 2026-11-25 15:10
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "reports"
down_revision = "live_removals"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TEXTS = postgresql.ARRAY(sa.Text())
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "email_reports",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("frequency", sa.Text(), nullable=False),
        sa.Column("recipients", TEXTS, nullable=False),
        sa.Column("metrics", TEXTS, nullable=False),
        sa.Column("sections", TEXTS, nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("active_since", TIME, server_default=NOW, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("frequency IN ('daily', 'weekly', 'monthly')", name=op.f("ck_email_reports_frequency")),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_email_reports_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_reports")),
    )
    op.create_index("ix_email_reports_website_id", "email_reports", ["website_id", "id"])
    op.create_table(
        "report_sends",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=True),
        sa.Column("period_start", TIME, nullable=False),
        sa.Column("period_end", TIME, nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"],
            ["email_reports.id"],
            name=op.f("fk_report_sends_report_id_email_reports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_sends")),
        sa.UniqueConstraint("report_id", "slot", name=op.f("uq_report_sends_report_id_slot")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), server_default="pageviews", nullable=False),
        sa.Column("goal_id", sa.Integer(), nullable=True),
        sa.Column("window_minutes", sa.Integer(), nullable=False),
        sa.Column("threshold_percent", sa.Float(), nullable=False),
        sa.Column("min_count", sa.Integer(), nullable=False),
        sa.Column("cooldown_minutes", sa.Integer(), nullable=False),
        sa.Column("recipients", TEXTS, server_default="{}", nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("firing_since", TIME, nullable=True),
        sa.Column("last_fired_at", TIME, nullable=True),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("type IN ('traffic_spike', 'traffic_drop', 'goal_silence')", name=op.f("ck_alerts_type")),
        sa.CheckConstraint("metric IN ('pageviews', 'visitors')", name=op.f("ck_alerts_metric")),
        sa.ForeignKeyConstraint(
            ["website_id"], ["websites.id"], name=op.f("fk_alerts_website_id_websites"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index("ix_alerts_website_id", "alerts", ["website_id", "id"])
    op.create_table(
        "alert_firings",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("usual", sa.Float(), nullable=False),
        sa.Column("is_test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("resolved_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name=op.f("fk_alert_firings_alert_id_alerts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_firings")),
    )
    op.create_index("ix_alert_firings_alert_id", "alert_firings", ["alert_id", "id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("send_id", sa.Integer(), nullable=True),
        sa.Column("firing_id", sa.Integer(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", TIME, server_default=NOW, nullable=False),
        sa.Column("claimed_at", TIME, nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.CheckConstraint("channel IN ('email', 'webhook')", name=op.f("ck_deliveries_channel")),
        sa.CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'failed', 'unknown')", name=op.f("ck_deliveries_state")
        ),
        sa.CheckConstraint("(send_id IS NULL) <> (firing_id IS NULL)", name=op.f("ck_deliveries_of_one")),
        sa.ForeignKeyConstraint(
            ["send_id"], ["report_sends.id"], name=op.f("fk_deliveries_send_id_report_sends"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["firing_id"], ["alert_firings.id"], name=op.f("fk_deliveries_firing_id_alert_firings"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["next_at"],
        postgresql_where=sa.text("state IN ('waiting', 'sending')"),
    )
    op.create_index("ix_deliveries_send_id", "deliveries", ["send_id"])
    op.create_index("ix_deliveries_firing_id", "deliveries", ["firing_id"])
