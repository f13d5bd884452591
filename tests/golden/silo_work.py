"""What do the silos of golden runs report? Small payloads made by hand, so that no app and no SDK can change them."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.algorithms.evaluation import Evaluation
from septum.protocol import payload, tensors
from septum.protocol.messages import Evaluate, Instruction, Prepare, Report, Stage, Train, blob_of

ROWS = {"north": 10, "south": 25, "west": 7}
_EVALUATION = Evaluation(4, 3, 2.5, 0.75, np.array([[-2, 1, 1], [5, 1, 1]], np.int64))


def key_of(silo: str) -> Ed25519PrivateKey:
    """The silo's key: anybody can make it, so it protects nothing."""
    return Ed25519PrivateKey.from_private_bytes(sha256(f"golden {silo}".encode()).digest())


def report_on(told: Instruction, silo: str) -> Report | None:
    """The report that an instruction asks for, its payload inside; None when it asks for none."""
    match told:
        case Prepare(attempt, initial):
            parameters = {"w": np.linspace(-1, 1, 5, dtype=np.float32)} if initial else None
            summands = {"scale.count": np.array([float(ROWS[silo])]), "scale.sum": np.arange(3.0) * ROWS[silo]}
            data = tensors.encode(payload.prepared_tensors(summands, parameters))
            return Report(Stage.PREPARE, 0, attempt, "", blob_of(data), ROWS[silo])
        case Train(round_, attempt, model):
            step = np.arange(5, dtype=np.float32) * np.float32(0.1) * round_ + np.float32(ROWS[silo]) / 100
            data = tensors.encode(payload.update_tensors({"w": step}, _EVALUATION))
            return Report(Stage.TRAIN, round_, attempt, model.digest, blob_of(data), ROWS[silo])
        case Evaluate(round_, attempt, model):
            data = tensors.encode(payload.evaluation_tensors(_EVALUATION))
            return Report(Stage.EVALUATE, round_, attempt, model.digest, blob_of(data), 0)
        case _:
            return None
