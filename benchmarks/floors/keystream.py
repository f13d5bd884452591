"""How fast does one thread make AES-256-CTR keystream at all? OpenSSL's, nothing done with it.

Two programs: all streams in turn through one small buffer, as a vector is masked chunk by chunk, and one stream after
the other through a buffer of 1 MiB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

SMALL_BYTES, LARGE_BYTES = 2**18, 2**20


def in_turn(streams: int, stream_bytes: int) -> int:
    """The same chunk of every stream, then the next one. How many bytes were made."""
    zeros, buffer = memoryview(bytes(SMALL_BYTES)), memoryview(bytearray(SMALL_BYTES))
    encryptors = [Cipher(AES256(bytes([at] * 32)), CTR(bytes(16))).encryptor() for at in range(streams)]
    done = 0
    for start in range(0, stream_bytes, SMALL_BYTES):
        size = min(SMALL_BYTES, stream_bytes - start)
        for encryptor in encryptors:
            done += encryptor.update_into(zeros[:size], buffer[:size])
    return done


def one_by_one(streams: int, stream_bytes: int) -> int:
    """Each stream from its beginning to its end. How many bytes were made."""
    zeros, buffer = memoryview(bytes(LARGE_BYTES)), memoryview(bytearray(LARGE_BYTES))
    done = 0
    for at in range(streams):
        encryptor = Cipher(AES256(bytes([at] * 32)), CTR(bytes(16))).encryptor()
        for start in range(0, stream_bytes, LARGE_BYTES):
            size = min(LARGE_BYTES, stream_bytes - start)
            done += encryptor.update_into(zeros[:size], buffer[:size])
    return done


PROGRAMS: Mapping[str, Callable[[int, int], int]] = {"in turn": in_turn, "one by one": one_by_one}


def seconds(program: Callable[[int, int], int], streams: int, stream_bytes: int) -> float:
    """What a program needs for so many streams."""
    began = time.perf_counter()
    program(streams, stream_bytes)
    return time.perf_counter() - began
