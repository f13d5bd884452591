"""Which PostgreSQL server of this system can a test or a benchmark start, and as whom?"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path


def programs() -> Path | None:
    """The folder of the newest `postgres` of this system; None where there is none."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/postgres"), *Path("/usr").glob("pgsql*/bin/postgres")]
    if found:
        return max(found, key=lambda path: float(path.parts[-3].strip("pgsql-"))).parent
    named = shutil.which("postgres")
    return Path(named).resolve().parent if named else None


def unprivileged() -> str | None:
    """The user who is to run it where this process is root's, as whom it does not run; else None: this one."""
    if os.getuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
