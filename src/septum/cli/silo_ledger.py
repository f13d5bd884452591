"""Which commands are there about a silo's privacy ledger? All read the silo's directory and talk to nobody else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.silo_dir import SiloDir
from septum.errors import ConfigError, LedgerError, MissingExtraError

if TYPE_CHECKING:
    from septum.privacy.accounting import Mechanism
    from septum.privacy.ledger import Event
    from septum.silo.ledger import Contents, Head

app = noun("ledger", "What was spent of the privacy of this silo's datasets.")


@command(app, "show")
def show(
    call: Invocation,
    directory: SiloDir,
    delta: Annotated[float, typer.Option("--delta", help="The delta at which epsilon is told.")] = 1e-5,
) -> Answer:
    """Show each dataset's epsilon so far, everything it was spent on, and the ledger's head to keep elsewhere."""
    del call
    from septum.privacy.accounting import check_delta  # numpy, which `--help` does not load
    from septum.privacy.ledger import up
    from septum.protocol.codec import to_json
    from septum.silo.ledger import read

    check_delta(delta)
    contents = read(directory)
    if not contents.entries:
        return Answer(
            {"datasets": [], "unsettled": [], "entries": [], "head": to_json(contents.head)}, ("no releases yet",)
        )
    costs, error = _epsilons(contents, delta)
    book = contents.book
    open_ = {name: sum(charge.dataset == name for charge in book.pending.values()) for name in book.units}
    rows = tuple(
        (name, unit.value, str(open_[name]), "unknown" if costs is None else up(costs[name]))
        for name, unit in sorted(book.units.items())
    )
    datasets: list[Json] = [
        {
            "dataset": name,
            "unit": unit.value,
            "open": open_[name],
            "epsilon": None if costs is None else _finite(costs[name]),
            "delta": delta,
        }
        for name, unit in sorted(book.units.items())
    ]
    unsettled: list[Json] = [
        {"id": id_, "dataset": charge.dataset, "purpose": charge.purpose} for id_, charge in book.pending.items()
    ]
    data: Json = {
        "datasets": datasets,
        "unsettled": unsettled,
        "entries": [to_json(entry) for entry in contents.entries],
        "head": to_json(contents.head),
    }
    shown: tuple[str | Table, ...] = (
        Table(("DATASET", "UNIT", "OPEN", f"EPSILON AT DELTA {delta:g}"), rows, "no dataset yet"),
        _entries(contents),
        *_unsettled(contents),
        f"head {_head_text(contents.head)}",
    )
    return Answer(data, shown, error)


@command(app, "verify")
def verify(
    call: Invocation,
    directory: SiloDir,
    head: Annotated[
        str,
        typer.Option(
            "--head", metavar="NUMBER:HASH", help="A head that `show` printed before; it must be in the chain."
        ),
    ] = "",
) -> Answer:
    """Check every entry against the chain of hashes and the chain against its head. Changes nothing."""
    del call
    from septum.protocol.codec import to_json  # blake3, which `--help` does not load
    from septum.silo.ledger import read

    contents = read(directory)
    if head:
        _find(contents, head, directory)
    known = f"; the head {head} is in it" if head else ""
    return Answer(
        {"entries": len(contents.entries), "head": to_json(contents.head), "found": head or None},
        (f"{len(contents.entries)} entries hold, head {_head_text(contents.head)}{known}",),
    )


@command(app, "recover")
def recover(
    call: Invocation,
    directory: SiloDir,
    charge: Annotated[
        float,
        typer.Option(
            "--charge", metavar="EPSILON", help="At least what the lost entries spent; counts against every dataset."
        ),
    ],
) -> Answer:
    """Go on with a ledger that does not hold, from its last entry that does. The damaged files are kept beside it."""
    del call
    from septum.adapters.clock import SystemClock  # the protocol, which `--help` does not load
    from septum.silo.ledger import recover as recover_ledger

    event, aside = recover_ledger(directory, charge, SystemClock().unix())
    data: Json = {"charged": charge, "expected": event.expected, "damaged": str(aside)}
    return Answer(
        data,
        (
            f"epsilon {charge:g} is charged to every dataset of this silo, for good",
            f"the last entry that was known of is number {event.expected}",
            f"the ledger as it was: {aside}",
            f"next: septum silo ledger show --dir {directory}",
        ),
    )


def _epsilons(contents: Contents, delta: float) -> tuple[dict[str, float] | None, MissingExtraError | None]:
    """Each dataset's epsilon; without the extra that computes it, the entries are shown all the same."""
    from septum.adapters.accountant import epsilon_of  # numpy

    try:
        return {name: epsilon_of(contents.book.costs(name), delta) for name in contents.book.units}, None
    except MissingExtraError as error:
        return None, error


def _entries(contents: Contents) -> Table:
    from septum.cli.views import when  # protocol: blake3, which `--help` does not load

    rows = tuple(
        (str(entry.number), when(entry.at), *_row(entry.event, contents.book.pending))
        for entry in reversed(contents.entries)
    )
    return Table(("ENTRY", "AT", "EVENT", "DATASET", "WHAT", "PURPOSE"), rows)


def _unsettled(contents: Contents) -> tuple[str, ...]:
    """What counts in full, and why it may stay so."""
    if not contents.book.pending:
        return ()
    return (
        f"not settled, and counted in full: {', '.join(contents.book.pending)}. A run settles what it reserved when it"
        " ends; what an agent that was killed left behind stays spent",
    )


def _row(event: Event, pending: Collection[str]) -> tuple[str, str, str, str]:
    from septum.privacy.ledger import Recovered, Refused, Released, Reserved, Settled

    match event:
        case Reserved(id_, charge):
            state = ", not settled" if id_ in pending else ""
            return f"reserved {id_}{state}", charge.dataset, _mechanism(charge.mechanism), one_line(charge.purpose)
        case Settled(id_, executed):
            return f"settled {id_}", "", f"{executed} executed", ""
        case Released(charge):
            return "released", charge.dataset, _mechanism(charge.mechanism), one_line(charge.purpose)
        case Refused(charge, budget):
            asked = f"{_mechanism(charge.mechanism)} on a budget of {budget.epsilon:g} at {budget.delta:g}"
            return "refused", charge.dataset, asked, one_line(charge.purpose)
        case Recovered(charge, expected):
            return "recovered", "every dataset", _mechanism(charge), f"entries up to {expected} were lost"


def _mechanism(mechanism: Mechanism) -> str:
    from septum.privacy.accounting import Gaussian, Laplace, SampledGaussian, Stated

    match mechanism:
        case SampledGaussian(noise, rate, steps):
            return f"{steps} steps of DP-SGD, noise {noise:g}, rate {rate:.4g}"
        case Gaussian(noise, releases):
            return f"{releases} x Gaussian, noise {noise:g}"
        case Laplace(noise, releases):
            return f"{releases} x Laplace, noise {noise:g}"
        case Stated(epsilon, delta):
            return f"stated: epsilon {epsilon:g}, delta {delta:g}"


def _find(contents: Contents, head: str, directory: Path) -> None:
    number, _, hash_ = head.partition(":")
    if not (number.isascii() and number.isdigit() and hash_):
        raise ConfigError(f"--head {head!r} is no NUMBER:HASH", hint="septum silo ledger show prints one")
    if int(number) >= len(contents.heads) or contents.heads[int(number)].hash != hash_:
        raise LedgerError(
            f"the head {head} is not in the ledger of {directory}: it was rolled back or made anew since",
            hint="bring back the newest copy of the silo's directory, and ask who put this one here",
        )


def _head_text(head: Head) -> str:
    return f"{head.number}:{head.hash}"


def _finite(epsilon: float) -> float | None:
    """JSON has no infinity: an epsilon too large to be told is null, as one that is not known."""
    return epsilon if epsilon < float("inf") else None
