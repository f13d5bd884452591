"""What has been spent of a dataset's privacy, and may this be spent too? The ledger's rules; no I/O.

Unit: the ledger does not know what a record or a patient is; it keeps each dataset to one unit, the one that its first
entry names, so that a change of the word gives nobody a second budget. Adjacency: one such unit added or removed.
Claim: whoever has all releases of a dataset, of all runs, models and statistics together, learns of one unit at most
what the budget's (epsilon, delta) allows. Assumptions: every release is reserved here before it is made, under the
dataset's name; a mechanism is what it says it is. What voids it: a release that was not reserved, and the same patients
under another dataset's name, in this silo or in another: the ledgers of two datasets do not add up by themselves.

What is reserved counts as spent until it is settled by the steps that were executed. So a crash between the two costs
the whole reservation, never less than what was released.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from typing import TypeAlias

from septum.errors import BudgetError, ConfigError, ProtocolError
from septum.privacy.accounting import (
    Accountant,
    Gaussian,
    Laplace,
    Mechanism,
    SampledGaussian,
    Stated,
    check_delta,
)

GENESIS = sha256(b"septum-ledger-v1").hexdigest()


class Unit(Enum):
    """What one of is added or removed between two datasets that must not be told apart."""

    RECORD = "record"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be spent.

    dataset  its name, for good: a dataset that gets rows or is corrected keeps it, and what was spent
    purpose  for the steward who reads it: run and round, or which statistic
    """

    dataset: str
    unit: Unit
    mechanism: Mechanism
    purpose: str

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ConfigError("a charge to the ledger names its dataset")


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a dataset may cost: epsilon, at a delta."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ConfigError(f"a budget of epsilon {self.epsilon}; it is a finite number above 0")
        check_delta(self.delta)


@dataclass(frozen=True, slots=True)
class Reserved:
    """It may be spent from now on, and counts as spent."""

    id: str
    charge: Charge


@dataclass(frozen=True, slots=True)
class Settled:
    """Of reservation `id` this many steps (or releases) were executed; the rest is free again."""

    id: str
    executed: int


@dataclass(frozen=True, slots=True)
class Released:
    """It was spent at once: one release, not known beforehand in parts."""

    charge: Charge


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not spent: the budget could not pay for it."""

    charge: Charge
    budget: Budget


@dataclass(frozen=True, slots=True)
class Recovered:
    """Entries were lost. From here on `charge` counts against every dataset, those not named yet as well.

    expected  number of the last entry that was known of
    """

    charge: Stated
    expected: int


Event: TypeAlias = Reserved | Settled | Released | Refused | Recovered


@dataclass(frozen=True, slots=True)
class Book:
    """What the events so far come to.

    units    of each dataset, settled by its first charge
    pending  reservations that are not settled
    settled  how many steps of each reservation were executed
    spent    what was, by dataset; without what is pending
    lost     what counts against every dataset
    """

    units: Mapping[str, Unit] = field(default_factory=dict)
    pending: Mapping[str, Charge] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, tuple[Mechanism, ...]] = field(default_factory=dict)
    lost: tuple[Stated, ...] = ()

    def costs(self, dataset: str) -> tuple[Mechanism, ...]:
        """Everything that counts against a dataset, pending reservations in full."""
        pending = (charge.mechanism for charge in self.pending.values() if charge.dataset == dataset)
        return (*self.spent.get(dataset, ()), *pending, *self.lost)


def step(book: Book, event: Event) -> Book:
    """The book after an event. Raises ProtocolError for one that cannot follow, and changes nothing.

    >>> charge = Charge("heart", Unit.RECORD, Gaussian(2.0, releases=10), "an example")
    >>> book = step(Book(), Reserved("a", charge))
    >>> book.costs("heart"), step(book, Settled("a", 3)).costs("heart")
    ((Gaussian(noise_multiplier=2.0, releases=10),), (Gaussian(noise_multiplier=2.0, releases=3),))
    """
    match event:
        case Reserved(id_, charge):
            if id_ in book.pending or id_ in book.settled:
                raise ProtocolError(f"there is a reservation {id_!r} already; every execution has one of its own")
            return replace(_named(book, charge), pending={**book.pending, id_: charge})
        case Settled(id_, executed):
            return _settle(book, id_, executed)
        case Released(charge):
            return _spend(_named(book, charge), charge.dataset, charge.mechanism)
        case Refused():
            return book
        case Recovered(charge):
            return replace(book, lost=(*book.lost, charge))


def is_settled(book: Book, id_: str, executed: int) -> bool:
    """Whether this settlement was made before: it is then no event any more."""
    return book.settled.get(id_) == executed


def decide(book: Book, charge: Charge, budget: Budget, accountant: Accountant) -> BudgetError | None:
    """Why the budget cannot pay for this, or None if it can. Raises ProtocolError for another unit of the dataset."""
    _named(book, charge)
    total = accountant([*book.costs(charge.dataset), charge.mechanism], budget.delta)
    if total <= budget.epsilon:
        return None
    spent = accountant(book.costs(charge.dataset), budget.delta)
    left = max(0.0, budget.epsilon - spent)
    return BudgetError(
        f"{charge.purpose} would bring dataset {charge.dataset!r} to epsilon {up(total)} at delta {budget.delta:g}; the"
        f" budget is {budget.epsilon:g}, of which {up(spent)} is spent and {math.floor(left * 1000) / 1000:g} is left",
        hint="fewer steps or rounds, or a smaller target epsilon; septum silo ledger show says what it was spent on",
    )


def link(previous: str, entry: bytes) -> str:
    """The hash of an entry in its chain: SHA-256 over the hash before, as 32 bytes, and the entry's bytes.

    >>> link(GENESIS, b"x") == link(GENESIS, b"y")
    False
    """
    return sha256(bytes.fromhex(previous) + entry).hexdigest()


def up(epsilon: float) -> str:
    """An epsilon as people are told it: three decimals, never less than it is.

    >>> up(1.0001), up(math.inf)
    ('1.001', 'infinity')
    """
    return f"{math.ceil(epsilon * 1000) / 1000:g}" if math.isfinite(epsilon) else "infinity"


def _named(book: Book, charge: Charge) -> Book:
    unit = book.units.get(charge.dataset, charge.unit)
    if unit is not charge.unit:
        raise ProtocolError(
            f"dataset {charge.dataset!r} is accounted for by {unit.value}; {charge.purpose} is by {charge.unit.value}",
            hint="a dataset has one privacy unit for good",
        )
    return replace(book, units={**book.units, charge.dataset: unit})


def _settle(book: Book, id_: str, executed: int) -> Book:
    if id_ not in book.pending:
        before = f"settled with {book.settled[id_]} before" if id_ in book.settled else "not known"
        raise ProtocolError(f"reservation {id_!r} cannot be settled with {executed}: it is {before}")
    charge = book.pending[id_]
    if not 0 <= executed <= _count(charge.mechanism):
        raise ProtocolError(f"reservation {id_!r} is for {_count(charge.mechanism)}, and {executed} were executed")
    pending = {key: value for key, value in book.pending.items() if key != id_}
    settled = replace(book, pending=pending, settled={**book.settled, id_: executed})
    return _spend(settled, charge.dataset, _with_count(charge.mechanism, executed)) if executed else settled


def _spend(book: Book, dataset: str, mechanism: Mechanism) -> Book:
    return replace(book, spent={**book.spent, dataset: (*book.spent.get(dataset, ()), mechanism)})


def _count(mechanism: Mechanism) -> int:
    match mechanism:
        case SampledGaussian():
            return mechanism.steps
        case Gaussian() | Laplace():
            return mechanism.releases
        case Stated():
            return 1


def _with_count(mechanism: Mechanism, count: int) -> Mechanism:
    match mechanism:
        case SampledGaussian():
            return replace(mechanism, steps=count)
        case Gaussian() | Laplace():
            return replace(mechanism, releases=count)
        case Stated():
            return mechanism
