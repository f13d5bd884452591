"""How is a password kept and compared? As Argon2id (RFC 9106), in a thread of its own, one at a time.

A round waits for none of it: each comparison takes some 0.1 s of a core and 64 MiB, in the one thread here, and when
many wait, those that come are sent away.
"""

from __future__ import annotations

import asyncio
import base64
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from septum.errors import ConfigError, RateLimitedError

MIN_CHARS = 12  # NIST SP 800-63B, 3.1.1.2, wants 8 beside a second factor and 15 without; length, no other rules
MAX_CHARS = 256
MAX_WAITING = 16
T = TypeVar("T")


class Passwords:
    """Hashes and compares. `hasher`: RFC 9106's second recommended setting unless given."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = _no_password(self._hasher)
        self._pool = ThreadPoolExecutor(1, "septum-passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What to keep of a password."""
        return await self._do(lambda: self._hasher.hash(normal(password)))

    async def fits(self, kept: str, password: str) -> bool:
        """Whether this is the password. It takes as long where none is kept: nobody learns who is known here."""
        return await self._do(lambda: self._verify(kept or self._nobodys, password) and bool(kept))

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _do(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise RateLimitedError("too many people sign in at this moment", hint="try again", retry_after_s=2.0)
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(work))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what is going on."""
        self._pool.shutdown(wait=True)


def check_new(password: str, name: str) -> None:
    """Whether somebody may choose this password. Raises ConfigError; the password is never quoted."""
    text = normal(password)
    if not MIN_CHARS <= len(text) <= MAX_CHARS:
        raise ConfigError(f"a password has {MIN_CHARS} to {MAX_CHARS} characters", hint="four random words, say")
    if len(set(text)) < 5 or (len(name) > 3 and name in text.lower()):
        raise ConfigError("this password is too easy to guess", hint="four random words, say")


def normal(password: str) -> str:
    """The same password whatever keyboard it was typed on (NFKC; NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _no_password(hasher: PasswordHasher) -> str:
    """A hash with this hasher's costs that nothing fits."""
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
