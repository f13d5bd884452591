"""How is a list that only grows proven to somebody who keeps one hash of it? The Merkle tree of RFC 6962, section 2.1.

Leaves and nodes are hashed with different prefixes, so that neither can be passed off as the other. A tree of n leaves
is kept as its peaks: the roots of its complete subtrees, one for each bit of n, the largest first. Both proofs ask for
complete subtrees alone, and these never change once they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeAlias

HASH_BYTES = 32
MAX_PROOF = 64  # hashes of a proof: a tree with more leaves than 2^63 is none of ours
EMPTY_ROOT = sha256(b"").digest()

NodeAt: TypeAlias = Callable[[int, int], bytes]
"""(level, index) -> the root of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level)."""


def leaf_hash(data: bytes) -> bytes:
    """MTH({d}) of section 2.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with these two below it."""
    return sha256(b"\x01" + left + right).digest()


def grown(peaks: Sequence[bytes], size: int, leaf: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The peaks with one more leaf, and the nodes that it has made complete, from level 1 up.

    >>> a, b = leaf_hash(b"a"), leaf_hash(b"b")
    >>> grown((a,), 1, b) == ((node_hash(a, b),), (node_hash(a, b),))
    True
    """
    left, node, made = list(peaks), leaf, []
    while size & 1:
        node = node_hash(left.pop(), node)
        made.append(node)
        size >>= 1
    return (*left, node), tuple(made)


def root_of(peaks: Sequence[bytes]) -> bytes:
    """The root of the tree with these peaks."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def peaks_of(size: int, node: NodeAt) -> tuple[bytes, ...]:
    """The peaks of the tree with `size` leaves."""
    found, begin = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append(node(level, begin >> level))
            begin += 1 << level
    return tuple(found)


def inclusion_proof(index: int, size: int, node: NodeAt) -> tuple[bytes, ...]:
    """PATH(index, D[size]) of section 2.1.1: that leaf `index` (from 0) is in the tree. ValueError outside of it."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    found, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            found.append(_root_over(middle, end, node))
            end = middle
        else:
            found.append(_root_over(begin, middle, node))
            begin = middle
    return tuple(reversed(found))


def consistency_proof(first: int, second: int, node: NodeAt) -> tuple[bytes, ...]:
    """PROOF(first, D[second]) of section 2.1.2: that the second tree begins with the first one. ValueError if not."""
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} leaves does not begin with one of {first}")
    found: list[bytes] = []
    begin, end, whole = 0, second, True
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            found.append(_root_over(middle, end, node))
            end = middle
        else:
            found.append(_root_over(begin, middle, node))
            begin, whole = middle, False
    if not whole:
        found.append(_root_over(begin, end, node))
    return tuple(reversed(found))


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that leaf `index` is in the tree: RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        return False
    number, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node_hash(one, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, one)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(first: int, second: int, roots: tuple[bytes, bytes], proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree of `second` leaves begins with that of `first`: RFC 9162, section 2.1.4.2.

    roots  of the first tree and of the second
    """
    if not 0 < first <= second or len(proof) > MAX_PROOF:
        return False
    if first == second:
        return not proof and roots[0] == roots[1]
    path = list(proof) if first & (first - 1) else [roots[0], *proof]
    if not path:
        return False
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    older = newer = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            older, newer = node_hash(one, older), node_hash(one, newer)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            newer = node_hash(newer, one)
        number, last = number >> 1, last >> 1
    return last == 0 and (older, newer) == roots


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`, which is above 1."""
    return 1 << (size - 1).bit_length() - 1


def _root_over(begin: int, end: int, node: NodeAt) -> bytes:
    """MTH(D[begin:end]) for ranges that a split gives: `begin` is a multiple of the next power of two."""
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(size)
    return node_hash(_root_over(begin, middle, node), _root_over(middle, end, node))
