"""How does the agent hold a file's update to the plan's `clip_norm`? In the file itself, block by block.

Apart from outgoing.py, which does without numpy.
"""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from septum.adapters.file_source import file_source
from septum.protocol import clipped
from septum.protocol.messages import Blob


def clip_file(path: Path, max_norm: float) -> Blob | None:
    """Shorten the update in a file that nobody else has, if it is too long; what the file holds then, else None.

    A kill in between leaves a file that is neither: it must not lie where a result is looked for. Raises TensorError
    as `clipped.clip` does, and OSError.
    """
    with file_source(path) as source:
        factor = clipped.factor_for(source, max_norm)
        if factor is None:
            return None
        digest = blake3()
        with path.open("r+b") as file:
            for piece in clipped.pieces(source, factor):
                digest.update(piece)
                file.write(piece)
        return Blob(f"blake3:{digest.hexdigest()}", source.size_bytes)
