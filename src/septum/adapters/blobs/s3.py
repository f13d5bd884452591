"""Where do bytes live when one machine is not to have them all? In S3, with a directory as working place and cache.

What has to last is put into the directory first and then into S3, before anybody is told that it is stored. What is
read and is not in the directory is fetched into it. Payloads of silos stay in the directory: they are offered again by
whoever sent them, and are no slower than without S3. An object has the key `AREA/ab/abcd...`, as the file has.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.names import AREA, check_area, check_digest
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.blobs.s3_sizes import S3Sizes
from septum.errors import DigestError, NotFoundError, StorageError
from septum.ports.blobs import AwayError, OpenBlob

log = logging.getLogger("septum.adapters.blobs.s3")

_KEY = re.compile(rf"(?:{AREA.pattern})/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}")
PROBE = "septum-probe"  # an object that is written to see whether S3 takes a write again


class S3Blobs:
    """Blobs in S3. See `ports.blobs.BlobStore` for the contract.

    `local` is its own directory: nobody else may use it. `is_volatile` says of an area that what is in it stays there.
    """

    def __init__(
        self, local: DirectoryBlobs, bucket: Bucket, is_volatile: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._local = local
        self._bucket = bucket
        self._sizes = S3Sizes(bucket)
        self._is_volatile = is_volatile
        self._lock = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}
        self._failing = False  # the last time, S3 did not do what it was asked

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`."""
        found = self._local.put(area, data, durable=durable, digest=digest, limit=limit)
        if durable:
            self._keep(area, found)
        return found

    def append(
        self, area: str, digest: str, data: Iterable[bytes], *, sender: str, start: int = 0, limit: int = 0
    ) -> None:
        """Store the blob whose bytes from `start` to the end these are; what comes before a cut is kept."""
        self._local.append(area, digest, data, sender=sender, start=start, limit=limit)

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        """How many bytes of a sender's cut upload are here."""
        return self._local.kept_bytes(area, digest, sender=sender)

    def share(self, area: str, digest: str, into: str) -> None:
        """Have a blob in another area as well, durably. Raises NotFoundError."""
        self._here(area, digest)
        try:
            self._local.share(area, digest, into)
        except DigestError as error:
            self._fetch_again(area, digest, error)
            self._local.share(area, digest, into)
        self._keep(into, digest)

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted in S3 as well."""
        self._here(area, digest)
        try:
            return self._local.get(area, digest)
        except DigestError as error:
            self._fetch_again(area, digest, error)
            return self._local.get(area, digest)

    @contextmanager
    def open(self, area: str, digest: str, *, last: bool = False) -> Iterator[OpenBlob]:
        """A blob, to be read while it is open. Raises NotFoundError. `last`: it leaves the page cache as it is read."""
        self._here(area, digest)
        with self._local.open(area, digest, last=last) as opened:
            yield opened

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""
        try:
            return self._local.size_bytes(area, digest)
        except NotFoundError:
            size = None if self._is_volatile(area) else self._sizes.of(area, key_of(area, digest))
            if size is None:
                raise
            return size

    def digests(self, area: str) -> Sequence[str]:
        """Every blob of an area, in the order of their digests."""
        here = set(self._local.digests(area))
        if not self._is_volatile(area):
            with self._noticed():
                here |= {f"blake3:{key[-64:]}" for key, _ in self._bucket.sizes(f"{area}/") if is_key(key)}
        return sorted(here)

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""
        keys = [key_of(area, digest) for digest in digests]
        if not self._is_volatile(area):
            with self._noticed(area):
                self._bucket.remove(keys)
        self._local.discard(area, digests)

    def drop(self, area: str) -> None:
        """Forget a whole area, and the uploads into it that were cut."""
        if not self._is_volatile(check_area(area)):
            with self._noticed(area):
                self._bucket.remove(key for key, _ in self._bucket.sizes(f"{area}/"))
        self._local.drop(area)

    def free_bytes(self) -> int:
        """What the directory's file system has. After S3 has failed, an AwayError until it takes a write again."""
        if self._failing:
            with self._noticed():
                self._bucket.try_put(PROBE, b"")
        return self._local.free_bytes()

    def used_bytes(self) -> int:
        """What the directory has; S3's own figures tell of the rest."""
        return self._local.used_bytes()

    def _keep(self, area: str, digest: str) -> None:
        """Put what is in the directory into S3. Where that fails, it is not stored at all."""
        if self._is_volatile(area):
            return
        try:
            with self._noticed(area):
                self._bucket.upload(key_of(area, digest), self._local.stored_file(area, digest))
        except BaseException:
            with suppress(StorageError):  # then it lies there, and nothing refers to it
                self._local.discard(area, [digest])
            raise

    def _here(self, area: str, digest: str) -> None:
        """See that a blob is in the directory. Raises NotFoundError."""
        if self._is_here(area, digest):
            return
        if self._is_volatile(area):
            self._local.size_bytes(area, digest)  # raises it
            return
        with self._alone(key_of(area, digest)):
            if not self._is_here(area, digest):  # nobody else has fetched it meanwhile
                self._fetch(area, digest, f"there is no blob {digest} in {area!r}")

    def _is_here(self, area: str, digest: str) -> bool:
        """Whether there is a file of it, be it rotten."""
        return self._local.stored_file(area, digest).exists()

    def _fetch_again(self, area: str, digest: str, error: DigestError) -> None:
        """What lies here has rotted; of what lies here alone that is raised."""
        if self._is_volatile(area):
            raise error
        log.warning("blob_fetched_again", extra={"area": area, "digest": digest, "error": error.message})
        self._fetch(area, digest)

    def _fetch(self, area: str, digest: str, missing: str = "") -> None:
        """Raises NotFoundError, and DigestError when the object is another one than its name says."""
        key = key_of(area, digest)
        try:
            with self._noticed():
                self._local.adopt(area, digest, self._bucket.chunks(key))
        except NotFoundError as error:
            raise NotFoundError(f"{missing or error.message}, neither here nor in {self._bucket.place.url}") from error
        except DigestError as error:
            url = f"{self._bucket.place.url}/{key}"
            raise DigestError(f"the object {url} has changed: {error.message}", hint=f"aws s3 ls {url}") from error

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread fetches a blob; the others wait for it."""
        with self._lock:
            mine = self._fetching.setdefault(key, threading.Lock())
        try:
            with mine:
                yield
        finally:
            with self._lock:
                self._fetching.pop(key, None)

    @contextmanager
    def _noticed(self, changed: str = "") -> Iterator[None]:
        """Remember whether S3 did what it was asked. `changed`: the area of which it is asked to change something."""
        self._sizes.changed(changed)
        try:
            yield
        except AwayError as error:
            self._failing = True
            log.error("s3_away", extra={"error": error.message, "hint": error.hint})  # noqa: TRY400
            raise
        finally:
            self._sizes.changed(changed)
        self._failing = False


def is_key(key: str) -> bool:
    """Whether this is the key of a blob's object; then it leads to no other place as a path either.

    >>> is_key("models/ab/ab" + "0" * 62), is_key("models/../ab" + "0" * 62), is_key("septum-cache")
    (True, False, False)
    """
    return _KEY.fullmatch(key) is not None


def key_of(area: str, digest: str) -> str:
    """The key of a blob's object, which is its file's path in the directory.

    >>> key_of("models", "blake3:" + "ab" * 32)[:12]
    'models/ab/ab'
    """
    name = check_digest(digest)
    return f"{check_area(area)}/{name[:2]}/{name}"
