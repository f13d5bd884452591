"""What does a canonical table look like on the disk? One F64 tensor `column.NAME` a column, NaN where nothing is known.

Equal values give equal bytes, whatever source they came from: the file's digest is the dataset's. Only septum's own
code writes such a file; what an app's code sees is this and nothing of the source.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from blake3 import blake3

from septum.errors import DataError, StorageError, TensorError
from septum.protocol import tensors
from septum.protocol.layout import MAX_HEADER_BYTES
from septum.sdk.data import Table

PREFIX = "column."


def write_table(path: Path, table: Table) -> str:
    """Write the file, whole or not at all, for its owner alone; its digest. Raises StorageError."""
    digest = blake3()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            for piece in tensors.pieces(_arrays(table)):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: the table cannot be written: {error.strerror or error}", hint=f"df -h {path.parent}"
        ) from error
    return f"blake3:{digest.hexdigest()}"


def digest_of_table(table: Table) -> str:
    """The digest of the file that would be written."""
    digest = blake3()
    for piece in tensors.pieces(_arrays(table)):
        digest.update(piece)
    return f"blake3:{digest.hexdigest()}"


def _arrays(table: Table) -> dict[str, tensors.Array]:
    return {f"{PREFIX}{name}": _canonical(values) for name, values in table.columns.items()}


def _canonical(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tensors.Array:
    """One bit pattern for a missing value, and one for zero."""
    return np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")


def read_table(path: Path, columns: Sequence[str], target: str = "") -> Table:
    """The table in a file, its columns in the given order. The file is mapped, not read.

    Raises:
        DataError: it is not a canonical table, or not one of these columns.
    """
    try:
        found = tensors.decode(np.memmap(path, np.uint8, mode="r").data)
    except (OSError, ValueError, TensorError) as error:
        raise DataError(f"{path}: not a canonical table: {error}", hint="the silo makes it anew: restart it") from error
    names = {name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX)}
    if names != set(columns) or len(names) != len(found):
        raise DataError(
            f"{path}: it has the columns {', '.join(sorted(names))}; the app's are {', '.join(sorted(columns))}",
            hint="the app's contract has changed since the table was made: restart the silo",
        )
    made = {}
    for name in columns:
        array = found[f"{PREFIX}{name}"]
        if array.dtype != np.float64:
            raise DataError(f"{path}: column {name!r} is {array.dtype}, F64 is needed")
        made[name] = array.view(np.float64)
    if not len(made[columns[0]]):
        raise DataError(f"{path}: a table without rows")
    return Table(made, str(path), target)


def is_table(path: Path) -> bool:
    """Whether a file begins as a table does: the size of a header in 8 bytes, then the header. No text file does."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False  # whoever reads it says why
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER_BYTES
