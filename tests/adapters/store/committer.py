"""A coordinator in little, to be killed: opens a data directory and commits for ever, printing what is acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

from septum.adapters.store.open import open_store
from septum.errors import NotFoundError
from septum.ports.store import Transition
from septum.protocol.facts import SiloJoined
from septum.testing.contracts.samples import DISCARD, new_run


def main(data_dir: Path) -> None:
    """Each commit adds a fact and an effect, and performs the one before. Prints each version once it is in."""
    with open_store(data_dir) as stores:
        try:
            version = stores.runs.get("run-a").version
            done = tuple(pending.id for pending in stores.runs.unfinished()[0][1])
        except NotFoundError:
            version, done = stores.runs.create(new_run("run-a"), (SiloJoined("silo-1"),), at=1.0).version, ()
        while True:
            fact = SiloJoined(f"silo-{version + 1}")
            (pending,) = stores.runs.commit([Transition(new_run("run-a"), version, (DISCARD,), done, (fact,))], at=2.0)
            version, done = version + 1, (pending[0].id,)
            print(version, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
