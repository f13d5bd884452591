"""How does a golden data directory become a real one again?"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from tests.golden.record_schema import HERE

from septum.adapters.store.migrate import SCRIPTS
from septum.adapters.store.open import DATABASE_NAME

ORDER = [one.revision for one in ScriptDirectory(str(SCRIPTS)).walk_revisions()]  # from the newest on
SCHEMAS = sorted(HERE.glob("schema-*"), key=lambda path: -ORDER.index(path.name.removeprefix("schema-")))


def data_dir_of(schema: Path, data_dir: Path) -> Path:
    """A data directory as a coordinator of that schema left it."""
    data_dir.mkdir(mode=0o700)
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database:
        database.executescript((schema / "dump.sql").read_text())
    shutil.copytree(schema / "blobs", data_dir / "blobs")
    return data_dir


def expected_of(schema: Path) -> dict[str, Any]:
    """By run: its state then, what its outbox held, and the model at which it ends."""
    found: dict[str, Any] = json.loads((schema / "expected.json").read_text())
    return found
