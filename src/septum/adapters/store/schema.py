"""Which tables does the database have? The migrations must arrive at exactly these (a test compares them)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
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

from septum.protocol.rights import FIRST_ORGANISATION

METADATA = MetaData()
REVISION = "0030"  # of the migrations that arrive at these tables: the newest
MAX_ENTRY_BYTES = 16 * 1024 * 1024  # of a column of JSON; the state of a run with 1,000 silos is about 1 MB

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

# What the keys of runs are made with: ports/run_keys.py. `salt` is empty once the run was shredded; `files`: whether
# some of a shredded run may be left.
RUN_KEYS = Table(
    "run_keys",
    METADATA,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("shredded_at", Float),
    Column("shredded_by", String, nullable=False),
    Column("files", Boolean, nullable=False),
)

# Which runs have made a model: as their journals say, found by its digest.
MADE_MODELS = Table(
    "models",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
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

# Members of the federation; `default` is there from the beginning and owns what nobody else was given.
ORGANISATIONS = Table(
    "organisations",
    METADATA,
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("created_at", Float, nullable=False),
)

# Silos of another organisation than `default`. A table of its own: SQLite adds no column that refers to another one.
SILO_OWNERS = Table(
    "silo_owners",
    METADATA,
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
    Column("organisation", String, ForeignKey("organisations.name"), nullable=False),
)

# What silos say about themselves: ports/accounts.py. `description` is canonical JSON, empty until there is one.
SILO_ACCOUNTS = Table(
    "silo_accounts",
    METADATA,
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
    Column("description", Text, nullable=False),
    Column("described_at", Float, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("reason", String, nullable=False),
    Column("stood_at", Float, nullable=False),
    Column("budget_low", Text, nullable=False),
)

# People and what they prove themselves by: ports/people.py, ports/credentials.py. Nobody is removed.
PEOPLE = Table(
    "people",
    METADATA,
    Column("name", String, primary_key=True),
    Column("full_name", String, nullable=False),
    Column("organisation", String, ForeignKey("organisations.name"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("password_hash", String, nullable=False),
    Column("one_time_hash", LargeBinary, nullable=False),
    Column("one_time_until", Float, nullable=False),
    Column("totp_secret", LargeBinary, nullable=False),
    Column("totp_step", Integer, nullable=False),
)

# Roles: protocol/rights.py. `scope` is the name of the organisation or project, empty for the federation.
GRANTS = Table(
    "grants",
    METADATA,
    Column("person", String, ForeignKey("people.name"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("given_over", String, primary_key=True),
    Column("scope", String, primary_key=True),
)

RECOVERY_CODES = Table(
    "recovery_codes",
    METADATA,
    Column("person", String, ForeignKey("people.name"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
)

# Silos that belong together. Those of the organisation `open_to` join when they enrol; it is empty where none do.
GROUPS = Table(
    "silo_groups",
    METADATA,
    Column("name", String, primary_key=True),
    Column("open_to", String, nullable=False),
    Column("created_at", Float, nullable=False),
)

GROUP_SILOS = Table(
    "silos_of_groups",
    METADATA,
    Column("of_group", String, ForeignKey("silo_groups.name"), primary_key=True),
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
)

# What runs belong to. None is removed.
PROJECTS = Table(
    "projects",
    METADATA,
    Column("name", String, primary_key=True),
    Column("silo_group", String, ForeignKey("silo_groups.name"), nullable=False),
    Column("description", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("closed", Boolean, nullable=False),
)

PROJECT_OWNERS = Table(
    "project_owners",
    METADATA,
    Column("project", String, ForeignKey("projects.name"), primary_key=True),
    Column("organisation", String, ForeignKey("organisations.name"), primary_key=True),
)

# By what runs are looked for, apart from their large states. `project` is empty for a run of none, `outcome` until it
# ends: no round writes here.
RUN_INDEX = Table(
    "run_index",
    METADATA,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("project", String, nullable=False),
    Column("app", String, nullable=False),
    Column("app_version", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("name", String, nullable=False),
    Column("submitter", String, nullable=False),
    Index("run_index_by_age", "created_at", "run_id"),
    Index("run_index_by_project", "project", "created_at", "run_id"),
)

# Versions of models under names: ports/registered.py. `content` is the canonical JSON of a protocol ModelVersion.
MODEL_VERSIONS = Table(
    "model_versions",
    METADATA,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("run_id", String, ForeignKey("runs.id"), nullable=False),
    Column("content", Text, nullable=False),
)

# `silo_group` is empty where silos are named; `silos` is a JSON list. AUTOINCREMENT: no number is given twice.
DEPLOYMENTS = Table(
    "deployments",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("silo_group", String, nullable=False),
    Column("silos", Text, nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", Float, nullable=False),
    ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
    sqlite_autoincrement=True,
    implicit_returning=False,  # as above
)

# What a silo said last of a deployment; `metrics` is a JSON object.
DEPLOYMENT_STATES = Table(
    "deployment_states",
    METADATA,
    Column("deployment", Integer, ForeignKey("deployments.id"), primary_key=True),
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("told_at", Float, nullable=False),
)

# How runs that have ended look in lists: JSON of a RunView, and of the newest ModelView. `shape`: by what it was made.
RUN_VIEWS = Table(
    "run_views",
    METADATA,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("shape", String, nullable=False),
    Column("view", Text, nullable=False),
    Column("model", Text, nullable=False),
)

# Who a subject of an identity provider is here.
IDENTITIES = Table(
    "identities",
    METADATA,
    Column("issuer", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("person", String, ForeignKey("people.name"), nullable=False),
    Index("identities_by_person", "person"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("person", String, ForeignKey("people.name"), nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("sessions_by_person", "person", "opened_at"),
)

# `rights` is a sorted list of names, with a space between two.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("id", String, nullable=False),
    Column("person", String, ForeignKey("people.name"), nullable=False),
    Column("title", String, nullable=False),
    Column("rights", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    UniqueConstraint("id", name="one_token_an_id"),
    Index("tokens_by_person", "person", "created_at"),
)

# What has changed in the federation: ports/feed.py. `place` is where it lies among the changes of its noun,
# `content` the canonical JSON of a protocol Change; the columns beside it are what it is looked for by. AUTOINCREMENT:
# no number is given twice, whatever was trimmed.
FEED = Table(
    "feed",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("noun", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("place", String, nullable=False),
    Column("run", String, nullable=False),
    Column("silo", String, nullable=False),
    Column("project", String, nullable=False),
    Column("content", Text, nullable=False),
    # In the order of `seq`, with all else that is sought: what does not match is passed over without its row.
    Index("feed_by_run", "run", "seq"),
    Index("feed_by_silo", "silo", "seq", "kind", "noun", "place"),
    Index("feed_by_project", "project", "seq", "kind", "noun", "place"),
    Index("feed_by_kind", "kind", "seq", "noun", "place"),
    sqlite_autoincrement=True,
)

# The audit log: ports/audit.py. `event` is its canonical JSON; the columns before it are what it is looked for by,
# `made_by` its `by`. `hash`: of all events up to this one; `nodes`: those of the tree that it makes complete.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("made_by", String, nullable=False),
    Column("run", String, nullable=False),
    Column("silo", String, nullable=False),
    Column("event", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("nodes", LargeBinary, nullable=False),
    Index("audit_by_time", "at"),
    Index("audit_by_kind", "kind", "seq"),
    Index("audit_by_person", "made_by", "seq"),
    Index("audit_by_run", "run", "seq"),
    Index("audit_by_silo", "silo", "seq"),
)

# `content` is the canonical JSON of a protocol SignedHead, of a Countersignature.
AUDIT_HEADS = Table(
    "audit_heads",
    METADATA,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
)

AUDIT_WITNESSES = Table(
    "audit_witnesses",
    METADATA,
    Column("size", Integer, ForeignKey("audit_heads.size"), primary_key=True),
    Column("silo", String, ForeignKey("silos.name"), primary_key=True),
    Column("content", Text, nullable=False),
)

# The rows that a new database has.
BEGINNING: tuple[tuple[Table, Mapping[str, object]], ...] = (
    (COORDINATOR, {"id": 1, "epoch": 0}),
    (ORGANISATIONS, {"name": FIRST_ORGANISATION, "title": "The first organisation", "created_at": 0.0}),
)

# Which migrations a database has seen, as Alembic keeps it: one row.
ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
