"""How large are objects that are not here? As S3 listed their area just now: who asks for one asks for thousands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from septum.adapters.blobs.s3_bucket import Bucket

HOLDS_S = 30.0  # what somebody else changed in the bucket is seen after that


class S3Sizes:
    """The sizes of objects by key. May be used by several threads."""

    def __init__(self, bucket: Bucket, now: Callable[[], float] = time.monotonic) -> None:
        self._bucket = bucket
        self._now = now
        self._lock = threading.Lock()
        self._listed: dict[str, tuple[float, dict[str, int]]] = {}

    def of(self, area: str, key: str) -> int | None:
        """The size of an object; None where there is none. Raises S3AwayError."""
        with self._lock:
            at, found = self._listed.get(area, (-HOLDS_S, {}))
            if self._now() - at >= HOLDS_S:
                found = dict(self._bucket.sizes(f"{area}/"))
                self._listed[area] = (self._now(), found)
            return found.get(key)

    def changed(self, area: str) -> None:
        """Objects of an area were stored or removed here."""
        with self._lock:
            self._listed.pop(area, None)
