"""How do an app's requirements become wheels and a lock? pip resolves and downloads; each file is pinned by hash."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from septum.errors import ConfigError
from septum.sdk.requirements import PROVIDED, WHEELS_FOLDER, Wheel, wheel_at

LOCK = "requirements.lock"


def lock_app(
    app_dir: Path, requirements: Sequence[str], platforms: Sequence[str], python: str, note: Callable[[str], None]
) -> tuple[Wheel, ...]:
    """Fill wheels/ and write the lock. What the silo provides is left out. Raises ConfigError with what pip said."""
    if not app_dir.is_dir():
        raise ConfigError(f"there is no folder {app_dir}", hint="septum app new APP_DIR")
    folder = app_dir / WHEELS_FOLDER
    with tempfile.TemporaryDirectory(dir=app_dir, prefix=".") as temporary:
        fetched = Path(temporary)
        _download(fetched, requirements, platforms, python, note)
        wheels = tuple(wheel for path in sorted(fetched.iterdir()) if (wheel := wheel_at(path)).name not in PROVIDED)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.whl"):
            old.unlink()
        for wheel in wheels:
            (fetched / wheel.file).rename(folder / wheel.file)
    pins = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
    head = f"# Made by: septum app lock {app_dir.name} {' '.join(requirements)}\n"
    (app_dir / LOCK).write_text(head + "".join(pins), encoding="utf-8")
    return wheels


def _download(
    folder: Path, requirements: Sequence[str], platforms: Sequence[str], python: str, note: Callable[[str], None]
) -> None:
    command = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "--dest", str(folder), "--quiet"]
    for platform in platforms:
        command += ["--platform", platform]
    command += ["--python-version", python] if python else []
    note(f"asking the package index for {', '.join(requirements)}")
    done = subprocess.run([*command, "--", *requirements], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConfigError(
            f"pip: {lines[-1] if lines else f'exit code {done.returncode}'}", hint="wheels only are possible"
        )
