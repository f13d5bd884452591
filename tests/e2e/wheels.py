"""Wheels made by hand, and an environment of their own to install them in: no package index, no build tools."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import septum

ROOT = Path(__file__).parents[2]


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes], entry_points: str) -> Path:
    """A wheel as PEP 427 has it. `files` by their path in site-packages."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points.encode(),
    }
    record = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", record)
    return wheel


def septum_wheel(folder: Path) -> Path:
    """septum as it is here."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    lines = "".join(f"{name} = {target}\n" for name, target in scripts.items())
    package = Path(septum.__file__).parent
    files = {str(path.relative_to(package.parent)): path.read_bytes() for path in _files(package)}
    return write_wheel(folder, "septum", septum.__version__, files, f"[console_scripts]\n{lines}")


def package_wheel(folder: Path, name: str, version: str, package: Path, entry_points: str) -> Path:
    """A package of somebody else's."""
    files = {str(path.relative_to(package.parent)): path.read_bytes() for path in _files(package)}
    return write_wheel(folder, name, version, files, entry_points)


def fresh_environment(folder: Path) -> Path:
    """A virtual environment without septum, in which septum's own dependencies are found; its `bin`."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def install(environment: Path, *wheels: Path) -> None:
    """With pip, from these files alone."""
    command = [sys.executable, "-m", "pip", "--python", str(environment / "python"), "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--disable-pip-version-check", "--root-user-action=ignore"]
    subprocess.run([*command, *offline, *map(str, wheels)], check=True, timeout=120)


def uninstall(environment: Path, name: str) -> None:
    """With pip."""
    command = [sys.executable, "-m", "pip", "--python", str(environment / "python"), "uninstall", "--quiet", "--yes"]
    subprocess.run([*command, "--root-user-action=ignore", name], check=True, timeout=120)


def _files(package: Path) -> Iterator[Path]:
    return (path for path in sorted(package.rglob("*")) if path.is_file() and path.suffix != ".pyc")
