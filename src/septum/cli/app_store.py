"""Which commands are there about the packages that a coordinator hands to its silos?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from septum.cli.app import app
from septum.cli.command import Invocation, command
from septum.cli.options import pairs
from septum.cli.output import Answer, Json, Table, one_line
from septum.errors import ConfigError, NotFoundError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from septum.protocol.codec import Scalar
    from septum.protocol.views import AppView

__all__ = ["app"]  # with these commands among its own

P = TypeVar("P", bound="Package")
Named = Annotated[
    str, typer.Argument(metavar="APP", help="NAME, NAME==VERSION or a digest; of a name the newest push.")
]


@command(app, "push", remote=True)
def push(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A package, as `septum app build` made it.")],
    presets: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="NAME=TOML_FILE",
            help="A preset to give it besides those in it: a file with one hyper-parameter a line; may be repeated.",
        ),
    ] = None,
) -> Answer:
    """Hand a package and its signatures to the coordinator, where the silos find it. None of its code runs there."""
    digest = _digest_of(file)
    given = _presets(file, presets or ())  # what is wrong with one is said before anything is sent
    sidecar = file.with_name(f"{file.name}.sig")
    signatures = sidecar.read_bytes() if sidecar.exists() else b""
    with call.client() as client:
        view = client.push_app(file, digest, signatures)
        for name, values in given.items():
            view = client.set_preset(digest, name, values)
    signed = f"signed by {_signers(view)}" if signatures else f"not signed: septum app sign {file} --key KEYFILE"
    lines = (
        f"{view.name} {view.version} is there for the silos, {signed}\n{view.digest}",
        *(f"preset {name}: {in_words(view.presets[name])}" for name in given),
        f"next, in each silo: septum silo app fetch {view.name} --dir DIR",
    )
    return Answer(as_json(view), lines)


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the packages that the coordinator hands to its silos, the newest of each name first."""
    from septum.cli.views import when  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        found = client.apps()
    rows = tuple(
        (
            view.name,
            view.version,
            str(view.blob.size_bytes),
            when(view.pushed_at),
            _signers(view),
            ", ".join(view.presets) or "none",
            view.digest,
        )
        for view in found
    )
    table = Table(
        ("APP", "VERSION", "BYTES", "PUSHED", "SIGNED BY", "ADDED PRESETS", "DIGEST"),
        rows,
        "no apps yet: septum app push FILE",
    )
    return Answer({"apps": [as_json(view) for view in found]}, (table,))


@command(app, "show", remote=True)
def show(call: Invocation, named: Named) -> Answer:
    """Show one package that the coordinator hands to its silos, with the presets in it and those added since."""
    from septum.cli.views import when  # protocol: blake3, which `--help` does not load
    from septum.sdk.package_file import read_description

    with call.client() as client:
        view = chosen(named, client.apps())
        described = read_description(client.app_description(view.digest))
    own = described.presets
    stays = [f"private  {', '.join(described.private)}: these never leave a silo"] if described.private else []
    lines = [
        f"app      {view.name} {view.version}",
        f"digest   {view.digest}",
        f"bytes    {view.blob.size_bytes}",
        f"pushed   {when(view.pushed_at)}",
        f"signers  {_signers(view)}",
        *stays,
        *(f"preset   {name}: {in_words(values)} (in the package)" for name, values in own.items()),
        *(f"preset   {name}: {in_words(values)}" for name, values in view.presets.items()),
    ]
    in_it: Json = json.loads(json.dumps(own))
    data: Json = {**as_json(view), "package_presets": in_it, "private": list(described.private)}
    return Answer(data, ("\n".join(lines),))


@command(app, "remove", remote=True)
def remove(
    call: Invocation,
    named: Annotated[
        str, typer.Argument(metavar="APP", help="NAME==VERSION or a digest; or NAME, if there is one version of it.")
    ],
) -> Answer:
    """Remove a package from the coordinator, unless a run of it has not ended. Silos keep what they have fetched."""
    with call.client() as client:
        found = client.apps()
        if named.startswith("sha256:") and all(view.digest != named for view in found):
            return Answer({"digest": named, "removed": False}, (f"there is no package {named}",))
        view = _only(named, found)
        client.remove_app(view.digest)
    lines = (
        f"{view.name} {view.version} is removed; no other package can have this name and version\n{view.digest}",
        f"a silo that has fetched it keeps it: septum silo app remove {view.digest} --dir DIR, there",
    )
    return Answer({"name": view.name, "version": view.version, "digest": view.digest, "removed": True}, lines)


class Package(Protocol):
    """What has the name of a package."""

    @property
    def name(self) -> str:
        """The app's."""

    @property
    def version(self) -> str:
        """The app's."""

    @property
    def digest(self) -> str:
        """The package's."""


def chosen(named: str, found: Sequence[P]) -> P:
    """The package that is meant. Raises NotFoundError naming those that are close."""
    name, _, version = named.partition("==")
    for view in found:
        if view.digest == named or (view.name == name and version in ("", view.version)):
            return view
    known = sorted({view.name for view in found} | {f"{view.name}=={view.version}" for view in found})
    nearest = did_you_mean(named, known) if known else "none was pushed yet"
    raise NotFoundError(f"there is no app {named!r}; {nearest}", hint="septum app list")


def _only(named: str, found: Sequence[P]) -> P:
    """The package that is meant, where one of several is not good enough. Raises ConfigError that lists them."""
    view = chosen(named, found)
    meant = [f"{one.name}=={one.version}" for one in found if one.name == named]
    if len(meant) > 1:
        raise ConfigError(f"{named!r} could be {', '.join(meant)}", hint="name it with ==VERSION, or by its digest")
    return view


def in_words(values: Mapping[str, object]) -> str:
    """A preset's values on one line.

    >>> in_words({"lr": 0.1, "rounds": 5})
    'lr=0.1, rounds=5'
    """
    return one_line(", ".join(f"{name}={value}" for name, value in values.items()))


def _presets(file: Path, named: Sequence[str]) -> dict[str, dict[str, Scalar]]:
    """The presets of `--preset NAME=TOML_FILE`, checked against what the package says of itself."""
    if not named:
        return {}
    from septum.sdk.package_file import description_in, read_description
    from septum.sdk.presets import check_preset, read_preset

    about = read_description(description_in(file))
    return {name: check_preset(about, name, read_preset(Path(path))) for name, path in pairs(named, "--preset").items()}


def _digest_of(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", hint="septum app build APP_DIR") from error


def _signers(view: AppView) -> str:
    """The keys that signed, cut; whether they are right each silo finds out itself."""
    signatures = json.loads(view.signatures or "[]")
    return ", ".join(str(one["key"])[:20] for one in signatures) or "nobody"


def as_json(view: AppView) -> dict[str, Json]:
    """A package, for programs."""
    from septum.protocol.codec import to_json  # blake3, which `--help` does not load

    content = to_json(view)
    assert isinstance(content, dict)
    return {**content, "signatures": json.loads(view.signatures or "[]")}
