"""Whose cache is this directory, and is it still right? Looked at once, when a coordinator begins to use S3.

An object under the prefix names the directory whose coordinator worked there last; a file in the directory names it
and the place in S3. If another one has worked there meanwhile, it may have discarded what lies here: the directory is
emptied, and what is needed is fetched again. A directory that was there before S3, or whose objects are gone, is
uploaded.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import key_of
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.blobs.s3_errors import S3AwayError
from septum.adapters.files import replace_file
from septum.errors import ConfigError, NotFoundError

log = logging.getLogger("septum.adapters.blobs.s3")

CLAIM = "septum-cache"  # the object; its bytes are the name of a directory
MARK = ".s3"  # the file; no valid area: they do not begin with a dot
EVERY = 100  # uploads between two lines in the log


def begin(folder: Path, local: DirectoryBlobs, bucket: Bucket, is_volatile: Callable[[str], bool]) -> None:
    """Make the directory `folder` of `local` the cache of what is in S3. Only for whom S3 belongs to now.

    Raises ConfigError when S3 cannot be used as it is set up, or the directory belongs to another place there, and
    S3AwayError when S3 may be back soon.
    """
    name, place = _mark_of(folder)
    if place and place != bucket.place.url:
        raise ConfigError(
            f"{folder} holds a part of what is in {place}, and {bucket.place.url} is set under [blobs]",
            hint=f"aws s3 sync {place} {bucket.place.url}; then rm {folder / MARK}",
        )
    try:
        _begin(folder, local, bucket, name, is_volatile)
    except S3AwayError as error:
        if error.lasts:
            raise ConfigError(error.message, hint=error.hint) from error
        raise


def refuse_cache(folder: Path) -> None:
    """Raise ConfigError when a directory is to be used alone, and what it should hold is in S3."""
    _, place = _mark_of(folder)
    if place:
        raise ConfigError(
            f"the blobs of {folder} are in {place}, and there is no [blobs] in coordinator.toml",
            hint=f"put [blobs] back; or have all of them here: aws s3 sync {place} {folder}; then rm {folder / MARK}",
        )


def _begin(folder: Path, local: DirectoryBlobs, bucket: Bucket, name: str, is_volatile: Callable[[str], bool]) -> None:
    last = _last(bucket)
    if name and last and name != last:
        log.warning("s3_cache_emptied", extra={"reason": "another coordinator worked here meanwhile"})
        for area in local.areas():
            local.drop(area)
    elif not (name and last):
        _upload(local, bucket, is_volatile)
    name = name or secrets.token_hex(8)
    bucket.abort_uploads()
    bucket.put(CLAIM, name.encode())
    replace_file(folder / MARK, f"{name} {bucket.place.url}\n".encode())


def _upload(local: DirectoryBlobs, bucket: Bucket, is_volatile: Callable[[str], bool]) -> None:
    """Everything that lasts and that S3 has not."""
    for area in local.areas():
        if is_volatile(area):
            continue
        there = dict(bucket.sizes(f"{area}/"))
        wanted = [digest for digest in local.digests(area) if key_of(area, digest) not in there]
        for number, digest in enumerate(wanted):
            if number % EVERY == 0:
                log.info("s3_upload", extra={"area": area, "done": number, "of": len(wanted)})
            bucket.upload(key_of(area, digest), local.stored_file(area, digest))


def _last(bucket: Bucket) -> str:
    """The directory whose coordinator worked there last; empty: none did."""
    next(iter(bucket.sizes()), None)  # without the right to list, an object that is not there looks like a refusal
    try:
        return bucket.get(CLAIM).decode("ascii", "replace")
    except NotFoundError:
        return ""


def _mark_of(folder: Path) -> tuple[str, str]:
    """The name of the directory and its place in S3; both empty where there was none."""
    try:
        name, _, place = (folder / MARK).read_text().strip().partition(" ")
    except FileNotFoundError:
        return "", ""
    return name, place
