"""Packages to take apart, and files that only look like one."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path

from septum.sdk import package_file
from septum.sdk.hyper import HyperField
from septum.sdk.package_file import Package

FIELDS = (HyperField("rounds", int, 5, 1, 100), HyperField("lr", float, 0.1, 0.0), HyperField("how", str, "a"))
APP = "app = 3  # this is only read\n"
TOML = """\
app = "app:app"
version = "1.2.0"
[data.columns]
age = { type = "integer", unit = "years", min = 0, max = 120, missing = ["?", -1] }
cp = { codes = { 1 = "typical", 2 = "other" }, about = "chest pain" }
ill = { role = "target" }
[leaves]
open = ["parameters", "rows"]
[presets.quick]
rounds = 2
"""
LOCK = '\n[dependencies]\nlock = "requirements.lock"\npreinstalled = ["torch>=2.2"]\n'


def make_wheel(folder: Path, name: str, version: str, source: str = "ANSWER = 42\n", **extra: str) -> Path:
    """A wheel of one module, made by hand."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **extra,
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in content.items():
            wheel.writestr(member, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*content, f"{info}/RECORD"]))
    return path


def pin(wheel: Path) -> str:
    """The line of a lock that pins a wheel."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def make_folder(folder: Path) -> Path:
    """An app's folder without dependencies."""
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "septum.toml").write_text(TOML)
    (folder / "sub").mkdir()
    (folder / "sub" / "net.py").write_text("def net(): ...\n")
    return folder


def make_locked(folder: Path) -> Path:
    """An app's folder with a lock of two wheels beside it."""
    make_folder(folder)
    with (folder / "septum.toml").open("a") as file:
        file.write(LOCK)
    (folder / "wheels").mkdir()
    wheels = [make_wheel(folder / "wheels", name, "1.0") for name in ("tiny_one", "tiny_two")]
    (folder / "requirements.lock").write_text("# by hand\n" + "".join(pin(wheel) for wheel in wheels))
    return folder


def build(folder: Path, out: Path) -> Package:
    """Its package."""
    return package_file.build(folder, "packed", FIELDS, out)


def members_of(path: Path) -> list[tuple[str, bytes]]:
    """What Python's own zipfile finds in a file."""
    with zipfile.ZipFile(path) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def info(name: str, *, mode: int = 0o100444, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """A member as packages have them, or nearly so."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.create_system, made.external_attr, made.compress_type = 3, mode << 16, method
    return made


def write_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], comment: bytes = b"") -> Path:
    """A file by Python's own zipfile: with plain names it has the bytes that septum would write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, content in members:
            file.writestr(info(member) if isinstance(member, str) else member, content)
        file.comment = comment
    path.write_bytes(buffer.getvalue())
    return path


def described(path: Path, change: dict[str, object]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    """A package's members, with another description."""
    (name, data), *rest = members_of(path)
    return [(name, json.dumps({**json.loads(data), **change}, indent=1, ensure_ascii=False).encode()), *rest]


LOCAL, CENTRAL = struct.Struct("<4sHHHHHIIIHH"), struct.Struct("<4sHHHHHHIIIHHHHHII")
