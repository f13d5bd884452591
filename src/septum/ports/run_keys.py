"""Where is that with which a run's key is made? A salt for each run, beside it, until the run is shredded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from septum.errors import NotFoundError
from septum.protocol.audit import utc

SALT_BYTES = 32


class RunKeyStore(Protocol):
    """The salts of runs.

    Contract: a run has a salt of its own, at random, from the commit that makes the run on. `shred` is atomic and
    durable: a run is shredded, or it is not. Nothing of a salt that was shredded is left in what the store keeps, as
    far as that is in its hands. Methods may be called from any thread.
    """

    def salt(self, run_id: str) -> bytes | None:
        """A run's; None for an unknown run. Raises NotFoundError, as `refuse_shredded` does, where it was shredded."""

    def shred(self, run_id: str, *, by: str, at: float) -> None:
        """Delete a run's salt for good. Of a run that was shredded before, what may be left of it is looked for again.

        Raises NotFoundError, ConflictError for a run that has not ended; and StorageError, also where the salt is
        deleted and something of it may be left: then it is to be asked again.
        """

    def with_files(self) -> Sequence[str]:
        """The shredded runs of which files may be left, or something of the salt."""

    def files_gone(self, run_id: str) -> None:
        """No file of a shredded run is left, and nothing of its salt."""


def refuse_shredded(run_id: str, by: str, at: float | None) -> None:
    """Raise NotFoundError, with the reason, for a run that was shredded (None: it was not).

    >>> refuse_shredded("r-1", "", None)
    >>> refuse_shredded("r-1", "ada", 0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    septum.errors.NotFoundError: run r-1 was shredded by ada at 1970-01-01T00:00:00.000000Z: its models and ... gone
    """
    if at is not None:
        raise NotFoundError(
            f"run {run_id} was shredded by {by} at {utc(at)}: its models and what its silos sent are gone",
            hint=f"septum run show {run_id}",
        )
