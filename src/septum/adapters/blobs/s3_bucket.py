"""What is asked of S3? Objects by key under one prefix of one bucket: put, read, listed, removed. By signature v4.

Every request has a time limit and is tried again after 5xx answers, throttling and broken connections, with growing
pauses (botocore's standard mode). Objects are uploaded with their SHA-256, which S3 compares before it answers.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from septum.adapters.blobs.s3_errors import EXTRA, WHAT, AskedS3, S3AwayError
from septum.adapters.blobs.writing import BUFFER_BYTES
from septum.adapters.export.extra import imported
from septum.errors import ConfigError, NotFoundError, StorageError

CONNECT_S, SILENCE_S, TRIES = 5.0, 20.0, 4
QUICK_S = 3.0  # for a look whether it is back; somebody waits
PART_BYTES = 8 * 2**20  # S3 takes parts of 5 MiB and more
MAX_PARTS = 10_000  # S3's limit
PARTS_AT_ONCE = 4  # of all uploads together: so many parts are in memory
KEYS_A_REQUEST = 1000  # S3's limit for removing
CUTS = 3  # of a download, one after the other, without a byte between


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where in S3. An empty `endpoint` and `region`: what boto3 finds (AWS_ENDPOINT_URL, AWS_REGION, ~/.aws/config).

    prefix      what all keys begin with; without a slash at the end, or empty
    path_style  whether the bucket is part of the path, not of the host's name
    ca_file     a PEM file with the authority to trust, if it is no public one
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    ca_file: str = ""

    @property
    def url(self) -> str:
        """As the AWS command line names it.

        >>> S3Place("blobs", "septum").url
        's3://blobs/septum'
        """
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def look(self) -> str:
        """A command that shows what is there."""
        endpoint = f" --endpoint-url {self.endpoint}" if self.endpoint else ""
        return f"aws s3 ls {self.url}/{endpoint}"


class Bucket:
    """The objects under one prefix, by keys without it. May be used by several threads.

    Every method raises S3AwayError when S3 cannot be reached or refuses.
    """

    def __init__(self, place: S3Place) -> None:
        """Set up; nothing is asked yet. Raises ConfigError for settings that cannot be used."""
        self.place = place
        self._asked = AskedS3(place.url, place.look)
        self._client = _client(place, SILENCE_S, TRIES)
        self._parts = ThreadPoolExecutor(PARTS_AT_ONCE, "septum-s3")
        self._at = {"Bucket": place.bucket}

    def close(self) -> None:
        """Give the connections up."""
        self._parts.shutdown(cancel_futures=True)
        self._client.close()

    @property
    def endpoint(self) -> str:
        """Where requests go."""
        return str(self._client.meta.endpoint_url)

    def put(self, key: str, data: bytes) -> None:
        """Store a small object."""
        self._put(self._client, key, data)

    def try_put(self, key: str, data: bytes) -> None:
        """Store a small object, or fail within seconds."""
        with closing(_client(self.place, QUICK_S, 1)) as client:
            self._put(client, key, data)

    def _put(self, client: Any, key: str, data: bytes) -> None:  # noqa: ANN401  a client without types
        with self._asked(f"store {key}"):
            client.put_object(**self._key(key), Body=data, **_checksum(data))

    def get(self, key: str) -> bytes:
        """A small object. Raises NotFoundError."""
        return b"".join(self.chunks(key))

    def upload(self, key: str, path: Path) -> None:
        """Store a file: in one request, or in parts when it is large. It is there whole, or what was there before."""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= PART_BYTES:
                self.put(key, os.pread(file.fileno(), size, 0))
            else:
                self._upload_parts(key, file.fileno(), size)

    def _upload_parts(self, key: str, descriptor: int, size: int) -> None:
        """Parts are read when they are sent, a few at one time. What S3 has of it goes when it fails."""
        with self._asked(f"begin to store {key}"):
            begun = self._client.create_multipart_upload(**self._key(key), ChecksumAlgorithm="SHA256")
        upload = self._key(key) | {"UploadId": str(begun["UploadId"])}

        def send(number: int, start: int) -> dict[str, object]:
            data = os.pread(descriptor, min(length, size - start), start)
            if len(data) != min(length, size - start):
                raise StorageError(f"the file for {key} is shorter than it was", hint="df -h")
            checksum = _checksum(data)
            with self._asked(f"store part {number} of {key}"):
                sent = self._client.upload_part(**upload, PartNumber=number, Body=data, **checksum)
            return {"PartNumber": number, "ETag": sent["ETag"], **checksum}

        length = part_bytes(size)
        sending = [self._parts.submit(send, number, at) for number, at in enumerate(range(0, size, length), start=1)]
        try:
            parts = [one.result() for one in sending]
            with self._asked(f"store {key}"):
                self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            for one in sending:
                one.cancel()
            for one in sending:
                if not one.cancelled():
                    one.exception()  # a part that is on its way would come after the end
            self._abort(upload)
            raise

    def _abort(self, upload: dict[str, object]) -> None:
        try:
            with self._asked("give up an upload"):
                self._client.abort_multipart_upload(**upload)
        except S3AwayError:
            return  # the next coordinator that begins here does it: `abort_uploads`

    def abort_uploads(self) -> int:
        """Remove the parts of all uploads that were begun and never ended; how many that were."""
        with self._asked("look for uploads that never ended"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                **self._at, Prefix=self._key("")["Key"]
            )
            found = [upload for page in pages for upload in page.get("Uploads", ())]
        for upload in found:
            with suppress(NotFoundError), self._asked("give up an upload", missing="it has ended after all"):
                self._client.abort_multipart_upload(**self._at, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(found)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object; a download that is cut goes on. Raises NotFoundError."""
        start, etag, cuts = 0, "", 0
        while True:
            more = {"Range": f"bytes={start}-", "IfMatch": etag} if start else {}
            with self._asked(f"read {key}", missing=f"there is no {key} in {self.place.url}"):
                answer = self._client.get_object(**self._key(key), **more)
                etag = answer["ETag"]
                try:
                    with closing(answer["Body"]) as body:
                        for chunk in body.iter_chunks(BUFFER_BYTES):
                            start, cuts = start + len(chunk), 0
                            yield chunk
                except Exception as error:
                    cuts += 1
                    if not self._asked.is_cut(error) or cuts > CUTS:
                        raise
                else:
                    return

    def sizes(self, start: str = "") -> Iterator[tuple[str, int]]:
        """Every object whose key begins like this, in the order of the keys, with its size."""
        whole, cut = self._key(start)["Key"], len(self._key("")["Key"])
        with self._asked(f"list {start or 'what is there'}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(**self._at, Prefix=whole)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield str(found["Key"])[cut:], int(found["Size"])

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are ignored."""
        left = iter(keys)
        while batch := list(itertools.islice(left, KEYS_A_REQUEST)):
            objects = [{"Key": self._key(key)["Key"]} for key in batch]
            with self._asked(f"remove {len(batch)} objects"):
                answer = self._client.delete_objects(**self._at, Delete={"Objects": objects, "Quiet": True})
            for refused in answer.get("Errors", ()):
                code, said = refused.get("Code", ""), refused.get("Message", "")
                raise S3AwayError(
                    f"could not remove {refused.get('Key')} in s3://{self.place.bucket}: {code}, {said}",
                    hint=self.place.look,
                    lasts=False,
                )

    def address(self, key: str, seconds: int) -> str:
        """Where anybody may read an object for so long."""
        with self._asked(f"make an address for {key}"):
            return str(self._client.generate_presigned_url("get_object", Params=self._key(key), ExpiresIn=seconds))

    def _key(self, key: str) -> dict[str, Any]:
        return {**self._at, "Key": f"{self.place.prefix}/{key}" if self.place.prefix else key}


def part_bytes(size: int) -> int:
    """How large the parts of an upload are: S3 takes 10,000 of them.

    >>> part_bytes(10 * 2**20) == PART_BYTES, part_bytes(2**40) * MAX_PARTS >= 2**40
    (True, True)
    """
    return max(PART_BYTES, -(-size // MAX_PARTS))


def _checksum(data: bytes) -> dict[str, str]:
    return {"ChecksumSHA256": base64.b64encode(hashlib.sha256(data).digest()).decode()}


@cache
def _session() -> Any:  # noqa: ANN401  without types
    """Credentials and what is known of S3, for all clients: reading the latter takes a tenth of a second."""
    return imported("boto3", WHAT, EXTRA).session.Session()


def _client(place: S3Place, silence_s: float, tries: int) -> Any:  # noqa: ANN401  without types
    errors = imported("botocore.exceptions", WHAT, EXTRA)
    config = imported("botocore.config", WHAT, EXTRA).Config(
        signature_version="s3v4",
        connect_timeout=min(CONNECT_S, silence_s),
        read_timeout=silence_s,
        retries={"mode": "standard", "total_max_attempts": tries},
        s3={"addressing_style": "path" if place.path_style else "auto"},
        request_checksum_calculation="when_required",  # we give our own; compatible servers do not all know trailers
        response_checksum_validation="when_required",  # a blob's name is its digest
        max_pool_connections=32,
    )
    where = {"endpoint_url": place.endpoint or None, "region_name": place.region or None}
    try:
        return _session().client("s3", config=config, verify=place.ca_file or None, **where)
    except (errors.BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"S3 cannot be asked: {error}", hint="endpoint and region under [blobs] in coordinator.toml"
        ) from cast("Exception", error)
