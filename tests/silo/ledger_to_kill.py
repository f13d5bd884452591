"""A process that reserves and settles until it is killed, and says what it was told: python -m ... DIR COUNT."""

from __future__ import annotations

import sys
from pathlib import Path

from septum.errors import BudgetError
from septum.privacy.accounting import Stated
from septum.privacy.ledger import Budget, Charge, Unit
from septum.silo.ledger import Ledger


def added(mechanisms, delta):
    return sum(one.epsilon for one in mechanisms)


def say(*words):
    """One line that is out when this returns."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def main(silo_dir: str, count: str, budget: str) -> None:
    ledger = Ledger(Path(silo_dir), added, lambda: 0.0)
    for number in range(int(count)):
        charge = Charge("heart", Unit.RECORD, Stated(1.0), f"{number}")
        try:
            id_ = ledger.reserve(charge, Budget(float(budget), 1e-5))
        except BudgetError:
            say("refused")
            continue
        say("reserved", id_)
        if number % 2:
            ledger.settle(id_, 0)
            say("settled", id_)


if __name__ == "__main__":
    main(*sys.argv[1:])
