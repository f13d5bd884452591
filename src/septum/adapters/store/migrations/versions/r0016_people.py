"""Organisations, people, roles, sessions and tokens. Silos that are there belong to the first organisation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    _organisations()
    _people()
    _signed_in()


def _organisations() -> None:
    op.create_table(
        "organisations",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.execute("INSERT INTO organisations (name, title, created_at) VALUES ('default', 'The first organisation', 0)")
    op.create_table(
        "silo_owners",
        sa.Column("silo", sa.String(), sa.ForeignKey("silos.name"), primary_key=True),
        sa.Column("organisation", sa.String(), sa.ForeignKey("organisations.name"), nullable=False),
    )


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), sa.ForeignKey("organisations.name"), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("one_time_hash", sa.LargeBinary(), nullable=False),
        sa.Column("one_time_until", sa.Float(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=False),
        sa.Column("totp_step", sa.Integer(), nullable=False),
    )
    op.create_table(
        "grants",
        sa.Column("person", sa.String(), sa.ForeignKey("people.name"), primary_key=True),
        sa.Column("role", sa.String(), primary_key=True),
        sa.Column("given_over", sa.String(), primary_key=True),
        sa.Column("scope", sa.String(), primary_key=True),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("person", sa.String(), sa.ForeignKey("people.name"), primary_key=True),
        sa.Column("code_hash", sa.LargeBinary(), primary_key=True),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("person", sa.String(), sa.ForeignKey("people.name"), nullable=False),
    )
    op.create_index("identities_by_person", "identities", ["person"])


def _signed_in() -> None:
    op.create_table(
        "sessions",
        sa.Column("secret_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("person", sa.String(), sa.ForeignKey("people.name"), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_index("sessions_by_person", "sessions", ["person", "opened_at"])
    op.create_table(
        "tokens",
        sa.Column("secret_hash", sa.LargeBinary(), primary_key=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), sa.ForeignKey("people.name"), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("rights", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.UniqueConstraint("id", name="one_token_an_id"),
    )
    op.create_index("tokens_by_person", "tokens", ["person", "created_at"])
