"""Which of more than t shares do not lie on one polynomial? Reed-Solomon codes, decoded with Gao's algorithm.

Shamir's shares are a Reed-Solomon code word (McEliece and Sarwate 1981): r of them with t needed show that up to r - t
are wrong, and which up to (r - t) // 2 are. Gao 2003, "A new algorithm for decoding Reed-Solomon codes", is Euclid's
algorithm, stopped half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from septum.secagg.shamir import PRIME, Weights

_FACTOR_BYTES = 16  # a wrong row passes the common check with probability 2^-128


def outliers(
    xs: Sequence[int], rows: Mapping[str, Sequence[int]], threshold: int, random: Callable[[int], bytes]
) -> dict[str, tuple[int, ...]]:
    """Of each row of values at `xs` that is on no polynomial of degree < threshold: the places that are wrong.

    () where there are too many to locate. All rows are checked at once by a random combination of them, which costs one
    pass; only when that fails is each looked at.

    >>> outliers((1, 2, 3, 4), {"good": (5, 6, 7, 8), "bad": (5, 6, 9, 8)}, 2, lambda size: b"r" * size)
    {'bad': (2,)}
    """
    spare = [Weights(tuple(xs[:threshold]), x) for x in xs[threshold:]]

    def fits(row: Sequence[int]) -> bool:
        return all(w.value(row[:threshold]) == value for w, value in zip(spare, row[threshold:], strict=True))

    drawn = random(_FACTOR_BYTES * len(rows))
    factors = [int.from_bytes(drawn[at : at + _FACTOR_BYTES], "big") for at in range(0, len(drawn), _FACTOR_BYTES)]
    columns = zip(*rows.values(), strict=True)
    if fits([sum(f * value for f, value in zip(factors, column, strict=True)) % PRIME for column in columns]):
        return {}
    return {name: _wrong(xs, row, threshold) for name, row in rows.items() if not fits(row)}


def _wrong(xs: Sequence[int], row: Sequence[int], threshold: int) -> tuple[int, ...]:
    """Gao's algorithm: the places where the row differs from the one polynomial that is near enough; () without one."""
    before, now = _product(xs), _interpolated(xs, row)
    factor_before: list[int] = []
    factor: list[int] = [1]
    while 2 * (len(now) - 1) >= len(xs) + threshold:
        quotient, remainder = _divided(before, now)
        before, now = now, remainder
        factor_before, factor = factor, _minus(factor_before, _times(quotient, factor))
    polynomial, remainder = _divided(now, factor)
    if remainder or len(polynomial) > threshold:
        return ()
    return tuple(at for at, (x, value) in enumerate(zip(xs, row, strict=True)) if _at(polynomial, x) != value)


# --- polynomials: coefficients from the lowest power on, the last is not 0; the zero polynomial is [] -----------------


def _at(polynomial: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % PRIME
    return value


def _product(xs: Sequence[int]) -> list[int]:
    """Prod (z - x)."""
    made = [1]
    for x in xs:
        made = _times(made, [-x % PRIME, 1])
    return made


def _interpolated(xs: Sequence[int], row: Sequence[int]) -> list[int]:
    """The polynomial of degree < len(xs) through all points, by Newton's divided differences."""
    differences = [value % PRIME for value in row]
    for depth in range(1, len(xs)):
        for at in range(len(xs) - 1, depth - 1, -1):
            step = pow(xs[at] - xs[at - depth], -1, PRIME)
            differences[at] = (differences[at] - differences[at - 1]) * step % PRIME
    made: list[int] = []
    for x, difference in zip(reversed(xs), reversed(differences), strict=True):
        made = _minus(_times(made, [-x % PRIME, 1]), [-difference % PRIME])
    return made


def _times(left: Sequence[int], right: Sequence[int]) -> list[int]:
    if not left or not right:
        return []
    made = [0] * (len(left) + len(right) - 1)
    for at, one in enumerate(left):
        for other_at, other in enumerate(right):
            made[at + other_at] = (made[at + other_at] + one * other) % PRIME
    return _trimmed(made)


def _minus(left: Sequence[int], right: Sequence[int]) -> list[int]:
    size = max(len(left), len(right))
    padded = ([*one, *[0] * (size - len(one))] for one in (left, right))
    return _trimmed([(a - b) % PRIME for a, b in zip(*padded, strict=True)])


def _divided(above: Sequence[int], below: Sequence[int]) -> tuple[list[int], list[int]]:
    """Quotient and remainder."""
    rest, inverse = list(above), pow(below[-1], -1, PRIME)
    quotient = [0] * max(0, len(above) - len(below) + 1)
    for at in reversed(range(len(quotient))):
        quotient[at] = rest[at + len(below) - 1] * inverse % PRIME
        for under, coefficient in enumerate(below):
            rest[at + under] = (rest[at + under] - quotient[at] * coefficient) % PRIME
    return _trimmed(quotient), _trimmed(rest)


def _trimmed(polynomial: list[int]) -> list[int]:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial
