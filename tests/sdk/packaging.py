"""Apps' folders, wheels and packages for tests: small ones, made by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tests.silo.small_app import write_app

from septum.sdk import package_file, stored_zip
from septum.sdk.package import digest_of_files, load_app, parse_manifest
from septum.sdk.package_file import Package
from septum.sdk.requirements import Wheel, wheel_at


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], tag: str = "py3-none-any") -> Path:
    """A wheel that pip installs: its files, and what every wheel says of itself."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{one},,\n" for one in [*files, *about, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for one, text in {**files, **about, f"{info}/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(one, (2020, 1, 1, 0, 0, 0)), text)
    return path


def pinned(wheel: Wheel) -> str:
    """The line of a lock that pins a wheel."""
    return f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"


def app_folder(folder: Path, *, wheels: Mapping[str, Mapping[str, str]] | None = None, version: str = "1.0.0") -> Path:
    """The small app, with these wheels of version 1.0 locked beside it."""
    write_app(folder)
    manifest = (folder / "septum.toml").read_text().replace("1.0.0", version)
    if wheels is not None:
        made = [wheel_at(write_wheel(folder / "wheels", name, "1.0", files)) for name, files in wheels.items()]
        (folder / "requirements.lock").write_text("".join(map(pinned, made)))
        manifest += '[dependencies]\nlock = "requirements.lock"\n'
    (folder / "septum.toml").write_text(manifest)
    return folder


def built(folder: Path, out: Path) -> Package:
    """The package of an app's folder."""
    app = load_app(folder).app
    return package_file.build(folder, app.name, app.fields, out)


def members_of(path: Path) -> dict[str, bytes]:
    """What a package holds, in its order."""
    with path.open("rb") as file:
        return {one.name: b"".join(stored_zip.content(file, one)) for one in stored_zip.read(file, path.stat().st_size)}


def stored(members: Mapping[str, bytes]) -> bytes:
    """The bytes of a file with these members."""
    file = io.BytesIO()
    stored_zip.write(file, members.items())
    return file.getvalue()


def forged(path: Path, members: Mapping[str, bytes]) -> Path:
    """A package of other members, whose own description is made to fit them as far as that is possible.

    What an attacker can do who knows the format: only what is wrong in itself is left to be found.
    """
    files = {name.removeprefix("app/"): data for name, data in members.items() if name.startswith("app/")}
    wheels = []
    for name, data in members.items():
        if name.startswith("wheels/"):
            parts = name.removeprefix("wheels/").split("-")
            wheels.append(Wheel(parts[0], parts[1], "-".join(parts), sha256(data).hexdigest(), len(data)))
    manifest = parse_manifest(files["septum.toml"], "septum.toml")
    description = package_file._json(members["septum-package.json"])
    name, fields = package_file._hyper(description)
    new = package_file._description(name, manifest, fields, wheels, digest_of_files(files))
    path.write_bytes(stored({**members, "septum-package.json": new}))
    return path
