"""Every blob store keeps the contract of its port."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.s3_server import S3, opened

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import S3Blobs
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.testing.contracts.blob_store import BlobStoreContract
from septum.testing.fakes import MemoryBlobs


class TestDirectoryBlobs(BlobStoreContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[DirectoryBlobs]:
        yield DirectoryBlobs(directory / "blobs")


class TestSealedDirectoryBlobs(BlobStoreContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[DirectoryBlobs]:
        yield DirectoryBlobs(directory / "blobs", keys=Keys(FileKey(bytes(range(32)))))


class TestMemoryBlobs(BlobStoreContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryBlobs]:
        yield MemoryBlobs()


class TestDirectoryBlobsWithoutLinks(BlobStoreContract):
    """On a file system that has none, what is shared is copied."""

    @contextmanager
    def make(self, directory: Path) -> Iterator[DirectoryBlobs]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "link", _no_links)
            yield DirectoryBlobs(directory / "blobs")


@pytest.mark.processes
class TestS3Blobs(BlobStoreContract):
    """On a real server, over HTTP."""

    _bucket: Bucket

    @pytest.fixture(autouse=True)
    def _place(self, s3: S3) -> Iterator[None]:
        with opened(s3.place()) as bucket:
            self._bucket = bucket
            yield

    @contextmanager
    def make(self, directory: Path) -> Iterator[S3Blobs]:
        yield S3Blobs(DirectoryBlobs(directory / "blobs", keys=Keys(FileKey(bytes(range(32))))), self._bucket)


def _no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")
