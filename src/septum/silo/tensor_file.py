"""How does the agent make a tensor file of parts of others? By copying bytes: no numpy, no whole model in memory.

Whole or not at all, on the disk when it is there, readable by the agent's user alone.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from septum.adapters.files import sync_folder
from septum.errors import StorageError
from septum.protocol.layout import ITEM_BYTES, TensorSpec, write_header
from septum.silo.outgoing import layout_in

BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor of a file, or of a file's bytes, and its name in the new one."""

    name: str
    spec: TensorSpec
    content: Path | bytes


def pieces_of(content: Path | bytes, name: Callable[[str], str | None]) -> list[Piece]:
    """The tensors of a file that `name` gives a name. Raises TensorError, and OSError when it cannot be read."""
    named = [(name(spec.name), spec) for spec in layout_in(content).tensors]
    return [Piece(new, spec, content) for new, spec in named if new is not None]


def write(path: Path, pieces: Sequence[Piece], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of these tensors in canonical order. Raises TensorError, StorageError."""
    ordered = sorted(pieces, key=lambda piece: (-ITEM_BYTES[piece.spec.dtype], piece.name))
    header = write_header([(piece.name, piece.spec.dtype, piece.spec.shape) for piece in ordered], metadata)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
            file.write(header)
            for piece in ordered:
                file.writelines(_blocks(piece))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}") from error
    finally:
        part.unlink(missing_ok=True)


def _blocks(piece: Piece) -> Iterator[bytes]:
    spec = piece.spec
    if isinstance(piece.content, bytes):
        yield piece.content[spec.offset : spec.offset + spec.size_bytes]
        return
    with piece.content.open("rb") as file:
        file.seek(spec.offset)
        yield from _read(file, spec.size_bytes)


def _read(file: BinaryIO, missing: int) -> Iterator[bytes]:
    while missing:
        block = file.read(min(missing, BUFFER_BYTES))
        if not block:
            raise OSError(0, "a tensor file was cut while it was read")
        missing -= len(block)
        yield block
