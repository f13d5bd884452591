"""On which PostgreSQL is it measured? A server of this machine, as it comes: each commit is on its disk.

It has a Unix socket in a folder of its own, and goes when the measurement is over.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.federations import until
from septum.testing.postgresql import programs, unprivileged

USER = NAME = "septum"
STARTS_S = 60.0


@contextmanager
def a_database() -> Iterator[str]:
    """The URL of an empty database, until the end of the block."""
    binaries, owner = programs(), unprivileged()
    if binaries is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="septum-pg-"))
    if owner:
        shutil.chown(folder, owner)
    data = str(folder / "data")
    made = [str(binaries / "initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(made, user=owner, cwd=folder, check=True, capture_output=True)
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", data, "-k", str(folder), "-c", "listen_addresses="],
            user=owner,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    create = [str(binaries / "createdb"), "-h", str(folder), "-U", USER, "-E", "UTF8", "-T", "template0", NAME]
    try:
        until(lambda: not subprocess.run(create, capture_output=True, check=False).returncode, STARTS_S, "PostgreSQL")
        yield f"postgresql://{USER}@/{NAME}?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # it ends the sessions that are left
        server.wait(STARTS_S)
        shutil.rmtree(folder)
