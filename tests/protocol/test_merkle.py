"""Is the tree that of RFC 6962? Known answers, worked by hand from sections 2.1 to 2.1.3, and laws."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.protocol.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    grown,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    peaks_of,
    root_of,
)

# The leaves and roots that Certificate Transparency's own implementations are tested with.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def of(leaves: list[bytes]) -> bytes:
    """MTH(D[n]), as the RFC defines it."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    if not leaves:
        return sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(of(leaves[:split]), of(leaves[split:]))


def node_of(leaves: list[bytes]):
    """Complete subtrees, made anew."""

    def node(level: int, index: int) -> bytes:
        part = leaves[index << level : (index + 1) << level]
        assert len(part) == 1 << level
        return of(part)

    return node


def peaks(leaves: list[bytes]) -> tuple[bytes, ...]:
    found: tuple[bytes, ...] = ()
    for size, leaf in enumerate(leaves):
        found, _ = grown(found, size, leaf_hash(leaf))
    return found


def data(count: int) -> list[bytes]:
    return [bytes([number]) for number in range(count)]


def test_an_empty_tree_has_the_hash_of_nothing():
    assert root_of(()) == EMPTY_ROOT == sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(size):
    assert root_of(peaks(LEAVES[:size])).hex() == ROOTS[size - 1]
    assert root_of(peaks_of(size, node_of(LEAVES))).hex() == ROOTS[size - 1]


def test_the_proofs_are_those_of_the_rfcs_example():
    """Section 2.1.3: seven leaves d0 to d6, nodes a to l."""
    leaves = data(7)
    a, b, c, d, e, f, j = map(leaf_hash, leaves)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the RFC's names
    node = node_of(leaves)
    assert inclusion_proof(0, 7, node) == (b, h, l)
    assert inclusion_proof(3, 7, node) == (c, g, l)
    assert inclusion_proof(4, 7, node) == (f, j, k)
    assert inclusion_proof(6, 7, node) == (i, k)
    assert consistency_proof(3, 7, node) == (c, d, g, l)
    assert consistency_proof(4, 7, node) == (l,)
    assert consistency_proof(6, 7, node) == (i, j, k)
    assert consistency_proof(7, 7, node) == ()


sizes = st.integers(1, 70)


@given(sizes)
def test_growing_leaf_by_leaf_gives_the_tree_that_the_rfc_defines(size):
    assert root_of(peaks(data(size))) == of(data(size))


@given(sizes, st.data())
def test_every_leaf_is_proven_and_no_other_in_its_place(size, draw):
    leaves, index = data(size), draw.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, node_of(leaves)), of(leaves)
    assert is_included(leaf_hash(leaves[index]), index, size, proof, root)
    assert not is_included(leaf_hash(b"other"), index, size, proof, root)
    assert not is_included(leaf_hash(leaves[index]), index, size, (*proof, root), root)
    other = draw.draw(st.integers(0, size - 1))
    assert is_included(leaf_hash(leaves[index]), other, size, proof, root) == (other == index)


@given(sizes, sizes, st.data())
def test_a_tree_that_only_grew_is_proven_and_one_that_was_rewritten_is_not(one, other, draw):
    first, second = sorted((one, other))
    leaves = data(second)
    proof, roots = consistency_proof(first, second, node_of(leaves)), (of(leaves[:first]), of(leaves))
    assert is_consistent(first, second, roots, proof)
    changed = draw.draw(st.integers(0, first - 1))
    forged = [*leaves[:changed], b"forged", *leaves[changed + 1 :]]
    forged_proof = consistency_proof(first, second, node_of(forged))
    assert not is_consistent(first, second, (roots[0], of(forged)), forged_proof)
    assert not is_consistent(first, second, (roots[0], of(forged)), proof)
    assert not is_consistent(first, second, roots, (*proof, roots[0]))


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3)])
def test_nothing_is_proven_of_trees_that_are_not_there(first, second):
    with pytest.raises(ValueError, match="leaves"):
        consistency_proof(first, second, node_of(data(3)))
    with pytest.raises(ValueError, match="leaves"):
        inclusion_proof(second, second, node_of(data(3)))
    assert not is_consistent(first, second, (EMPTY_ROOT, EMPTY_ROOT), ())


def test_a_node_completes_where_the_rfc_has_it():
    found: tuple[bytes, ...] = ()
    made = []
    for size, leaf in enumerate(data(8)):
        found, nodes = grown(found, size, leaf_hash(leaf))
        made.append(len(nodes))
    assert made == [0, 1, 0, 2, 0, 1, 0, 3]
    assert found == (of(data(8)),)
