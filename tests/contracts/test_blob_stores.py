"""Both blob stores keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.testing.contracts.blob_store import BlobStoreContract
from septum.testing.fakes import MemoryBlobs


class TestDirectoryBlobs(BlobStoreContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[DirectoryBlobs]:
        yield DirectoryBlobs(directory / "blobs")


class TestMemoryBlobs(BlobStoreContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryBlobs]:
        yield MemoryBlobs()
