"""Which tables does the database have? The migrations must arrive at exactly these (a test compares them)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData()

# One row. `epoch` grows with every opening; a store whose epoch is not this one any more may not write.
COORDINATOR = Table(
    "coordinator",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
)

# The newest openings, each the beginning of an epoch: which septum, on which machine, which process; `at` is Unix time.
OPENINGS = Table(
    "openings",
    METADATA,
    Column("epoch", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("septum", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
)

# `state` is the canonical JSON of a protocol Run; `facts` counts the run's journal entries.
RUNS = Table(
    "runs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("facts", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Index("runs_by_age", "created_at", "id"),
    Index("runs_at_work", "id", sqlite_where=text("ended = 0")),
)

# AUTOINCREMENT: the id of a performed effect is never given to another one.
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run_id", String, ForeignKey("runs.id"), nullable=False),
    Column("effect", Text, nullable=False),
    Index("outbox_by_run", "run_id", "id"),
    sqlite_autoincrement=True,
    implicit_returning=False,  # SQLite knows RETURNING only since 3.35
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("fact", Text, nullable=False),
    sqlite_with_rowid=False,
)

SILOS = Table(
    "silos",
    METADATA,
    Column("name", String, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("enrolled_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
)

# A burned invitation stays: the same silo may repeat its enrolment when the answer was lost.
INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
    Column("token_hash", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("burned", Boolean, nullable=False),
)

# Packages that were pushed; their bytes are blobs. `signatures` is the sidecar's JSON.
APPS = Table(
    "apps",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", String, nullable=False),
    Column("blob", String, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("pushed_at", Float, nullable=False),
    Column("signatures", Text, nullable=False),
    UniqueConstraint("name", "version", name="one_package_a_version"),
)

# Packages that were pushed and removed: nobody else gets their name and version.
REMOVED_APPS = Table(
    "removed_apps",
    METADATA,
    Column("name", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("digest", String, nullable=False),
)

# What operators gave packages beside those in them; `content` is a JSON object of hyper-parameters.
PRESETS = Table(
    "presets",
    METADATA,
    Column("app", String, ForeignKey("apps.digest"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("content", Text, nullable=False),
)
