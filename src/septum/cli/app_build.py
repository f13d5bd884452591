"""Which commands make an app's package, and say who stands for it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli import app_preset
from septum.cli.app import AppDir
from septum.cli.app_store import app
from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json
from septum.errors import SeptumError

if TYPE_CHECKING:
    from septum.sdk.package_file import Package

__all__ = ["app"]  # with these commands among its own

app.add_typer(app_preset.app)

PackageFile = Annotated[Path, typer.Argument(metavar="FILE", help="A package, NAME-VERSION.septum.")]


@command(app, "build")
def build(
    call: Invocation,
    app_dir: AppDir,
    out: Annotated[Path, typer.Option("--out", help="The folder for the package.")] = Path("dist"),
) -> Answer:
    """Make the app's package: its folder, its wheels, what it says of itself. The same folder gives the same file."""
    from septum.cli.app_check import rehearsed  # numpy
    from septum.sdk import package_file

    folder = app_dir.expanduser().resolve()
    with rehearsed(call.output, folder, rows=0) as (found, _):  # its own wheels need not be installed here
        package = package_file.build(folder, found.name, found.fields, out)
    lines = (
        f"{package.path}: {package.name} {package.version}, {_contents(package)}\n{package.digest}",
        f"next: septum app sign {package.path} --key KEYFILE, then septum app push {package.path}",
    )
    return Answer(_json(package), lines)


@command(app, "keygen")
def keygen(
    call: Invocation,
    out: Annotated[Path, typer.Option("--out", help="The file for the new private key; mode 0600, never replaced.")],
) -> Answer:
    """Make a key with which you sign packages. Stewards who trust you put its public half into their silo.toml."""
    del call
    from septum.adapters.identity.keys import make_private_key, public_bytes  # cryptography

    public = f"ed25519:{public_bytes(make_private_key(out)).hex()}"
    lines = (f"the private key is in {out}; keep it to yourself", f"public: {public}")
    return Answer({"key": str(out), "public": public}, lines)


@command(app, "sign")
def sign(
    call: Invocation,
    file: PackageFile,
    key: Annotated[Path, typer.Option("--key", help="Your private key, as `septum app keygen` made it.")],
) -> Answer:
    """Sign a package: you stand for these bytes. The signature goes into FILE.sig, beside those of others."""
    del call
    from septum.adapters.identity import app_signatures as signatures  # cryptography
    from septum.adapters.identity.keys import load_private_key
    from septum.sdk.package_file import read_package

    package, path = read_package(file), signatures.sidecar(file)
    what = signatures.Signed(package.name, package.version, package.digest)
    made = signatures.sign(what, load_private_key(key))
    there = path.read_bytes() if path.exists() else b""
    try:
        signatures.verified(there, what)
    except SeptumError as error:
        raise type(error)(error.message, hint=f"rm {path}, if you have built the package anew; then sign it") from error
    signatures.write(path, [*signatures.read(there), made])
    return Answer(
        {"file": str(file), "signatures": str(path), "key": made.key, "digest": package.digest},
        (f"{package.name} {package.version} is signed by {made.key}\n{path}",),
    )


@command(app, "verify")
def verify(
    call: Invocation,
    file: PackageFile,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="ed25519:HEX", help="A public key that must have signed it; may be repeated."),
    ] = None,
) -> Answer:
    """Look at all of a package and its signatures, without running anything of it."""
    del call
    from septum.adapters.identity import app_signatures as signatures  # cryptography
    from septum.errors import AuthError
    from septum.sdk.package_file import read_package

    package, path = read_package(file), signatures.sidecar(file)
    what = signatures.Signed(package.name, package.version, package.digest)
    signers = signatures.verified(path.read_bytes() if path.exists() else b"", what)
    for key in keys or ():
        if key not in signers:
            raise AuthError(
                f"{key} did not sign {file}; it is signed by {', '.join(signers) or 'nobody'}",
                hint="ask its author for the signature, or do not run it",
            )
    said = f"signed by {', '.join(signers)}" if signers else "signed by nobody"
    lines = f"{package.name} {package.version} is sound, {_contents(package)}, {said}\n{package.digest}"
    return Answer({**_json(package), "signers": list(signers)}, (lines,))


@command(app, "lock")
def lock(
    call: Invocation,
    app_dir: AppDir,
    requirements: Annotated[
        list[str], typer.Argument(metavar="REQUIREMENT...", help="What the app needs, such as scikit-learn>=1.7.")
    ],
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform", help="The silos' platform, such as manylinux_2_28_x86_64; this machine's if left out."
        ),
    ] = None,
    python: Annotated[
        str, typer.Option("--python", help="The silos' Python, such as 3.11; this one if left out.")
    ] = "",
) -> Answer:
    """Fetch the wheels of what an app needs into wheels/, and pin them by hash in requirements.lock."""
    from septum.cli.locking import lock_app  # subprocess and pip

    made = lock_app(app_dir, requirements, tuple(platform or ()), python, call.output.note)
    lines = "\n".join(f"  {wheel.file}" for wheel in made) or "  none"
    advice = 'in septum.toml: [dependencies] lock = "requirements.lock"'
    data: dict[str, Json] = {"wheels": [{"file": wheel.file, "sha256": wheel.sha256} for wheel in made]}
    return Answer(data, (f"{app_dir / 'requirements.lock'} pins\n{lines}", advice))


def _contents(package: Package) -> str:
    wheels = f"{len(package.wheels)} wheels" if package.wheels else "no wheels"
    return f"{len(package.files)} files, {wheels}, {package.path.stat().st_size} bytes"


def _json(package: Package) -> dict[str, Json]:
    return {
        "file": str(package.path),
        "name": package.name,
        "version": package.version,
        "digest": package.digest,
        "tree": package.tree,
        "columns": list(package.manifest.columns),
        "leaves": list(package.manifest.leaves),
        "masked": list(package.manifest.masked),
        "private": list(package.manifest.private),
        "wheels": [wheel.file for wheel in package.wheels],
        "preinstalled": list(package.preinstalled),
    }
