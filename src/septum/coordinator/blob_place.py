"""Where are this coordinator's models and payloads? In its data directory, or in S3 with that as working place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.earlier import seal_earlier
from septum.adapters.blobs.s3 import S3Blobs, key_of
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.blobs.s3_cache import begin, refuse_cache
from septum.adapters.blobs.s3_documents import S3Documents
from septum.adapters.sealing.keys import Keys
from septum.coordinator.areas import is_spool, models_area
from septum.coordinator.blobs_config import BlobsConfig, check_endpoint
from septum.coordinator.rosters import FOLDER as ROSTERS
from septum.errors import ConfigError
from septum.ports.blobs import BlobStore

BLOBS = "blobs"
ADDRESS_S = 900  # for which an address holds: who has it begins to read at once


@dataclass(frozen=True, slots=True)
class BlobPlace:
    """The blobs, and what else there is to know of where they are.

    keep_roster  is told each roster that is about to be written into the data directory, and the name of its file
    address      where anybody may read a run's model for a while, by the run's id and its digest; None: nowhere but
                 at the coordinator
    """

    blobs: BlobStore
    keep_roster: Callable[[str, bytes], None] = lambda _name, _document: None
    address: Callable[[str, str], str] | None = None


@contextmanager
def open_blobs(data_dir: Path, config: BlobsConfig | None, keys: Keys | None) -> Iterator[BlobPlace]:
    """For the one coordinator that works; `keys`: what they are sealed under, if they are.

    Raises ConfigError, StorageError, and AwayError when S3 may be back soon.
    """
    folder = data_dir / BLOBS
    if keys is not None:
        seal_earlier(folder, keys)
    if config is None:
        refuse_cache(folder)
        yield BlobPlace(DirectoryBlobs(folder, keys=keys))
        return
    with open_bucket(config) as bucket:
        local = DirectoryBlobs(folder, keys=keys)
        begin(folder, local, bucket, is_spool)
        rosters = S3Documents(data_dir / ROSTERS, bucket)
        rosters.level()
        address = partial(_address, bucket) if config.presigned else None
        yield BlobPlace(S3Blobs(local, bucket, is_spool), rosters.keep, address)


def _address(bucket: Bucket, run_id: str, digest: str) -> str:
    return bucket.address(key_of(models_area(run_id), digest), ADDRESS_S)


@contextmanager
def open_bucket(config: BlobsConfig) -> Iterator[Bucket]:
    """What is in S3, to be asked. Raises ConfigError."""
    if config.ca_file and not Path(config.ca_file).is_file():
        raise ConfigError(f"blobs.ca_file {config.ca_file} is not there", hint=f"ls -l {config.ca_file}")
    bucket = Bucket(config.place)
    try:
        check_endpoint(bucket.endpoint, presigned=config.presigned)
        yield bucket
    finally:
        bucket.close()
