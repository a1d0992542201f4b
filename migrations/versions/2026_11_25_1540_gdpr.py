"""Consents, erasures, their receipts and the audit log.

Revision ID: gdpr
Revises: reports
Create Date: 2026-11-25 15:40
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "gdpr"
down_revision = "reports"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), server_default="", nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.CheckConstraint("status IN ('granted', 'withdrawn')", name=op.f("ck_consents_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sa.UniqueConstraint("website_id", "visitor", name=op.f("uq_consents_website_id_visitor")),
    )
    op.create_index(
        "ix_consents_withdrawn", "consents", ["website_id"], postgresql_where=sa.text("status = 'withdrawn'")
    )
    op.execute(
        "CREATE TRIGGER tell_consents AFTER INSERT OR DELETE OR UPDATE ON consents "
        "FOR EACH ROW EXECUTE FUNCTION tell_of_definition('consent', 'id')"
    )
    op.create_table(
        "consent_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), server_default="", nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_changes")),
    )
    op.create_index("ix_consent_changes_visitor", "consent_changes", ["website_id", "visitor", "id"])
    op.create_table(
        "erasures",
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("visitor", sa.UUID(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("forgotten_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("website_id", "visitor", name=op.f("pk_erasures")),
    )
    op.create_index(op.f("ix_erasures_forgotten_at"), "erasures", ["forgotten_at"])
    op.create_table(
        "gdpr_receipts",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requested_at", TIME, server_default=NOW, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("forgotten_at", TIME, nullable=False),
        sa.CheckConstraint("action IN ('delete', 'anonymise')", name=op.f("ck_gdpr_receipts_action")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gdpr_receipts")),
    )
    op.create_index("ix_gdpr_receipts_open", "gdpr_receipts", ["id"], postgresql_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "gdpr_audit",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("website_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("token_name", sa.Text(), nullable=False),
        sa.Column("receipt_id", sa.Integer(), nullable=True),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gdpr_audit")),
    )
    op.create_index("ix_gdpr_audit_workspace_id", "gdpr_audit", ["workspace_id", "id"])
