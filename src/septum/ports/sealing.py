"""Who holds the key that keeps a coordinator's secrets? A file, a program, a service: whatever wraps other keys."""

from __future__ import annotations

from typing import Protocol


class KeyHolder(Protocol):
    """Wraps data keys with a master key that never lies in the data directory.

    Contract: `unwrap(wrap(key, about), about)` is the key, also in another process with the same master key. With
    another master key, other bytes or another `about` it raises ConfigError, whose message names the holder and never
    a key. Both may take seconds.
    """

    @property
    def name(self) -> str:
        """Which master key it is, for people; it says nothing of the key itself."""

    def wrap(self, key: bytes, about: str) -> bytes:
        """A data key of 32 bytes, so that only the master key's holder can have it again."""

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """The data key. Raises ConfigError."""
