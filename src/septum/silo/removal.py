"""What goes when a steward takes an approval back or removes a package, and which runs keep it? Receipts stay."""

from __future__ import annotations

from pathlib import Path

from septum.errors import ConflictError, MessageError
from septum.protocol.silo import SiloPhase
from septum.silo.environment import Environments
from septum.silo.packages import Packages
from septum.silo.run_files import RunFiles


def revoke_package(silo_dir: Path, digest: str, by: str) -> tuple[str, ...]:
    """Take a package's approval back: no other run is let in. The runs that are at work with it, which go on.

    What is unpacked of it goes now, or with the end of the last of these runs (`fold_revoked`).
    """
    Packages(silo_dir).revoke(digest, by)
    fold_revoked(silo_dir)
    return runs_at_work(silo_dir, digest)


def fold_revoked(silo_dir: Path) -> tuple[str, ...]:
    """Delete what is unpacked of packages that were revoked and with which no run is at work any more; their digests.

    A run that is let in while this goes on finds nothing to run: it fails once, and is refused when it asks again.
    """
    return Packages(silo_dir).fold(lambda digest: bool(runs_at_work(silo_dir, digest)))


def remove_package(silo_dir: Path, digest: str, by: str, *, force: bool = False) -> tuple[str, ...]:
    """Take a package's approval back, and delete it, its environment and what was unpacked or fetched of it.

    One that is not here is ignored. A run that is let in while this goes on finds nothing to run: it fails once, and is
    refused when it asks again, for the approval is taken back first.

    With `force` also under runs at work, which are returned: they cannot go on once their training process ends.
    Without it, raises ConflictError naming them.
    """
    packages = Packages(silo_dir)
    runs = runs_at_work(silo_dir, digest) if digest in packages.digests() else ()
    if runs and not force:
        raise ConflictError(
            f"package {digest} is not removed: {', '.join(runs)} at work with it here",
            hint=f"septum run stop {runs[0]}, where the coordinator is; or let no other run in, and wait: "
            f"septum silo app revoke {digest} --dir {silo_dir}; or, if the coordinator is gone for good: "
            f"septum silo app remove {digest} --force --dir {silo_dir}",
        )
    packages.remove(digest, by)
    Environments(silo_dir / "envs").forget(digest)
    for part in (silo_dir / "fetched").glob(f"*{digest.removeprefix('sha256:')}*"):
        part.unlink(missing_ok=True)
    return runs


def runs_at_work(silo_dir: Path, digest: str) -> tuple[str, ...]:
    """The runs of a package in which this silo takes part, by what is on disk, whether the agent is up or not."""
    folder = silo_dir / "runs"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(path.name for path in found if _serves(path, digest))


def _serves(folder: Path, digest: str) -> bool:
    try:
        state = RunFiles(folder).load()
    except (MessageError, NotADirectoryError):
        return False  # no agent takes it up again
    return state is not None and state.phase is SiloPhase.ACTIVE and state.plan.app.digest == digest
