"""How is a secret cut so that any t shares restore it and t - 1 say nothing? Shamir 1979, over the prime 2^256 + 297.

The prime is above 2^256, so that any 32 bytes are an element. A share is the value at x of a polynomial of degree below
t whose value at 0 is the secret. Nothing here is constant-time: it runs once an attempt, in the silo that owns the
secret, and at the coordinator on what is revealed to it anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from septum.errors import SecAggError

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
_ACCEPTED = 2 ** (8 * SHARE_BYTES) // PRIME * PRIME  # below it every remainder is equally frequent: 255 draws of 256


def split(secret: bytes, threshold: int, xs: Sequence[int], random: Callable[[int], bytes]) -> dict[int, bytes]:
    """One share for each x; any `threshold` of them restore the secret. x is at least 1 and none is repeated.

    >>> shares = split(b"s" * 32, 2, (1, 2, 5), lambda size: bytes(size))
    >>> join({1: shares[1], 5: shares[5]}, 2) == b"s" * 32
    True
    """
    if len(secret) != SECRET_BYTES:
        raise SecAggError(f"a secret of {len(secret)} bytes cannot be shared, it has {SECRET_BYTES}")
    if len(set(xs)) != len(xs) or any(not 1 <= x < PRIME for x in xs):
        raise SecAggError("shares are made for different numbers from 1 on")
    if not 1 <= threshold <= len(xs):
        raise SecAggError(f"{threshold} shares are to restore a secret of which {len(xs)} are made")
    # Highest power first, for Horner's rule; the secret is the value at 0.
    polynomial = (*elements(threshold - 1, random), int.from_bytes(secret, "big"))
    return {x: _value(polynomial, x).to_bytes(SHARE_BYTES, "big") for x in xs}


def elements(count: int, random: Callable[[int], bytes]) -> list[int]:
    """Uniform elements of the field: a draw in the incomplete last multiple of the prime is thrown away."""
    found: list[int] = []
    while len(found) < count:
        drawn = random(SHARE_BYTES * (count - len(found)))
        numbers = (int.from_bytes(drawn[at : at + SHARE_BYTES], "big") for at in range(0, len(drawn), SHARE_BYTES))
        found += [number % PRIME for number in numbers if number < _ACCEPTED]
    return found


def _value(polynomial: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in polynomial:
        value = (value * x + coefficient) % PRIME
    return value


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret, from the first `threshold` shares by x. For many secrets over the same xs, keep a `Weights`."""
    if len(shares) < threshold:
        raise SecAggError(f"{len(shares)} shares, a secret needs {threshold}")
    chosen = sorted(shares)[:threshold]
    return Weights(tuple(chosen)).join({x: shares[x] for x in chosen})


@dataclass(frozen=True, slots=True)
class Weights:
    """Lagrange's coefficients for the value `at` (0: the secret) from the values at `xs`; made once, used often."""

    xs: tuple[int, ...]
    at: int = 0
    _weights: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.xs or len(set(self.xs)) != len(self.xs):
            raise SecAggError("a secret is joined from shares at different numbers")
        object.__setattr__(self, "_weights", tuple(_weight(self.xs, x, self.at) for x in self.xs))

    def value(self, values: Sequence[int]) -> int:
        """The polynomial's value from those at `xs`, in their order."""
        return sum(weight * value for weight, value in zip(self._weights, values, strict=True)) % PRIME

    def join(self, shares: Mapping[int, bytes]) -> bytes:
        """The secret from exactly the shares at `xs`. Raises SecAggError if it has not 32 bytes: a share is forged."""
        secret = self.value([int.from_bytes(shares[x], "big") for x in self.xs])
        if secret >= 2 ** (8 * SECRET_BYTES):
            raise SecAggError("these shares make no secret of 32 bytes: at least one is forged")
        return secret.to_bytes(SECRET_BYTES, "big")


def _weight(xs: Sequence[int], x: int, at: int) -> int:
    """prod_{k != x} (at - k) / (x - k) mod p."""
    above = below = 1
    for other in xs:
        if other != x:
            above = above * (at - other) % PRIME
            below = below * (x - other) % PRIME
    return above * pow(below, -1, PRIME) % PRIME
