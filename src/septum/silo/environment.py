"""Where do an app's own dependencies lie? In a folder for each package, installed once, from its own wheels alone.

    envs/DIGEST/site/       what pip put there: no index is asked, every hash is checked, nothing is built
    envs/DIGEST/state.json  preparing, ready, or failed with the reason; for which Python; and the digest of site/ then
    envs/.DIGEST.lock       held while somebody prepares it: the agent, or a command

The app's process has that folder on its path, behind Python's own library; septum and numpy are the silo's. Before each
run all of it is read and compared with the digest.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from septum.errors import AppError, ConfigError, StorageError
from septum.sdk.package_file import Package
from septum.sdk.requirements import Wheel, normalised, wheel_at
from septum.sdk.wheel_content import PROVIDED_MODULES, check_content
from septum.silo.tree import tree_digest

INSTALL_S = 1800.0
_PYTHON = sys.implementation.cache_tag  # compiled wheels fit one
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+?)((?:[=<>!].*)?)")
_TESTS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


class State(Enum):
    """How far an environment is."""

    ABSENT = "absent"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """`reason`: of a failure. `tree`: the digest of what was installed."""

    state: State
    reason: str = ""
    tree: str = ""


class Environments:
    """The environments of one silo."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def standing(self, package: Package) -> Standing:
        """How far a package's environment is. One that needs none is ready."""
        if not package.wheels:
            return Standing(State.READY)
        try:
            content = json.loads((self._of(package) / "state.json").read_bytes())
            standing = Standing(State(content["state"]), str(content["reason"]), str(content.get("tree", "")))
            python = content["python"]
        except FileNotFoundError:
            return Standing(State.ABSENT)
        except (OSError, ValueError, KeyError, TypeError):
            return Standing(State.FAILED, "its state cannot be read")
        broken_off = standing.state is State.PREPARING and not self._held(package)
        if python != _PYTHON or broken_off or (standing.state is State.READY and not standing.tree):
            return Standing(State.ABSENT)  # made for the Python, or by the septum, before an upgrade; or not to its end
        return standing

    def paths(self, package: Package) -> tuple[Path, ...]:
        """The folders with a package's dependencies."""
        return (self._of(package) / "site",) if package.wheels else ()

    def prepare(self, package: Package, wheels: Path) -> None:
        """Install a package's wheels, which lie in the folder `wheels`; if that was done, see that nothing has changed.

        Raises ConfigError when this silo lacks what the package takes for installed, or when pip refuses; AppError when
        the wheels or what they became were changed, or would write elsewhere or too much; StorageError.
        """
        check_preinstalled(package.preinstalled)
        if not package.wheels:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock(package.digest).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until whoever is at it is through
                self._prepare(package, wheels)
        except OSError as error:
            raise StorageError(
                f"the environment of {package.name} {package.version} cannot be made: {error.strerror}",
                hint=f"df -h {self._folder}",
            ) from error

    def _prepare(self, package: Package, wheels: Path) -> None:
        target = self._of(package)
        standing = self.standing(package)
        if standing.state is State.READY and (target / "site").is_dir():
            _check_unchanged(target, standing.tree)
            return
        _check_wheels(package.wheels, wheels)
        try:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(mode=0o700, parents=True)
            self._note(target, Standing(State.PREPARING))
            _install(package.wheels, wheels, target / "site")
            _check_site(target / "site")
            self._note(target, Standing(State.READY, tree=tree_digest(target / "site")))
        except ConfigError as error:
            self._note(target, Standing(State.FAILED, error.message))
            raise

    def forget(self, digest: str) -> None:
        """Remove a package's environment, once nobody prepares it; one that is not there is ignored."""
        if not self._folder.is_dir():
            return
        name = digest.removeprefix("sha256:")
        with self._lock(digest).open("w") as lock:  # it stays: another one could be locked beside it
            fcntl.flock(lock, fcntl.LOCK_EX)
            going = self._folder / f".going-{name}"  # a kill leaves a whole one, or none
            if going.exists():
                shutil.rmtree(going, ignore_errors=True)
            with suppress(FileNotFoundError):
                (self._folder / name).rename(going)
            shutil.rmtree(going, ignore_errors=True)

    def all(self) -> list[tuple[str, Path]]:
        """Every environment that is here, by its package's digest."""
        found = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        return [(f"sha256:{path.name}", path) for path in found if path.is_dir() and not path.name.startswith(".")]

    def _of(self, package: Package) -> Path:
        return self._folder / package.digest.removeprefix("sha256:")

    def _lock(self, digest: str) -> Path:
        return self._folder / f".{digest.removeprefix('sha256:')}.lock"

    def _held(self, package: Package) -> bool:
        """Whether somebody prepares it now; the system takes the lock back from a process that dies."""
        try:
            with self._lock(package.digest).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @staticmethod
    def _note(target: Path, standing: Standing) -> None:
        part = target / ".state.json"
        content = {
            "state": standing.state.value,
            "reason": standing.reason,
            "python": _PYTHON,
            "tree": standing.tree,
        }
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(target / "state.json")


def check_preinstalled(requirements: Sequence[str]) -> None:
    """Raise ConfigError naming what an app takes for installed and this silo lacks."""
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement)
        assert match is not None
        name, versions = match[1], match[2]
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ConfigError(
                f"the app takes {requirement} for installed, and this silo has no {normalised(name)}",
                hint=f"{sys.executable} -m pip install '{requirement}'",
            ) from None
        for one in filter(None, versions.split(",")):
            sign = one[:2] if one[:2] in _TESTS else one[0]
            if not _TESTS[sign](_numbers(found), _numbers(one[len(sign) :])):
                raise ConfigError(
                    f"the app takes {requirement} for installed, and this silo has {name} {found}",
                    hint=f"{sys.executable} -m pip install '{requirement}'",
                )


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, without zeros at its end: 2.13.0+cpu is (2, 13)."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _check_wheels(wheels: Sequence[Wheel], folder: Path) -> None:
    for wheel in wheels:
        path = folder / wheel.file
        if not path.exists() or wheel_at(path) != wheel:
            raise AppError(
                f"{path} was changed: it is not the wheel with SHA-256 {wheel.sha256}",
                hint=f"chmod -R u+w {folder.parent} && rm -r {folder.parent}; it is unpacked again",
            )
        check_content(path)


def _check_unchanged(target: Path, tree: str) -> None:
    found = tree_digest(target / "site")
    if found != tree:
        raise AppError(
            f"{target / 'site'} was changed: its digest is {found}, not {tree}",
            hint=f"rm -r {target}; it is installed again from the package's wheels",
        )


def _check_site(site: Path) -> None:
    """Whether the silo's own libraries stay its own: a wheel has more than one way to put a module here."""
    for path in site.iterdir():
        if path.name.partition(".")[0] in PROVIDED_MODULES:
            raise ConfigError(
                f"the app's wheels bring {path.name}, which the silo itself provides",
                hint="its author takes that wheel out: septum app lock",
            )


def _install(wheels: Sequence[Wheel], folder: Path, site: Path) -> None:
    """With pip: offline, from these wheels, hashes checked, nothing built, no scripts run."""
    hashes: dict[str, str] = {}  # a version may have a wheel for each of several systems
    for wheel in wheels:
        pin = f"{wheel.name}=={wheel.version}"
        hashes[pin] = f"{hashes.get(pin, '')} --hash=sha256:{wheel.sha256}"
    pins = "".join(f"{pin}{found}\n" for pin, found in hashes.items())
    with tempfile.TemporaryDirectory(dir=site.parent) as temporary:
        lock = Path(temporary) / "lock.txt"
        lock.write_text(pins, encoding="utf-8")
        command = [sys.executable, "-I", "-m", "pip", "install", "--no-index", "--find-links", str(folder)]
        command += ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-cache-dir", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-input", "--quiet", "--target", str(site), "-r", str(lock)]
        where = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "SEPTUM_"))}
        environment = {**where, "PIP_CONFIG_FILE": os.devnull, "HOME": temporary}
        try:
            done = subprocess.run(  # noqa: S603  our own interpreter's pip
                command, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_S
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(f"pip took longer than {INSTALL_S:g} s to install the app's wheels") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1] if lines else f"it exited with code {done.returncode}"
        hint = "the package was made for another Python or system: septum app lock, on one like this"
        if "No module named pip" in why:
            hint = f"{sys.executable} -m ensurepip"
        raise ConfigError(f"pip does not install the app's wheels: {why[:400]}", hint=hint)
