"""Which releases does a silo allow, given those that it took part in? The rule against differencing; pure.

The updates x_i for one base are the same in every attempt (training is deterministic, updates are offered again). Who
has the sums over the sets U_1, ..., U_k knows each combination sum_j a_j * sum(U_j) = sum_i c_i x_i, for all c in the
span of the sets' indicator vectors over the rationals, and linearly nothing else. {1, 2, 3, 4} and {1, 2, 3} make x_4.
So do {1, 2, 3, 4}, {1, 5, 6, 7} and {1, ..., 7} make x_1, though no two of them differ in fewer than three silos.

The rule: a release is refused if the span, with it, has a c != 0 that is zero outside fewer than `min_cohort` silos.
Whether `me` is one of them makes no difference. A silo that masked its vector and then was not asked to unmask has no
journal entry, though its vector is in the sum; only the others can refuse the next sum, which leaves it out.

Why the search below decides this. c is constant on silos that are in exactly the same sets (a class), so what counts
is which classes it is zero on. `_Search.narrow` goes through the classes and for each either demands c = 0 there (one
dimension of the span less) or lets its silos count. The true zeros of any c are one of its paths, and what it finds at
the end of a path is such a c. A path has at most k demands and lets fewer than `min_cohort` silos count, so there are
at most binomial(k + min_cohort, k) paths; the work is bounded, and above the bound the release is refused.

It calculates modulo P, and that is exact: whether there is such a c is a comparison of the ranks of two 0/1 matrices
with at most MAX_SETS = k rows, and each of their minors is at most (k + 1)^((k + 1) / 2) / 2^k < P in absolute value
(Hadamard), so it vanishes modulo P only if it is zero.

What the rule does not see: knowledge that is more than linear (small whole numbers may be told apart in a sum),
updates that are similar from base to base, sums that this silo did not sign, and colluding silos, which can take their
own vectors out of any sum. Decision 0011 says which of these others prevent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from septum.errors import SecAggError

MAX_SETS = 32  # different sets of one base; for more the arithmetic below would not be exact
P = 2**61 - 1  # a Mersenne prime; (33)^(33/2) / 2^32 < 2^52
MAX_STEPS = 5_000_000  # multiplications, about two seconds


def conflict(
    released: Collection[frozenset[str]], asked: frozenset[str], me: str, min_cohort: int
) -> frozenset[str] | None:
    """The silos, fewer than `min_cohort`, about which `asked` would tell something together with `released`; or None.

    `released` are the sets of survivors that this silo, `me`, signed on the same base: with its signature others may
    reveal, so a set counts from then on. The same set again tells nothing new and is allowed.

    Raises:
        SecAggError: `me` is in one of the sets not; or there are too many sets to decide exactly: refuse then, too.

    >>> conflict([frozenset("abcd")], frozenset("abc"), "a", min_cohort=3)
    frozenset({'d'})
    >>> conflict([frozenset("abcd")], frozenset("abcd"), "a", min_cohort=3)
    """
    sets = {asked, *released}
    if any(me not in one for one in sets):
        raise SecAggError(f"{me!r} releases sums only that it is part of")
    if asked in set(released):
        return None
    if len(sets) > MAX_SETS:
        raise SecAggError(
            f"{len(sets)} different sets of survivors on one base; {MAX_SETS} can be decided",
            hint="repeat a sum with the survivors of an earlier one",
        )
    ordered = sorted(sets, key=sorted)
    silos = sorted(frozenset().union(*ordered))
    patterns = {silo: tuple(int(silo in one) for one in ordered) for silo in silos}
    sizes = Counter(patterns.values())
    classes = sorted(sizes, key=lambda pattern: (-sizes[pattern], pattern))  # large ones first: they leave no choice
    search = _Search([sizes[pattern] for pattern in classes], MAX_STEPS)
    found = search.narrow([list(row) for row in zip(*classes, strict=True)], 0, min_cohort - 1)
    if found is None:
        return None
    named = {pattern for pattern, value in zip(classes, found, strict=True) if value}
    return frozenset(silo for silo in silos if patterns[silo] in named)


@dataclass(slots=True)
class _Search:
    """The search for a vector of few silos; `left` is the work that may still be spent."""

    sizes: Sequence[int]
    left: int

    def narrow(self, rows: list[list[int]], at: int, room: int) -> list[int] | None:
        """A vector != 0 in the span of `rows` that, from class `at` on, is zero but for classes of `room` silos."""
        rows = [row for row in rows if any(row)]
        while at < len(self.sizes) and not any(row[at] for row in rows):
            at += 1
        if not rows:
            return None
        if at == len(self.sizes):
            return rows[0]
        found = self.narrow(self._zero_at(rows, at), at + 1, room)
        if found is None and self.sizes[at] <= room:
            found = self.narrow(rows, at + 1, room - self.sizes[at])
        return found

    def _zero_at(self, rows: list[list[int]], at: int) -> list[list[int]]:
        """Rows that span what in the span of `rows` is zero at this class."""
        self.left -= len(rows) * len(self.sizes)
        if self.left < 0:
            raise SecAggError(
                "too many different sets of survivors on one base to decide whether another one is safe",
                hint="repeat a sum with the survivors of an earlier one",
            )
        pivot = next(row for row in rows if row[at])
        inverse = pow(pivot[at], -1, P)
        made = []
        for row in rows:
            if row is not pivot:
                factor = row[at] * inverse % P
                made.append([(a - factor * b) % P for a, b in zip(row, pivot, strict=True)] if factor else row)
        return made
