"""What is the inner product of each two silos' updates? Accumulated in one pass, the same bits at any block width.

G_ij = <x_i, x_j>. Distances, norms and angles between whole updates follow from it, so a rule that needs those needs
no update: septum's Krum, geometric median and norm clipping see this matrix alone.

Canonical arithmetic: the coordinates are cut at fixed places into pieces, whose width depends on the number of silos
and on nothing else. In a piece each pair is summed on its own by einsum's plain loop in float64, and pieces are added
in order. The product of two float32 is exact in float64, so only the order of the additions matters, and that depends
neither on the block width, nor on threads, nor on a silo's place among the others: a permutation of the silos permutes
the matrix, bit for bit. A BLAS product is several times as fast and promises none of this.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from septum.algorithms.rule import Block, Gram
from septum.errors import TensorError

_PIECE_FLOATS = 2**18  # float64, of all silos: 2 MiB whatever their number
_WIDEST, _NARROWEST = 8192, 256


def piece_width(silos: int) -> int:
    """How many coordinates are summed at one time.

    >>> piece_width(4), piece_width(200), piece_width(5000)
    (8192, 1310, 256)
    """
    return max(_NARROWEST, min(_WIDEST, _PIECE_FLOATS // max(1, silos)))


def gram_matrix(blocks: Iterable[Block], silos: int) -> Gram:
    """The matrix of updates that come block by block.

    The largest float32 squared is 1.2e77: no sum of finite updates overflows float64.

    Args:
        blocks: (silos, width) float32 each, of any widths; a block may be a buffer that the next one overwrites.
        silos: how many rows each block has.

    Raises:
        TensorError: a block that is not float32 with that many rows.

    >>> blocks = [np.float32([[1, 2], [0, 4]]), np.float32([[2], [-1]])]
    >>> gram_matrix(blocks, silos=2).tolist()
    [[9.0, 6.0], [6.0, 17.0]]
    """
    width = piece_width(silos)
    piece = np.empty((silos, width), np.float64)
    lower = np.zeros((silos, silos), np.float64)
    filled = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[0] != silos or block.dtype != np.float32:
            raise TensorError(f"a block is ({silos}, width) float32, got {block.dtype} of shape {block.shape}")
        start = 0
        while start < block.shape[1]:
            taken = min(width - filled, block.shape[1] - start)
            piece[:, filled : filled + taken] = block[:, start : start + taken]
            start, filled = start + taken, filled + taken
            if filled == width:
                _add_products(lower, piece)
                filled = 0
    if filled:
        _add_products(lower, piece[:, :filled])
    return lower + np.tril(lower, -1).T


def _add_products(lower: Gram, piece: Gram) -> None:
    """Adds a piece's inner products to the lower triangle. piece (silos, width) float64."""
    for silo in range(len(piece)):
        lower[silo, : silo + 1] += np.einsum("kw,w->k", piece[: silo + 1], piece[silo])


def squared_distances(gram: Gram) -> Gram:
    """|x_i - x_j|^2 of each two silos, (silos, silos); never below 0.

    It is a difference of three products, whose rounding is about 1e-16 of the squared norms: updates that differ by
    less than 1e-8 of their length may seem equal.

    >>> squared_distances(np.array([[9.0, 6.0], [6.0, 17.0]])).tolist()
    [[0.0, 14.0], [14.0, 0.0]]
    """
    squares = np.diagonal(gram)
    distances: Gram = squares[:, None] + squares[None, :]
    distances -= 2 * gram
    return np.maximum(distances, 0.0, out=distances)
