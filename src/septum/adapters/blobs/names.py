"""Which names may areas and blobs have? Only such that lead nowhere else when they become paths."""

from __future__ import annotations

import re

from septum.errors import ConfigError, DigestError
from septum.protocol.messages import DIGEST

AREA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_area(area: str) -> str:
    """`area` itself, if it is a valid name. Raises ConfigError.

    >>> check_area("models")
    'models'
    """
    if not AREA.fullmatch(area):
        raise ConfigError(f"{area[:80]!r} is no name for an area of blobs: letters, digits, '.', '_' and '-'")
    return area


def check_sender(sender: str) -> str:
    """`sender` itself, if it is a valid name. Raises ConfigError.

    >>> check_sender("st-marys")
    'st-marys'
    """
    if not AREA.fullmatch(sender):
        raise ConfigError(f"{sender[:80]!r} is no name for a sender of blobs: letters, digits, '.', '_' and '-'")
    return sender


def check_digest(digest: str) -> str:
    """The 64 hex digits of a blob's digest. Raises DigestError.

    >>> check_digest("blake3:" + "0" * 64) == "0" * 64
    True
    """
    if not DIGEST.fullmatch(digest):
        raise DigestError(
            f"{digest[:80]!r} is not a digest: expected blake3: and 64 hex digits", hint="septum model list"
        )
    return digest.removeprefix("blake3:")
