"""Which commands are there about the packages in a silo? Reading them, and saying yes or no."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.silo_dir import SiloDir
from septum.errors import SeptumError

if TYPE_CHECKING:
    from septum.silo.packages import Shelved

app = noun("app", "The apps of this silo: fetch, read, approve. Nothing of a package runs before it is approved.")

Named = Annotated[
    str,
    typer.Argument(metavar="APP", help="NAME, NAME==VERSION or a digest's beginning, of a package that is here."),
]


@command(app, "fetch")
def fetch(
    call: Invocation,
    named: Annotated[str, typer.Argument(metavar="APP", help="NAME, NAME==VERSION or a digest; of a name the newest.")],
    directory: SiloDir,
) -> Answer:
    """Bring a package from the coordinator into this silo, to be read. It is not approved by that."""
    from septum.cli.app_store import chosen
    from septum.silo.config import CONFIG_NAME, read_config
    from septum.silo.library import fetch as fetch_package
    from septum.silo.line import open_line
    from septum.silo.packages import Packages

    channel = open_line(directory, read_config(directory / CONFIG_NAME))
    try:
        offer = chosen(named, channel.offers())
        shelved = fetch_package(channel, Packages(directory), offer.digest, directory / "fetched")
    finally:
        channel.close()
    return _taken(call, shelved, directory)


@command(app, "add")
def add(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A package; FILE.sig beside it is taken, too.")],
    directory: SiloDir,
) -> Answer:
    """Take a package from a file into this silo, to be read. It is not approved by that."""
    from septum.adapters.identity.app_signatures import sidecar  # cryptography
    from septum.silo.packages import Packages

    signatures = sidecar(file).read_bytes() if sidecar(file).exists() else b""
    return _taken(call, Packages(directory).add(file, signatures), directory)


@command(app, "list")
def list_(call: Invocation, directory: SiloDir) -> Answer:
    """List the packages in this silo: who signed them, and whether they are approved."""
    del call
    from septum.silo.environment import Environments
    from septum.silo.packages import Packages

    environments = Environments(directory / "envs")
    packages = Packages(directory)
    looked = {digest: packages.look(digest) for digest in packages.digests()}
    found = sorted(
        (one for one in looked.values() if not isinstance(one, SeptumError)),
        key=lambda one: (one.package.name, one.package.version),
    )
    standing = {one.package.digest: environments.standing(one.package) for one in found}
    rows = tuple(
        (
            one.package.name,
            one.package.version,
            _verdict(one),
            standing[one.package.digest].state.value,
            str(len(one.signers)),
            one.package.digest,
        )
        for one in found
    )
    bad = {digest: problem for digest, problem in looked.items() if isinstance(problem, SeptumError)}
    rows += tuple((*packages.title(digest), "not usable", "", "", digest) for digest in bad)
    table = Table(
        ("APP", "VERSION", "APPROVAL", "ENVIRONMENT", "SIGNERS", "DIGEST"),
        rows,
        "no packages yet: septum silo app fetch NAME",
    )
    problems: list[Json] = [{"digest": digest, "problem": problem.message} for digest, problem in bad.items()]
    said = [f"{digest} may not run: {problem.message}" for digest, problem in bad.items()]
    said += [f"{digest}: its wheels are not installed: {one.reason}" for digest, one in standing.items() if one.reason]
    apps: list[Json] = [
        {
            **_json(one),
            "environment": standing[one.package.digest].state.value,
            "environment_problem": standing[one.package.digest].reason,
        }
        for one in found
    ]
    return Answer({"apps": apps, "problems": problems}, (table, *said))


@command(app, "review")
def review(call: Invocation, named: Named, directory: SiloDir) -> Answer:
    """Read a package before you say yes: who signed it, what it reads, what leaves, and every line of its code."""
    del call
    from septum.cli.review import pages
    from septum.silo.packages import Packages

    packages = Packages(directory)
    shelved = packages.find(named)
    before = [
        one for one in packages.all() if one.approved and one.package.name == shelved.package.name and one != shelved
    ]
    newest = max(before, key=lambda one: one.approval.at if one.approval else 0.0, default=None)
    return Answer(_json(shelved), pages(shelved, newest, directory))


@command(app, "approve")
def approve(
    call: Invocation,
    named: Named,
    directory: SiloDir,
    data: Annotated[
        str,
        typer.Option("--data", metavar="NAME", help="The dataset for it, as silo.toml names it: septum silo data add."),
    ] = "",
) -> Answer:
    """Say yes to a package, by its digest: runs that name it may run here, as far as the policy allows."""
    from septum.silo.add_data import check_use, use_data
    from septum.silo.environment import Environments
    from septum.silo.packages import Packages

    packages = Packages(directory)
    shelved = packages.find(named)
    if data:
        check_use(directory, shelved.package.name, data)
    environments = Environments(directory / "envs")
    if shelved.package.wheels:
        call.output.note(f"installing {len(shelved.package.wheels)} wheels, without an index")
    environments.prepare(shelved.package, packages.open(shelved.package) / "wheels")
    shelved = packages.approve(shelved.package.digest, user_name())
    package = shelved.package
    if data:
        use_data(directory, package.name, data)
        on = f"on {data}, as {directory / 'silo.toml'} says"
    else:
        on = f'its data, in {directory / "silo.toml"}: [apps.{package.name}] data = "NAME of a [data.NAME], or a file"'
    lines = (f"{package.name} {package.version} is approved\n{package.digest}", on)
    return Answer(_json(shelved), lines)


@command(app, "revoke")
def revoke(call: Invocation, named: Named, directory: SiloDir) -> Answer:
    """Take an approval back: no other run is let in. One at work goes on to its end, or the agent's."""
    del call
    from septum.silo.packages import Packages
    from septum.silo.removal import revoke_package

    packages = Packages(directory)
    digest = packages.meant(named)
    runs = revoke_package(directory, digest, user_name())
    name, version = packages.title(digest)
    data: dict[str, Json] = {
        "name": name,
        "version": version,
        "digest": digest,
        "approved": False,
        "at_work": list(runs),
    }
    lines = [f"{name} {version} may not run here any more\n{digest}"]
    if runs:
        lines.append(f"still at work with it: {', '.join(runs)}; to end it now, end the agent or stop the run")
    return Answer(data, tuple(lines))


@command(app, "remove")
def remove(
    call: Invocation,
    named: Named,
    directory: SiloDir,
    force: Annotated[
        bool, typer.Option("--force", help="Also under a run at work, whose coordinator is gone, say. It is lost here.")
    ] = False,
) -> Answer:
    """Take an approval back and delete the package, unless a run of it is at work here. Receipts stay."""
    del call
    from septum.silo.packages import Packages
    from septum.silo.removal import remove_package

    packages = Packages(directory)
    digest = named if packages.is_digest(named) else packages.meant(named)
    here = digest in packages.digests()
    name, version = packages.title(digest)
    lost = remove_package(directory, digest, user_name(), force=force)
    data: dict[str, Json] = {"name": name, "version": version, "digest": digest, "removed": here, "lost": list(lost)}
    if not here:
        return Answer(data, (f"there is no package {digest} here",))
    lines = (
        f"{name} {version} is deleted here, and may not run\n{digest}",
        f"a plan that names it is refused; to have it again: septum silo app fetch {digest} --dir {directory}",
        *(_lost(run, directory) for run in lost),
    )
    return Answer(data, lines)


def _lost(run: str, directory: Path) -> str:
    """What becomes of a run whose package was taken from under it."""
    return (
        f"lost: {run} has no app here any more. A training process that is alive ends with the agent; what this silo "
        f"trained and did not send stays unsent. Once the agent has ended: rm -r {directory / 'runs' / run}"
    )


def _taken(call: Invocation, shelved: Shelved, directory: Path) -> Answer:
    del call
    package = shelved.package
    signers = ", ".join(shelved.signers) or "nobody"
    lines = (
        f"{package.name} {package.version} is here, signed by {signers}\n{package.digest}",
        f"next: septum silo app review {package.digest} --dir {directory}",
    )
    return Answer(_json(shelved), lines)


def user_name() -> str:
    """Whose word it is: the user of the system, who need not have a name there."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _verdict(shelved: Shelved) -> str:
    if shelved.approval is None:
        return "not approved"
    return one_line(f"{shelved.approval.verdict.value} by {shelved.approval.by[:20]}")


def _json(shelved: Shelved) -> dict[str, Json]:
    package = shelved.package
    return {
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "signers": list(shelved.signers),
        "approved": shelved.approved,
        "columns": list(package.manifest.columns),
        "leaves": list(package.manifest.leaves),
        "masked": list(package.manifest.masked),
        "private": list(package.manifest.private),
        "wheels": [wheel.file for wheel in package.wheels],
        "preinstalled": list(package.preinstalled),
    }
