"""Which of more than t shares do not lie on one polynomial? Reed-Solomon codes, decoded with Gao's algorithm.

Shamir's shares are a Reed-Solomon code word (McEliece and Sarwate 1981): r of them with t needed show that up to r - t
are wrong, and which up to (r - t) // 2 are. Gao 2003, "A new algorithm for decoding Reed-Solomon codes", is Euclid's
algorithm, stopped half-way. Decoding takes far longer than checking, and whoever lies chooses in how many rows: so only
one random combination of all wrong rows is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from septum.secagg.shamir import PRIME, Weights, elements


def outliers(
    xs: Sequence[int], rows: Mapping[str, Sequence[int]], threshold: int, random: Callable[[int], bytes]
) -> dict[str, tuple[int, ...]]:
    """Of each row of values at `xs` that is on no polynomial of degree < threshold: the places that are wrong.

    () for all of them where there are too many places to locate, counted over all rows together.

    >>> outliers((1, 2, 3, 4), {"good": (5, 6, 7, 8), "bad": (5, 6, 9, 8)}, 2, lambda size: b"r" * size)
    {'bad': (2,)}
    """
    check = _check(xs, elements(len(xs) - threshold, random))
    wrong = {name: row for name, row in rows.items() if _combined(check, row)}
    if not wrong:
        return {}
    factors = elements(len(wrong), random)
    places = _wrong(xs, [_combined(factors, column) for column in zip(*wrong.values(), strict=True)], threshold)
    right = [at for at in range(len(xs)) if at not in places][:threshold]
    weights = {at: Weights(tuple(xs[one] for one in right), xs[at]) for at in places}
    return {
        name: tuple(at for at in places if weights[at].value([row[one] for one in right]) != row[at])
        for name, row in wrong.items()
    }


def _combined(factors: Sequence[int], values: Sequence[int]) -> int:
    return sum(factor * value for factor, value in zip(factors, values, strict=True)) % PRIME


def _check(xs: Sequence[int], polynomial: Sequence[int]) -> list[int]:
    """Factors c_i with sum c_i y_i = 0 for every row y on a polynomial of degree below r - len(polynomial).

    c_i = g(x_i) / prod_{k != i} (x_i - x_k) is a word of the dual code. For a random g of degree < r - t a row that is
    not on such a polynomial passes with a probability of 1/p, and each row takes r multiplications.
    """
    factors = []
    for x in xs:
        below = 1
        for other in xs:
            if other != x:
                below = below * (x - other) % PRIME
        factors.append(_at(polynomial, x) * pow(below, -1, PRIME) % PRIME)
    return factors


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
