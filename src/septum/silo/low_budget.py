"""Of which datasets is the privacy budget nearly spent? Their names are told, from the share on that the policy says.

Nothing else of the ledger leaves: neither how much is spent nor on what. That a name is told says that between one more
run and the next the share was crossed, which a coordinator that knows all runs could reckon roughly by itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from septum.errors import SeptumError
from septum.privacy.accounting import Accountant
from septum.privacy.ledger import Budget
from septum.silo.ledger import FILE_NAME, read
from septum.silo.log import Log


class LowBudgets:
    """Looks again whenever the ledger has changed. For one thread.

    below  a share of the budget, between 0 and 1: what has less left is told of; None: nothing is
    """

    def __init__(self, silo_dir: Path, budget: Budget, accountant: Accountant, below: float | None, log: Log) -> None:
        self._silo_dir, self._budget, self._accountant = silo_dir, budget, accountant
        self._below = below
        self._log = log
        self._state: object = None
        self._names: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The datasets, sorted. While the ledger cannot be read or nobody can account, those of before."""
        if self._below is None or (state := self._state_of_ledger()) == self._state:
            return self._names
        self._state = state
        try:
            book = read(self._silo_dir).book
            most = (1.0 - self._below) * self._budget.epsilon
            spent = {name: self._accountant(book.costs(name), self._budget.delta) for name in sorted(book.units)}
        except SeptumError as error:
            self._log.warning("budget_not_looked_at", error=error.message, hint=error.hint)
            return self._names
        self._names = tuple(name for name, epsilon in spent.items() if epsilon > most)
        return self._names

    def _state_of_ledger(self) -> object:
        try:
            found = os.stat(self._silo_dir / FILE_NAME)
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime_ns
