"""Which metrics are in what a worker measured? From the counts of one silo's evaluation, in the agent: no numpy."""

from __future__ import annotations

import struct
from pathlib import Path

from septum.protocol.contents import SUMS
from septum.protocol.facts import Metrics
from septum.silo.outgoing import layout_in

SUMS_FORMAT = struct.Struct("<4d")  # rows, correct, summed log loss, ROC-AUC


def metrics_in(content: Path | bytes) -> Metrics | None:
    """The metrics on this silo's own test rows; None where the tensors say none."""
    said = small_tensor(content, SUMS)
    if said is None or len(said) != SUMS_FORMAT.size:
        return None
    rows, correct, log_loss_sum, auc = SUMS_FORMAT.unpack(said)
    if not rows >= 1:
        return None
    return Metrics(int(rows), correct / rows, log_loss_sum / rows, None if auc != auc else auc)


def small_tensor(content: Path | bytes, name: str) -> bytes | None:
    """The bytes of a tensor of a few numbers; None where it is not there, or is no such tensor."""
    spec = next((spec for spec in layout_in(content).tensors if spec.name == name), None)
    if spec is None or spec.size_bytes > SUMS_FORMAT.size:
        return None
    if isinstance(content, bytes):
        return content[spec.offset : spec.offset + spec.size_bytes]
    with content.open("rb") as file:
        file.seek(spec.offset)
        return file.read(spec.size_bytes)
