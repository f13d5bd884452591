"""What goes when a steward removes a package, and which runs keep it? Receipts and what was said of it stay."""

from __future__ import annotations

from pathlib import Path

from septum.errors import ConflictError, MessageError
from septum.protocol.silo import SiloPhase
from septum.silo.environment import Environments
from septum.silo.packages import Packages
from septum.silo.run_files import RunFiles


def remove_package(silo_dir: Path, digest: str, by: str) -> None:
    """Take a package's approval back, and delete it, its environment and what was unpacked or fetched of it.

    One that is not here is ignored. A run that is let in while this goes on finds nothing to run: it fails once, and is
    refused when it asks again, for the approval is taken back first.

    Raises ConflictError naming the runs that are at work with it.
    """
    if runs := runs_at_work(silo_dir, digest):
        raise ConflictError(
            f"package {digest} is not removed: {', '.join(runs)} at work with it here",
            hint=f"septum run stop {runs[0]}, where the coordinator is; or wait, and let no other run in: "
            f"septum silo app revoke {digest} --dir {silo_dir}",
        )
    Packages(silo_dir).remove(digest, by)
    Environments(silo_dir / "envs").forget(digest)
    for part in (silo_dir / "fetched").glob(f"*{digest.removeprefix('sha256:')}*"):
        part.unlink(missing_ok=True)


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
