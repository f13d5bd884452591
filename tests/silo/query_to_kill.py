"""A process that answers a query with noise and is killed on the way: python -m tests.silo.query_to_kill DIR POINT."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.silo.private_queries import TABLE, account

from septum.silo import private_query
from septum.silo.ledger import Ledger

POINTS = ("reserved", "written down", "drawn", "kept")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., object], at: str = "") -> Callable[..., object]:
    def instead(*given: object, **named: object) -> object:
        made = function(*given, **named)
        if not at or Path(str(given[0])).name == at:
            die()
        return made

    return instead


def main(folder: str, point: str) -> None:
    match point:
        case "reserved":
            Ledger.reserve = then_die(Ledger.reserve)  # type: ignore[method-assign]
        case "written down":
            private_query.write_durably = then_die(private_query.write_durably)
        case "drawn":
            private_query.count_with_noise = then_die(private_query.count_with_noise)
        case "kept":
            private_query.write_durably = then_die(private_query.write_durably, "noisy")
    account(Path(folder)).sums("ward", TABLE)
    sys.stdout.write("answered\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
