"""How does a model get on disk, whole or not at all, over a line that is cut?

What has come lies beside the target until it is whole. A download that was cut goes on with it: at once if anything
came, else the next time that the same model is asked for. Ranges: RFC 9110, section 14.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.channel.blob_files import PartialFile
from septum.client.stream import Backoff
from septum.errors import ConfigError, ConnectionFailedError, DigestError, MessageError

SHARED = 0o644  # a model is shared like any file that one downloads
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Piece:
    """The coordinator's answer: bytes from `start` to its end, of a model of `whole_bytes`."""

    start: int
    whole_bytes: int
    chunks: Iterable[bytes]


Ask = Callable[[int], AbstractContextManager[Piece]]  # for the bytes from a place on; raises ConnectionFailedError


def save(ask: Ask, digest: str, path: Path, *, patience_s: float) -> int:
    """Write a model into `path`, which appears only once all bytes are there and are those of `digest`; their number.

    Raises:
        DigestError: they are not, twice.
        ConfigError: the directory cannot be written.
        ConnectionFailedError: nothing came, or nothing more for `patience_s` seconds.
    """
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path.parent} cannot be written", hint=f"ls -ld {path.parent}")
    partial = PartialFile(path, digest)
    with partial.opened():
        try:
            _fetch(ask, partial, patience_s)
            try:
                partial.finish()
            except DigestError:  # what was kept may have been damaged: once more from the start
                partial.begin_anew()
                _fetch(ask, partial, patience_s)
                _finish(partial)
            path.chmod(SHARED)
        except (ConnectionFailedError, KeyboardInterrupt):  # what has come is kept
            if not partial.size_bytes:
                partial.discard()
            raise
        except BaseException:
            partial.discard()
            raise
    return partial.size_bytes


def piece_of(status: int, headers: Mapping[str, str], chunks: Iterable[bytes]) -> Piece:
    """What an answer brings; of 416 (nothing comes after this place) the end. Raises MessageError if it does not say.

    >>> piece_of(206, {"content-range": "bytes 5-9/10"}, [b"fives"])
    Piece(start=5, whole_bytes=10, chunks=[b'fives'])
    """
    if status not in (206, 416):
        return Piece(0, int(headers.get("content-length", "0")), chunks)
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise MessageError("an answer with a part of a model does not say which part")
    whole_bytes = int(match[2])
    return Piece(whole_bytes, whole_bytes, ()) if match[1] is None else Piece(int(match[1]), whole_bytes, chunks)


def _fetch(ask: Ask, partial: PartialFile, patience_s: float) -> None:
    """Bring what has not come yet."""
    backoff, moved = Backoff(patience_s), False
    while True:
        before = partial.size_bytes
        try:
            if _take(ask, partial):
                return
        except ConnectionFailedError:
            moved = moved or partial.size_bytes > before
            if not moved:
                raise
            if partial.size_bytes > before:
                backoff.reset()
            backoff.pause_or_raise()


def _take(ask: Ask, partial: PartialFile) -> bool:
    """Append one answer; whether that was all."""
    with ask(partial.size_bytes) as piece:
        if piece.start != partial.size_bytes:  # a coordinator that knows no ranges, or more was kept than there is
            partial.begin_anew()
            if piece.start:
                return False
        for chunk in piece.chunks:
            partial.append(chunk)
        return partial.size_bytes >= piece.whole_bytes


def _finish(partial: PartialFile) -> None:
    try:
        partial.finish()
    except DigestError as error:
        raise DigestError(
            f"{partial.digest} came damaged twice, {partial.size_bytes} bytes: {error.message}; nothing of it was kept",
            hint="on the coordinator, whose copy has rotted: septum model list; then download another round's",
        ) from error
