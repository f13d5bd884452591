"""Nothing leaves but what this kind of work sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from septum.errors import TensorError
from septum.protocol import tensors
from septum.protocol.layout import write_header
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import digest_of
from septum.protocol.silo import Job
from septum.silo.outgoing import Allowed, take_over

PRIVATE = ("head.*",)
W = np.ones((2, 1), np.float32)
EVALUATION = {"evaluation.bins": np.zeros((1, 3), np.int64), "evaluation.sums": np.zeros(4)}
UPDATE = {"update.w": W, **EVALUATION}
BASE = Blob(digest_of(b""), 0)
TRAIN, EVALUATE = Job(Stage.TRAIN, 1, 1, BASE), Job(Stage.EVALUATE, 1, 1, BASE)
PREPARE, PREPARE_INITIAL = Job(Stage.PREPARE, 0, 1), Job(Stage.PREPARE, 0, 1, initial=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(tensors.encode({"w": W, "statistics.m.sum": np.zeros(3)}))
    return path


def take(folder: Path, job: Job, model: Path | None, content: dict[str, np.ndarray] | bytes) -> None:
    source = folder / "source"
    source.write_bytes(content if isinstance(content, bytes) else tensors.encode(content))
    take_over(source, folder / "target", job, None if job.stage is Stage.PREPARE else model, Allowed(PRIVATE))


@pytest.mark.parametrize(
    ("job", "content"),
    [
        (TRAIN, UPDATE),
        (EVALUATE, EVALUATION),
        (PREPARE, {}),
        (PREPARE, {"statistics.m.sum": np.zeros(3)}),
        (PREPARE_INITIAL, {"statistics.m.sum": np.zeros(3), "initial.w": W}),
    ],
)
def test_what_belongs_to_the_work_is_taken_over(
    tmp_path: Path, model: Path, job: Job, content: dict[str, np.ndarray]
) -> None:
    take(tmp_path, job, model, content)
    assert (tmp_path / "target").read_bytes() == tensors.encode(content)
    assert not (tmp_path / "source").exists()


@pytest.mark.parametrize(
    ("job", "content", "says"),
    [
        (TRAIN, {**UPDATE, "records": np.zeros(99)}, "'records' was not asked for"),
        (TRAIN, {**UPDATE, "update.head.w": W}, "'update.head.w' was not asked for"),
        (PREPARE_INITIAL, {"initial.w": W, "initial.head.w": W}, "'initial.head.w' is private by the app's manifest"),
        (PREPARE, {"initial.head.w": W}, "'initial.head.w' is private by the app's manifest"),
        (TRAIN, {**UPDATE, "update.v": W}, "'update.v' was not asked for; did you mean 'update.w'"),
        (TRAIN, EVALUATION, "'update.w' is missing"),
        (TRAIN, {**UPDATE, "update.w": np.ones((3, 1), np.float32)}, r"has shape \[3, 1\], expected"),
        (TRAIN, {**UPDATE, "update.w": np.ones((2, 1))}, "is F64"),
        (TRAIN, {**UPDATE, "evaluation.sums": np.zeros(5)}, r"has shape \[5\], expected"),
        (TRAIN, {**UPDATE, "evaluation.bins": np.zeros((1 << 20) + 1, np.int64).repeat(3).reshape(-1, 3)}, "rows"),
        (EVALUATE, UPDATE, "'update.w' was not asked for"),
        (EVALUATE, {**EVALUATION, "evaluation.noisy": np.zeros(35)}, "'evaluation.noisy' was not asked for"),
        (PREPARE, {"initial.w": W}, "'initial.w' was not asked for"),
        (PREPARE, {"statistics.m.sum": W}, "is F32, expected F64"),
        (PREPARE, {"statistics.m.sum": np.zeros(2**21 + 1)}, "at most 16777216"),
        (TRAIN, b"patients: ...", "tensor header"),
        (TRAIN, b"", "too short"),
        (TRAIN, tensors.encode(UPDATE) + b"more", "ends at byte|end at byte"),
    ],
)
def test_anything_else_stays(
    tmp_path: Path, model: Path, job: Job, content: dict[str, np.ndarray] | bytes, says: str
) -> None:
    with pytest.raises(TensorError, match=says):
        take(tmp_path, job, model, content)
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "source").exists()


def test_tensors_in_another_order_stay(tmp_path: Path, model: Path) -> None:
    order = ["update.w", "evaluation.bins", "evaluation.sums"]  # the smallest items first
    header = write_header([(name, tensors.dtype_of(name, UPDATE[name]), UPDATE[name].shape) for name in order])
    with pytest.raises(TensorError, match="not in canonical order"):
        take(tmp_path, TRAIN, model, header + b"".join(UPDATE[name].tobytes() for name in order))


def test_a_missing_output_is_named(tmp_path: Path, model: Path) -> None:
    with pytest.raises(TensorError, match="train-1 cannot be taken over"):
        take_over(tmp_path / "source", tmp_path / "target", TRAIN, model, Allowed(PRIVATE))


def test_nothing_is_made_of_a_model_that_has_a_private_tensor(tmp_path: Path) -> None:
    model = tmp_path / "with-head"
    model.write_bytes(tensors.encode({"w": W, "head.w": W}))
    with pytest.raises(TensorError, match=r"the model that came has a tensor 'head\.w', which is private"):
        take(tmp_path, TRAIN, model, {"update.head.w": W, **UPDATE})
    with pytest.raises(TensorError, match=r"the model that came has a tensor 'head\.w', which is private"):
        take(tmp_path, EVALUATE, model, EVALUATION)
    assert not (tmp_path / "target").exists()


def test_statistics_may_be_called_as_private_parameters_are(tmp_path: Path) -> None:
    """Patterns are about parameters: statistics are the app's own sums, and have names of their own."""
    content = {"statistics.head.sum": np.zeros(3)}
    take(tmp_path, PREPARE, None, content)
    assert (tmp_path / "target").read_bytes() == tensors.encode(content)
