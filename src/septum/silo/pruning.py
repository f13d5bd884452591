"""What of a silo's directory can go, to make room? Named first, removed when told to; never what a run at work uses.

    environments  of packages that are not here any more, or whose approval was taken back
    runs          that ended long ago, and that the agent keeps so that they can be resumed
    models        of this silo's own, but for the newest of each app, dataset and layout
    leftovers     what a removal that was cut off, or an installation, has left

Everything goes by way of another name, in one step: a kill leaves it whole under its own, or under one that the next
call finds. What a run costs of privacy is settled by the agent alone, so a run with an account of its own is left to
it: it goes once the agent is started anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from septum.errors import ConfigError, MessageError, NotFoundError, SeptumError
from septum.protocol.silo import SiloPhase
from septum.silo.environment import Environments
from septum.silo.kept import KeptModels
from septum.silo.packages import Packages
from septum.silo.removal import fold_revoked, runs_at_work
from septum.silo.run_files import RunFiles

GOING = ".going-"  # what is being removed
DAY_S = 86_400.0


class Kind(Enum):
    """What it is that can go."""

    ENVIRONMENT = "environment"
    RUN = "run"
    MODEL = "model"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Superfluous:
    """Something that can go. `size_bytes`: what that frees, as far as no other name holds it."""

    kind: Kind
    name: str
    path: Path
    size_bytes: int
    why: str


def superfluous(silo_dir: Path, *, older_than_s: float, newest: int, now: float) -> tuple[Superfluous, ...]:
    """All that can go.

    older_than_s  of runs that ended, and of models that were kept, so long ago
    newest        so many models of each app and dataset stay, however old they are

    Raises ConfigError for numbers that cannot be.
    """
    if newest < 1:
        raise ConfigError(f"{newest} models of each app are no number to keep", hint="--models 1 keeps the newest one")
    if not 0 <= older_than_s < 1e12:
        raise ConfigError(f"{older_than_s / DAY_S:g} days are no age", hint="--older-than 30")
    until = now - older_than_s
    return (
        *_environments(silo_dir),
        *_runs(silo_dir, until, now),
        *_models(silo_dir, newest, until),
        *_leftovers(silo_dir),
    )


def remove(silo_dir: Path, found: Sequence[Superfluous]) -> tuple[Superfluous, ...]:
    """Remove what was found, unless something needs it by now; what has gone."""
    for one in found:
        if one.kind is Kind.ENVIRONMENT:
            if not runs_at_work(silo_dir, one.name):
                Environments(silo_dir / "envs").forget(one.name)
        elif one.kind is not Kind.RUN or _has_ended(one.path):
            _go(one.path)
    fold_revoked(silo_dir)
    return tuple(one for one in found if not one.path.exists())


def _environments(silo_dir: Path) -> Iterator[Superfluous]:
    packages, environments = Packages(silo_dir), Environments(silo_dir / "envs")
    for digest, path in environments.all():
        why = _unapproved(packages, digest)
        if why and not runs_at_work(silo_dir, digest):
            yield Superfluous(Kind.ENVIRONMENT, digest, path, _size(path), why)


def _unapproved(packages: Packages, digest: str) -> str:
    """Why nothing of a package may run; empty where it may, or where that cannot be told."""
    try:
        if packages.revoked(digest):
            return "the approval of its package was taken back"
        return "" if packages.get(digest).approved else "its package is not approved"
    except NotFoundError:
        return "its package is not here any more"
    except SeptumError:
        return ""


def _runs(silo_dir: Path, until: float, now: float) -> Iterator[Superfluous]:
    for path in _in(silo_dir / "runs"):
        ended_at = path.stat().st_mtime
        if path.is_dir() and ended_at <= until and _has_ended(path):
            days = (now - ended_at) / DAY_S
            yield Superfluous(Kind.RUN, path.name, path, _size(path), f"it ended {days:.0f} days ago")


def _has_ended(path: Path) -> bool:
    """Whether a run's part here is over, with nothing to be settled. One that cannot be read is not touched."""
    files = RunFiles(path)
    try:
        state = files.load()
    except (MessageError, OSError):
        return False
    accounted = files.privacy.exists() or files.noisy.exists()
    return state is not None and state.phase is SiloPhase.ENDED and not accounted


def _models(silo_dir: Path, newest: int, until: float) -> Iterator[Superfluous]:
    seen: dict[object, int] = {}  # by what a run, or a model that is deployed, looks for: KeptModels.newest
    for kept in reversed(KeptModels(silo_dir).all()):
        key = (kept.about.app, kept.about.dataset, kept.about.layout, kept.about.private)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > newest and kept.about.at <= until:
            why = f"{seen[key] - 1} newer ones of {kept.about.app} on {kept.about.dataset or 'its file'} are kept"
            yield Superfluous(Kind.MODEL, kept.about.run, kept.path, _size(kept.path), why)


def _leftovers(silo_dir: Path) -> Iterator[Superfluous]:
    for folder in ("runs", "models", "envs"):
        for path in _in(silo_dir / folder, hidden=True):
            if path.name.startswith(GOING):
                yield Superfluous(Kind.LEFTOVER, path.name, path, _size(path), "a removal was cut off")


def _go(path: Path) -> None:
    """Remove a file or a folder: under another name at once, and then for good."""
    going = path if path.name.startswith(GOING) else path.with_name(f"{GOING}{path.name}")
    try:
        if going != path:
            if going.exists():
                _delete(going)
            path.rename(going)
    except FileNotFoundError:
        return
    _delete(going)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _in(folder: Path, *, hidden: bool = False) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.name.startswith(".") == hidden]


def _size(path: Path) -> int:
    """The bytes that its removal frees: of files that have no other name."""
    if not path.is_dir():
        return _freed(path)
    return sum(_freed(Path(parent, name)) for parent, _, names in os.walk(path) for name in names)


def _freed(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    return found.st_size if found.st_nlink == 1 else 0
