"""Where are the models? On disk for good, and the small ones that are in use also in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from septum.coordinator.areas import models_area
from septum.coordinator.intact import checked
from septum.ports.blobs import BlobStore, OpenBlob
from septum.protocol.layout import Layout
from septum.protocol.messages import INLINE_LIMIT_BYTES, Blob
from septum.protocol.sources import Source, layout_of, source_of

KEPT = 64  # small models in memory, 64 KiB each: as many as runs that are likely to be at work at one time
_Name = tuple[str, str]  # a run, and a digest


class Shelf:
    """Models by run and digest. May be used by several threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._small: OrderedDict[_Name, Blob] = OrderedDict()
        self._layouts: OrderedDict[_Name, Layout] = OrderedDict()

    def add(self, run_id: str, chunks: Iterable[bytes]) -> Blob:
        """Store a model of a run, so that it survives a power loss; a reference without the bytes."""
        copy = _Copy(chunks)
        digest = self._blobs.put(models_area(run_id), copy, durable=True)
        blob = Blob(digest, copy.size_bytes)
        if copy.size_bytes <= INLINE_LIMIT_BYTES:
            self._remember(run_id, Blob(digest, copy.size_bytes, b"".join(copy.kept)))
        return blob

    def filled(self, run_id: str, blob: Blob) -> Blob:
        """The reference with the bytes inside, if they are few enough to travel in a message."""
        if blob.size_bytes > INLINE_LIMIT_BYTES:
            return blob
        with self._lock:
            found = self._small.get((run_id, blob.digest))
            if found is not None:
                self._small.move_to_end((run_id, blob.digest))
                return found
        data = self._blobs.get(models_area(run_id), blob.digest)
        return self._remember(run_id, Blob(blob.digest, blob.size_bytes, data))

    @contextmanager
    def source(self, run_id: str, blob: Blob, *, last: bool = False) -> Iterator[Source]:
        """A model, to be read; `last`: for the last time, most likely.

        Who reads it from start to end has read what was stored, or gets a DigestError at the end.
        """
        small = self.filled(run_id, blob).inline
        if small is not None:
            yield source_of(small)
            return
        with self.open(run_id, blob.digest, last=last) as opened:
            yield checked(opened, blob.digest)

    def layout(self, run_id: str, blob: Blob) -> Layout:
        """Where each tensor lies in a model."""
        with self._lock:
            found = self._layouts.get((run_id, blob.digest))
        if found is None:
            with self.source(run_id, blob) as source:
                found = layout_of(source)
            with self._lock:
                self._layouts[run_id, blob.digest] = found
                while len(self._layouts) > KEPT:
                    self._layouts.popitem(last=False)
        return found

    def forget(self, run_id: str, digest: str) -> None:
        """Its file is no longer what it was: what memory holds of it counts no more."""
        with self._lock:
            self._small.pop((run_id, digest), None)
            self._layouts.pop((run_id, digest), None)

    def forget_run(self, run_id: str) -> None:
        """Nothing of a run is to be in memory."""
        with self._lock:
            for kept in (self._small, self._layouts):
                for name in [name for name in kept if name[0] == run_id]:
                    del kept[name]

    def open(self, run_id: str, digest: str, *, last: bool = False) -> AbstractContextManager[OpenBlob]:
        """A model, to be read while it is open. Raises NotFoundError on entering."""
        return self._blobs.open(models_area(run_id), digest, last=last)

    def check(self, run_id: str, digest: str) -> None:
        """Raise NotFoundError for a model that is not there."""
        self._blobs.size_bytes(models_area(run_id), digest)

    def _remember(self, run_id: str, blob: Blob) -> Blob:
        with self._lock:
            self._small[run_id, blob.digest] = blob
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
