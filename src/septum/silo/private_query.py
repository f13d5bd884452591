"""How does a silo answer a query with noise? Reserve, draw once, keep, release: in this order, each on the disk before.

The ledger is charged before a row is looked at. The numbers with their noise are on the disk before anything is made
of them; whatever is offered, in which attempt and after which crash, are these. So a query costs once. An agent that
is killed before they were kept has released nothing, and draws again under what it had reserved; one that was killed
before it knew its reservation reserves once more, and the first stays spent.

    privacy.json  the reservation
    noisy         the numbers
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from septum.errors import SeptumError, StorageError, TensorError
from septum.privacy.accounting import Gaussian
from septum.privacy.gaussian import noise_multiplier
from septum.privacy.ledger import Charge, Unit
from septum.protocol import tensors
from septum.protocol.codec import dumps, to_json
from septum.protocol.counting import Values
from septum.protocol.noisy_counting import count_with_noise, unit_of
from septum.protocol.plan import Plan
from septum.protocol.privacy import Strength
from septum.protocol.query import Noise, Query
from septum.protocol.query_combine import SUMMED
from septum.silo.log import Log
from septum.silo.paid_state import read_state, write_durably
from septum.silo.private_receipts import PrivateReceipt
from septum.silo.private_run import PrivacyTools
from septum.silo.run_files import RunFiles


@dataclass(frozen=True, slots=True)
class Asked:
    """What was reserved for a query. `reservation`: its id in the ledger; empty once it is settled."""

    reservation: str
    dataset: str


def mechanism_of(noise: Noise) -> Gaussian:
    """All that a silo sends for a query, as the ledger has it."""
    return Gaussian(noise_multiplier(noise.epsilon, noise.delta))


class PrivateQuery:
    """One query's account in a silo. For the thread that serves the run."""

    def __init__(self, tools: PrivacyTools, run: str, plan: Plan, files: RunFiles, log: Log) -> None:
        assert plan.query is not None
        assert plan.query.noise is not None
        self._tools, self._run, self._files, self._log = tools, run, files, log
        self._query: Query = plan.query
        self._noise: Noise = plan.query.noise

    def sums(self, dataset: str, table: Mapping[str, Values]) -> Values:
        """The numbers of the silo's table that may leave: the same whenever they are asked for.

        Raises BudgetError for what the ledger does not pay, StorageError where the disk does not take it.
        """
        kept = self._kept()
        if kept is not None:
            return kept
        self._reserve(dataset)
        sums = count_with_noise(self._query, table, os.urandom)
        write_durably(self._files.noisy, tensors.encode({SUMMED: sums}))
        return sums

    def settle(self) -> None:
        """Say whether anything was released. Where that fails the reservation stays spent."""
        try:
            asked = self._asked()
            if asked is None or not asked.reservation:
                return
            kept = self._kept()
            self._tools.ledger.settle(asked.reservation, 0 if kept is None else 1)
            write_durably(self._files.privacy, dumps(to_json(replace(asked, reservation=""))))
            if kept is not None:
                self._tools.receipts.add(self._receipt(asked, kept))
        except SeptumError as error:
            self._log.error("privacy_not_settled", error=error.message, hint=error.hint)
            return
        self._log.info("privacy_settled", released=kept is not None)

    def _reserve(self, dataset: str) -> None:
        asked = self._asked()
        if asked is not None and asked.reservation and asked.reservation not in self._tools.ledger.read().book.settled:
            return  # else whoever settled it was killed before saying so, and it pays for nothing any more
        charge = Charge(dataset, Unit.RECORD, mechanism_of(self._noise), f"run {self._run}: statistics with noise")
        asked = Asked(self._tools.ledger.reserve(charge, self._tools.budget), dataset)
        write_durably(self._files.privacy, dumps(to_json(asked)))
        self._log.info("privacy_reserved", epsilon=self._noise.epsilon, delta=self._noise.delta)

    def _receipt(self, asked: Asked, kept: Values) -> PrivateReceipt:
        mechanism = mechanism_of(self._noise)
        return PrivateReceipt(
            at=self._tools.unix(),
            run=self._run,
            dataset=asked.dataset,
            strength=Strength.ENFORCED.value,
            epsilon=self._tools.accountant([mechanism], self._noise.delta),
            delta=self._noise.delta,
            steps=1,
            rows=round(float(kept[0]) / unit_of(self._query)),  # the number of rows comes first in what was asked
            noise_multiplier=mechanism.noise_multiplier,
            sampling_rate=1.0,
        )

    def _kept(self) -> Values | None:
        path = self._files.noisy
        try:
            return tensors.decode(path.read_bytes())[SUMMED].astype(np.float64)
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TensorError) as error:
            raise StorageError(f"{path} cannot be read: {error}", hint=f"ls -l {path}") from error

    def _asked(self) -> Asked | None:
        return read_state(self._files.privacy, Asked)
