"""Which bytes of a blob does a request ask for, or bring? Range and Content-Range (RFC 9110, section 14), one range."""

from __future__ import annotations

import re
from dataclasses import dataclass

from septum.errors import MessageError

_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_REST = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` to `stop` (exclusive) of a blob that has `whole_bytes`."""

    start: int
    stop: int
    whole_bytes: int

    @property
    def size_bytes(self) -> int:
        """How many bytes it is."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """As a header says it; of no bytes, as an answer that refuses them does.

        >>> Span(5, 10, 20).content_range, Span(20, 20, 20).content_range
        ('bytes 5-9/20', 'bytes */20')
        """
        place = f"{self.start}-{self.stop - 1}" if self.size_bytes else "*"
        return f"bytes {place}/{self.whole_bytes}"


def range_of(field: str, whole_bytes: int) -> Span | None:
    """The bytes that a Range header asks for; none of them when the blob ends before. None: all, as without the header.

    What is not one range in bytes with a first byte is ignored, as section 14.2 allows.

    >>> range_of("bytes=5-", 20), range_of("bytes=5-9", 20), range_of("bytes=-5", 20)
    (Span(start=5, stop=20, whole_bytes=20), Span(start=5, stop=10, whole_bytes=20), None)
    >>> range_of("bytes=20-", 20)
    Span(start=20, stop=20, whole_bytes=20)
    """
    match = _RANGE.fullmatch(field)
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        return None
    start, stop = int(match[1]), int(match[2]) + 1 if match[2] else whole_bytes
    if start >= whole_bytes:
        return Span(whole_bytes, whole_bytes, whole_bytes)
    return Span(start, min(stop, whole_bytes), whole_bytes)


def rest_of(field: str) -> Span:
    """The bytes that a request brings with Content-Range (section 14.5): a blob's last ones. Raises MessageError.

    `bytes */N` are none: all N were sent before.

    >>> rest_of("bytes 5-19/20"), rest_of("bytes */20").start
    (Span(start=5, stop=20, whole_bytes=20), 20)
    """
    match = _REST.fullmatch(field)
    if match is None:
        raise MessageError(f"a Content-Range that cannot be read: {field[:100]!r}", hint="bytes FIRST-LAST/SIZE")
    whole = int(match[3])
    start, last = (whole, whole - 1) if match[1] is None else (int(match[1]), int(match[2]))
    if last != whole - 1 or (match[1] is not None and start > last):
        raise MessageError(f"Content-Range {field!r} does not end where the blob does", hint="send all that is left")
    return Span(start, whole, whole)
