"""What does `septum app check` find out? All that a silo would refuse, and one round on made-up rows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from septum.cli.output import Answer, Json, Output
from septum.errors import ConfigError, did_you_mean
from septum.ports.launcher import Level
from septum.sdk.package import Manifest, digest_of_files, read_files, read_manifest
from septum.sdk.package_file import Package
from septum.sdk.requirements import WHEELS_FOLDER, Wheel, check_wheels
from septum.silo.environment import Environments, check_preinstalled
from septum.simulate.rehearsal import Rehearsed, rehearse

_APART = {
    Level.PROCESS: "in a process with limits (no sandbox here: septum doctor)",
    Level.SANDBOX: "in a sandbox: no network, nothing to read but itself",
}


def check_app(output: Output, folder: Path, preset: str, rows: int) -> Answer:
    """Try an app. Raises ConfigError, AppError and WorkerError for what a silo would not run."""
    folder = folder.expanduser().resolve()
    manifest = read_manifest(folder)
    if preset and preset not in manifest.presets:
        known = did_you_mean(preset, manifest.presets) if manifest.presets else "its septum.toml has none"
        raise ConfigError(f"the app has no preset {preset!r}; {known}")
    with rehearsed(output, folder, preset=preset, rows=rows) as (found, wheels):
        return _told(folder, manifest, found, wheels)


@contextlib.contextmanager
def rehearsed(
    output: Output, folder: Path, *, preset: str = "", rows: int = 120
) -> Iterator[tuple[Rehearsed, tuple[Wheel, ...]]]:
    """An app's round, or its import alone on 0 rows, with the very wheels that its lock pins; and these wheels."""
    manifest, files = read_manifest(folder), read_files(folder)
    wheels = check_wheels(folder, manifest.lock, files)
    check_preinstalled(manifest.preinstalled)
    with tempfile.TemporaryDirectory(prefix="septum-wheels-") as temporary:
        environments = Environments(Path(temporary))
        tree = digest_of_files(files)
        package = Package(folder, tree, tree, folder.name, manifest, (), wheels, manifest.preinstalled, ())
        if wheels:
            output.note(f"installing {len(wheels)} wheels, without an index, as a silo does")
        environments.prepare(package, folder / WHEELS_FOLDER)
        yield rehearse(folder, paths=environments.paths(package), preset=preset, rows=rows), wheels


def _leaving(manifest: Manifest) -> list[str]:
    """What leaves with it: what only in sums under masks, what else, and which parameters never do."""
    opened = [name for name in manifest.leaves if name not in manifest.masked]
    ways = {"leaves masked": manifest.masked, "leaves": opened, "never leaves": manifest.private}
    return [f"{way:17} {', '.join(names)}" for way, names in ways.items() if names]


def _told(folder: Path, manifest: Manifest, found: Rehearsed, wheels: tuple[Wheel, ...]) -> Answer:
    done = found.round
    assert done is not None
    lines = [
        f"{found.name} {found.version}, {found.digest}",
        f"hyper-parameters  {', '.join(field.name for field in found.fields)}",
        f"presets           {', '.join(manifest.presets) or 'none'}",
        f"reads             {len(manifest.columns)} columns, target {manifest.target}",
        *_leaving(manifest),
        f"dependencies      {', '.join(f'{wheel.name} {wheel.version}' for wheel in wheels) or 'none'}",
    ]
    if manifest.preinstalled:
        lines.append(f"preinstalled      {', '.join(manifest.preinstalled)}")
    lines += [
        f"one round         {done.train_rows} train and {done.test_rows} test rows made from the contract, "
        f"{done.numbers} numbers in {len(done.tensors)} tensors",
        f"                  {_APART[found.level]}",
        *(f"note: {note}" for note in found.notes),
    ]
    data: dict[str, Json] = {
        "path": str(folder),
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "hyper": [field.name for field in found.fields],
        "presets": list(manifest.presets),
        "columns": list(manifest.columns),
        "leaves": list(manifest.leaves),
        "masked": list(manifest.masked),
        "private": list(manifest.private),
        "wheels": [wheel.file for wheel in wheels],
        "preinstalled": list(manifest.preinstalled),
        "train_rows": done.train_rows,
        "test_rows": done.test_rows,
        "features": list(done.features),
        "tensors": {name: list(shape) for name, shape in done.tensors.items()},
        "notes": list(found.notes),
        "sandbox": int(found.level),
    }
    return Answer(data, ("\n".join(lines), f"it works; next: septum app build {folder}"))
