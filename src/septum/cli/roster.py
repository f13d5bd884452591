"""Which commands do a federation's administrators need? They make its roster and sign it, away from the coordinator."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.options import pairs
from septum.cli.output import Answer, Json, Table
from septum.errors import ConfigError, ConflictError, SeptumError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from septum.protocol.roster import Roster, SignedRoster

app = noun("roster", "Make and sign the list of a federation's silos and their keys.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A roster, as `septum roster new` made it.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The file to write; one that is there stays as it is.")]
Previous = Annotated[
    Path | None, typer.Option("--previous", help="The roster before, whose administrators have to sign this one, too.")
]
Admins = Annotated[
    list[str] | None,
    typer.Option(
        "--admin",
        metavar="NAME=KEY",
        help="An administrator and the public key, or a file with it; may be repeated.",
    ),
]
_Silos = typer.Option(
    "--silo",
    metavar="NAME=KEY",
    help="A silo and its public key, as `septum silo key` prints it there, or a file with it; may be repeated.",
)


@command(app, "key")
def key(
    call: Invocation,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The private key's file; made with mode 0600 if absent.")
    ],
) -> Answer:
    """Make an administrator's key, or show the public half of the one that is there.

    Whoever has the file can sign for the administrator: keep it off the coordinator and off the silo's machine.
    """
    from septum.adapters.identity import roster_keys  # cryptography
    from septum.adapters.identity.keys import load_private_key, make_private_key

    made = not file.exists()
    found = make_private_key(file) if made else load_private_key(file)
    call.output.note(f"{file} is new; it is the only copy" if made else f"{file} was there already")
    return key_answer(roster_keys.public_text(found), {"file": str(file), "made": made})


@command(app, "new")
def new(
    call: Invocation,
    out: Out,
    federation: Annotated[str, typer.Option("--federation", help="The federation's name, such as heart-2027.")],
    threshold: Annotated[int, typer.Option("--threshold", min=1, help="How many administrators have to sign.")],
    admins: Admins = None,
    silos: Annotated[list[str] | None, _Silos] = None,
) -> Answer:
    """Write the first roster of a federation, which nobody has signed yet."""
    del call
    from septum.protocol.roster import Roster, SignedRoster  # blake3, which `--help` does not load

    made = Roster(federation, 1, threshold, _keys(admins, "--admin"), _keys(silos, "--silo"))
    return _written(out, SignedRoster(made), None)


@command(app, "sign")
def sign(
    call: Invocation,
    file: File,
    key_file: Annotated[Path, typer.Option("--key", help="The administrator's private key, from `septum roster key`.")],
    previous: Previous = None,
) -> Answer:
    """Add your signature to a roster. Read it first: septum roster show FILE."""
    del call
    from septum.adapters.identity import roster_keys  # cryptography
    from septum.adapters.identity.keys import load_private_key

    signed, before = read(file), _previous(file, previous)
    private = load_private_key(key_file)
    allowed = {name: own for one in (before, signed.roster) if one for name, own in one.administrators.items()}
    if roster_keys.public_text(private) not in allowed.values():
        raise ConfigError(
            f"the key in {key_file} is no administrator's of {file}: {', '.join(sorted(allowed))} are",
            hint="" if previous else "--previous FILE, if it is one of the roster before",
        )
    signed = roster_keys.sign(signed, private)
    _replace(file, signed)
    return _shown(signed, before, {"file": str(file)})


@command(app, "add-silo")
def add_silo(
    call: Invocation,
    file: File,
    out: Out,
    silos: Annotated[list[str], _Silos],
    new_key: Annotated[
        bool, typer.Option("--new-key", help="The silos are there already, and have a new key.")
    ] = False,
) -> Answer:
    """Write the roster that follows FILE, with more silos in it, or with new keys of silos that are."""
    del call
    before, added = read(file).roster, _keys(silos, "--silo")
    for name in added:
        if (name in before.silos) is not new_key:
            there = "is in the roster already" if name in before.silos else "is not in the roster"
            raise ConfigError(f"{file}: silo {name!r} {there}", hint="--new-key is for silos that are, and only those")
    return _written(out, _next(before, silos={**before.silos, **added}), before)


@command(app, "remove-silo")
def remove_silo(
    call: Invocation,
    file: File,
    out: Out,
    silos: Annotated[list[str], typer.Option("--silo", metavar="NAME", help="A silo; may be repeated.")],
) -> Answer:
    """Write the roster that follows FILE, without these silos."""
    del call
    before = read(file).roster
    return _written(out, _next(before, silos=_without(before.silos, silos, f"{file}: silo")), before)


@command(app, "change-admins")
def change_admins(
    call: Invocation,
    file: File,
    out: Out,
    admins: Admins = None,
    removed: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="An administrator; may be repeated.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", min=1, help="How many have to sign; as before if left out.")
    ] = None,
) -> Answer:
    """Write the roster that follows FILE, with other administrators. Those before and the new ones have to sign it.

    `--admin` with a name that is there gives that administrator a new key.
    """
    del call
    before = read(file).roster
    kept = _without(before.administrators, removed or (), f"{file}: administrator")
    keys = {**kept, **_keys(admins, "--admin")}
    changed = _next(before, administrators=keys, threshold=threshold or before.threshold)
    return _written(out, changed, before)


@command(app, "show")
def show(call: Invocation, file: File, previous: Previous = None) -> Answer:
    """Print a roster: its digest, whom it names, who signed it. It fails where signatures are missing."""
    del call
    signed, before = read(file), _previous(file, previous)
    answer = _shown(signed, before, {"file": str(file)})
    return replace(answer, error=missing(signed, before))


@command(app, "push", remote=True)
def push(call: Invocation, file: File) -> Answer:
    """Hand a signed roster to the coordinator, where silos ask for it. They check it themselves."""
    from septum.protocol.roster import write_roster

    signed = read(file)
    with call.client() as client:
        client.put_roster(write_roster(signed))
    told: dict[str, Json] = {"serial": signed.roster.serial, "digest": signed.roster.digest}
    lines = (f"silos can fetch roster {signed.roster.serial} now", "at each: septum silo roster fetch --dir DIR")
    return Answer(told, lines)


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 20,
    before: Annotated[int, typer.Option("--before", min=0, help="Only those with a lower serial than this.")] = 0,
) -> Answer:
    """List the rosters that the coordinator passes on, newest first. Its word proves nothing: compare the digest."""
    with call.client() as client:
        found = client.rosters(limit=limit, before=before)
    from septum.protocol.codec import to_json

    rows = tuple(
        (str(one.serial), one.digest, ", ".join(one.signed_by), str(len(one.silos)), "; ".join(one.changes))
        for one in found
    )
    titles = ("SERIAL", "DIGEST", "SIGNED BY", "SILOS", "CHANGES")
    table = Table(titles, rows, "no roster was handed to this coordinator: septum roster push FILE")
    return Answer({"rosters": [to_json(one) for one in found]}, (table,))


# --- what the commands share ---------------------------------------------------------------------------------------


def read(file: Path) -> SignedRoster:
    """The roster in a file. Raises ConfigError or MessageError naming the file."""
    from septum.protocol.roster import read_roster
    from septum.silo.roster import read_document

    try:
        return read_roster(read_document(file))
    except SeptumError as error:
        message = error.message if str(file) in error.message else f"{file}: {error.message}"
        raise type(error)(message, hint=error.hint) from error


def key_answer(public: str, more: dict[str, Json]) -> Answer:
    """A public key, and what to read out on the phone."""
    from septum.protocol.roster import fingerprint

    told = fingerprint(public)
    return Answer({**more, "key": public, "fingerprint": told}, (public, f"fingerprint  {told}"))


def missing(signed: SignedRoster, before: Roster | None) -> SeptumError | None:
    """Why the roster does not count yet; None if it does."""
    from septum.adapters.identity.roster_keys import verify
    from septum.protocol.roster import check_first, check_next

    try:
        check_first(signed, verify) if before is None else check_next(before, signed, verify)
    except SeptumError as error:
        return error
    return None


def roster_answer(signed: SignedRoster, before: Roster | None) -> tuple[dict[str, Json], tuple[str | Table, ...]]:
    """A roster for programs and for people."""
    from septum.adapters.identity.roster_keys import verify
    from septum.protocol.roster import fingerprint, signers

    roster = signed.roster
    by = [(one, signers(signed, one, verify)) for one in (before, roster) if one is not None]
    data: dict[str, Json] = {
        "federation": roster.federation,
        "serial": roster.serial,
        "digest": roster.digest,
        "previous": roster.previous,
        "threshold": roster.threshold,
        "administrators": dict(roster.administrators),
        "silos": dict(roster.silos),
        "signed_by": list(by[-1][1]),
        "counts": missing(signed, before) is None,
    }
    rows = [("administrator", name, fingerprint(own)) for name, own in sorted(roster.administrators.items())]
    rows += [("silo", name, fingerprint(own)) for name, own in sorted(roster.silos.items())]
    signatures = [
        f"signed by    {', '.join(names) or 'nobody'}: {len(names)} of {one.threshold} needed from roster {one.serial}"
        for one, names in by
    ]
    head = f"roster {roster.serial} of {roster.federation}\ndigest       {roster.digest}"
    return data, ("\n".join([head, *signatures]), Table(("WHAT", "NAME", "KEY'S FINGERPRINT"), tuple(rows)))


def _shown(signed: SignedRoster, before: Roster | None, more: dict[str, Json]) -> Answer:
    data, shown = roster_answer(signed, before)
    return Answer({**more, **data}, shown)


def _keys(given: list[str] | None, option: str) -> dict[str, str]:
    from septum.adapters.identity.roster_keys import key_of

    return {name: key_of(value) for name, value in sorted(pairs(given or (), option).items())}


def _without(known: Mapping[str, str], removed: Sequence[str], what: str) -> dict[str, str]:
    for name in removed:
        if name not in known:
            raise ConfigError(f"{what} {name!r} is not there; {did_you_mean(name, known)}")
    return {name: own for name, own in known.items() if name not in removed}


def _next(before: Roster, **changed: object) -> SignedRoster:
    from septum.protocol.roster import SignedRoster

    following = {"serial": before.serial + 1, "previous": before.digest, **changed}
    return SignedRoster(replace(before, **following))  # type: ignore[arg-type]  # the fields' own types


def _previous(file: Path, previous: Path | None) -> Roster | None:
    """The roster before, if it is given and is the one that FILE follows."""
    if previous is None:
        return None
    before, after = read(previous).roster, read(file).roster
    if before.digest != after.previous:
        raise ConflictError(f"{file} follows {after.previous or 'no roster'}, and {previous} is {before.digest}")
    return before


def _written(out: Path, signed: SignedRoster, before: Roster | None) -> Answer:
    from septum.adapters.identity.keys import write_private
    from septum.protocol.roster import diff, write_roster

    write_private(out, write_roster(signed))
    data, shown = roster_answer(signed, before)
    if before is not None:
        changes = diff(before, signed.roster)
        data, shown = {**data, "changes": list(changes)}, (shown[0], "\n".join(changes or ("nothing changes",)))
    return Answer({"file": str(out), **data}, (*shown, f"next: septum roster sign {out} --key KEYFILE"))


def _replace(file: Path, signed: SignedRoster) -> None:
    """Whole or not at all; the mode of the file stays the owner's alone."""
    from septum.adapters.identity.keys import write_private
    from septum.protocol.roster import write_roster

    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    write_private(part, write_roster(signed))
    os.replace(part, file)
