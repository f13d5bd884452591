"""Which roster does a silo hold to, and how does its steward change that?"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table
from septum.cli.roster import File, key_answer, roster_answer
from septum.cli.silo_dir import SiloDir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from septum.silo.roster import Proposal

app = noun("roster", "Show, compare and approve the list of silos and their keys that this silo holds to.")


def register(silo: typer.Typer) -> None:
    """Add the commands to those about silos."""
    command(silo, "key")(key)
    silo.add_typer(app)


def key(call: Invocation, directory: SiloDir) -> Answer:
    """Print the silo's public key and its fingerprint, which an administrator compares with yours on the phone."""
    del call
    from septum.adapters.identity.keys import load_private_key  # cryptography
    from septum.adapters.identity.roster_keys import public_text
    from septum.silo.line import KEY_NAME

    return key_answer(public_text(load_private_key(directory / KEY_NAME)), {"dir": str(directory)})


@command(app, "show")
def show(call: Invocation, directory: SiloDir) -> Answer:
    """Print the roster that is pinned, and what would change with the one that waits, if one does."""
    del call
    from septum.protocol.roster import diff  # blake3, which `--help` does not load
    from septum.silo.roster import Rosters

    rosters = Rosters(directory)
    pinned, pending = rosters.current(), rosters.pending()
    data: dict[str, Json] = {"pinned": None, "pending": None}
    lines: tuple[str | Table, ...] = ("no roster is pinned; next: septum silo roster fetch",)
    if pinned is not None:
        data["pinned"], lines = roster_answer(pinned, None)
    if pending is not None:
        changes = diff(None if pinned is None else pinned.roster, pending.roster)
        data["pending"] = {"serial": pending.roster.serial, "digest": pending.roster.digest, "changes": list(changes)}
        lines = (*lines, _waiting(pending.roster.digest, changes, f"approve --dir {directory}"))
    return Answer(data, lines)


@command(app, "diff")
def diff_(call: Invocation, file: File, directory: SiloDir) -> Answer:
    """Say in words what a roster would change here. It fails where the roster may not follow the pinned one."""
    del call
    from septum.silo.roster import Rosters, read_document  # cryptography

    found = Rosters(directory).look_at(read_document(file))
    return _told(found, f"approve {file} --dir {directory}")


@command(app, "fetch")
def fetch(call: Invocation, directory: SiloDir) -> Answer:
    """Get the next roster from the coordinator and check its signatures. It waits until you approve it."""
    del call
    from septum.silo.config import CONFIG_NAME, read_config  # cryptography and the protocol
    from septum.silo.line import open_line
    from septum.silo.roster import Rosters

    with closing(open_line(directory, read_config(directory / CONFIG_NAME))) as line:
        found = Rosters(directory).fetch(line.roster)
    if found is None:
        return Answer({"digest": None, "pinned": None, "changes": []}, ("the coordinator has no newer roster",))
    return _told(found, f"approve --dir {directory}")


@command(app, "approve")
def approve(
    call: Invocation,
    directory: SiloDir,
    digest: Annotated[
        str, typer.Option("--digest", help="The roster's digest, as an administrator told it to you, not as it came.")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The roster; the one that waits if left out.")
    ] = None,
) -> Answer:
    """Pin a roster: from now on this silo trains with the silos and keys in it, and no others."""
    del call
    from septum.silo.roster import Rosters, read_document  # cryptography

    document = None if file is None else read_document(file)
    return _told(Rosters(directory).approve(digest, document), "")


def _told(found: Proposal, next_verb: str) -> Answer:
    roster = found.signed.roster
    data: dict[str, Json] = {
        "serial": roster.serial,
        "digest": found.digest,
        "pinned": found.pinned,
        "changes": list(found.changes),
    }
    if not found.pinned:
        return Answer(data, (_waiting(found.digest, found.changes, next_verb),))
    changed = "\n".join(f"  {line}" for line in found.changes)
    return Answer(
        data, (f"roster {roster.serial} of {roster.federation} is pinned here", *([changed] if changed else ()))
    )


def _waiting(digest: str, changes: Sequence[str], next_verb: str) -> str:
    """What the steward reads before the word is given."""
    changed = "\n".join(f"  {line}" for line in changes)
    return (
        f"not pinned yet, it would change:\n{changed}\n"
        "compare this digest with what an administrator tells you, by another way than this network:\n"
        f"  {digest}\n"
        f"if it is the same: septum silo roster {next_verb} --digest DIGEST"
    )
