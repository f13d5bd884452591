"""What do the results of some silos look like, plain and masked, and how are the masked ones summed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from tests.protocol.driving import APP

from septum.adapters.identity.masking_primitives import openssl
from septum.algorithms.evaluation import Evaluation
from septum.algorithms.roc_auc import bin_counts, roc_auc
from septum.algorithms.strategy import Strategy
from septum.protocol import masked_combine, payload, tensors
from septum.protocol.combine import Blobs, Writer
from septum.protocol.masked import masked_pieces, scale_of
from septum.protocol.messages import Blob, Stage, blob_of
from septum.protocol.plan import Masking, Plan
from septum.protocol.run_state import Combine, Combined, Contribution
from septum.protocol.sources import source_of
from septum.protocol.tensors import Array
from septum.secagg.fixed_point import Scale
from septum.secagg.masks import Mask, Masker


def scale(silos: int, clip: float = 1.0, cap: int = 1000) -> Scale:
    names = tuple(f"silo-{at}" for at in range(silos))
    plan = Plan("heart", APP, {}, names, rounds=1, masking=Masking(max_update=clip, max_weight=cap))
    return scale_of(plan)


def rows(seed: int, count: int = 30) -> tuple[Array, Array]:
    """Logits and labels of one silo; both classes are there."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    return rng.normal(size=count) + labels, labels


def evaluated(logits: Array, labels: Array) -> Evaluation:
    loss = float(np.logaddexp(0.0, np.where(labels, -logits, logits)).sum())
    correct = int(((logits > 0) == labels).sum())
    return Evaluation(len(labels), correct, loss, roc_auc(logits, labels), bin_counts(logits, labels))


def trained(update: Mapping[str, Array], evaluation: Evaluation | None = None) -> bytes:
    return tensors.encode(payload.update_tensors(update, evaluation or evaluated(*rows(1))))


def bare(stage: Stage, plain: bytes, weight: int, by: Scale) -> bytes:
    return b"".join(masked_pieces(stage, source_of(plain), weight, by, None))


def key(*names: object) -> bytes:
    return sha256(repr(names).encode()).digest()


def masks_of(silo: int, silos: int) -> list[Mask]:
    """A mask of its own, and one with each other silo: the two of a pair cancel in the sum."""
    pairs = [Mask(key(*sorted((silo, other))), 1 if other > silo else -1) for other in range(silos) if other != silo]
    return [Mask(key("self", silo), 1), *pairs]


def masked(stage: Stage, plains: Sequence[bytes], weights: Sequence[int], by: Scale) -> list[bytes]:
    maskers = [Masker(masks_of(silo, len(plains)), openssl()) for silo in range(len(plains))]
    given = zip(plains, weights, maskers, strict=True)
    return [b"".join(masked_pieces(stage, source_of(plain), weight, by, masker)) for plain, weight, masker in given]


def unmasker(silos: int) -> Masker:
    """What is left of the masks in the sum over all silos."""
    return Masker([Mask(key("self", silo), -1) for silo in range(silos)], openssl())


@dataclass
class Store:
    """What combining reads and writes, in memory."""

    files: dict[str, bytes] = field(default_factory=dict)

    def keep(self, data: bytes) -> Blob:
        blob = blob_of(data).without_bytes()
        self.files[blob.digest] = data
        return blob

    def blobs(self) -> Blobs:
        chunks: list[bytes] = []
        return Blobs(
            payload=lambda blob: source_of(self.files[blob.digest]),
            model=lambda blob: source_of(self.files[blob.digest]),
            optimizer=lambda blob: source_of(self.files[blob.digest]),
            keep_model=lambda pieces: self.keep(b"".join(pieces)),
            open_optimizer=lambda: Writer(chunks.append, lambda: self.keep(b"".join(chunks))),
        )

    def combine(
        self,
        stage: Stage,
        results: Sequence[bytes],
        rule: Strategy,
        by: Scale,
        *,
        base: Blob | None = None,
        optimizer: Blob | None = None,
        unmask: Masker | None = None,
    ) -> Combined:
        given = {f"silo-{at}": Contribution(self.keep(data), 0) for at, data in enumerate(results)}
        effect = Combine(stage, 0 if stage is Stage.PREPARE else 1, 1, base, optimizer, given)
        take_off = None if unmask is None else lambda _: unmask
        return masked_combine.perform(effect, rule, self.blobs(), by, take_off)
