"""Where are the models? On disk for good, and the small ones that are in use also in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.file_source import file_source
from septum.ports.blobs import BlobStore
from septum.protocol.layout import Layout
from septum.protocol.messages import INLINE_LIMIT_BYTES, Blob
from septum.protocol.sources import Source, layout_of, source_of

AREA = "models"
KEPT = 64  # small models in memory, 64 KiB each: as many as runs that are likely to be at work at one time


class Shelf:
    """Models by digest. May be used by several threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._small: OrderedDict[str, Blob] = OrderedDict()
        self._layouts: OrderedDict[str, Layout] = OrderedDict()

    def add(self, chunks: Iterable[bytes]) -> Blob:
        """Store a model, so that it survives a power loss; a reference without the bytes."""
        copy = _Copy(chunks)
        digest = self._blobs.put(AREA, copy, durable=True)
        blob = Blob(digest, copy.size_bytes)
        if copy.size_bytes <= INLINE_LIMIT_BYTES:
            self._remember(Blob(digest, copy.size_bytes, b"".join(copy.kept)))
        return blob

    def filled(self, blob: Blob) -> Blob:
        """The reference with the bytes inside, if they are few enough to travel in a message."""
        if blob.size_bytes > INLINE_LIMIT_BYTES:
            return blob
        with self._lock:
            found = self._small.get(blob.digest)
            if found is not None:
                self._small.move_to_end(blob.digest)
                return found
        return self._remember(Blob(blob.digest, blob.size_bytes, self._blobs.get(AREA, blob.digest)))

    @contextmanager
    def source(self, blob: Blob, *, last: bool = False) -> Iterator[Source]:
        """A model, to be read; `last`: for the last time, most likely."""
        small = self.filled(blob).inline
        if small is not None:
            yield source_of(small)
            return
        with file_source(self.path(blob.digest), last=last) as source:
            yield source

    def layout(self, blob: Blob) -> Layout:
        """Where each tensor lies in a model."""
        with self._lock:
            found = self._layouts.get(blob.digest)
        if found is None:
            with self.source(blob) as source:
                found = layout_of(source)
            with self._lock:
                self._layouts[blob.digest] = found
                while len(self._layouts) > KEPT:
                    self._layouts.popitem(last=False)
        return found

    def forget(self, digest: str) -> None:
        """Its file is no longer what it was: what memory holds of it counts no more."""
        with self._lock:
            self._small.pop(digest, None)
            self._layouts.pop(digest, None)

    def path(self, digest: str) -> Path:
        """The file of a model, to be read only. Raises NotFoundError."""
        return self._blobs.path(AREA, digest)

    def _remember(self, blob: Blob) -> Blob:
        with self._lock:
            self._small[blob.digest] = blob
            while len(self._small) > KEPT:
                self._small.popitem(last=False)
        return blob


class _Copy:
    """Chunks that pass through are counted, and kept as long as they are few."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size_bytes = 0
        self.kept: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size_bytes += len(chunk)
            if self.size_bytes <= INLINE_LIMIT_BYTES:
                self.kept.append(chunk)
            else:
                self.kept.clear()
            yield chunk
