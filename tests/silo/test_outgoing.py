"""Nothing leaves but what this kind of work sends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from septum.errors import TensorError
from septum.protocol import tensors
from septum.protocol.layout import write_header
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import digest_of
from septum.protocol.silo import Job
from septum.silo.outgoing import Bounds, take_over
from septum.silo.outgoing import take as take_small

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
    base = None if job.stage is Stage.PREPARE else model
    given = Blob(digest_of(source.read_bytes()), source.stat().st_size)
    assert take_over(source, given, folder / "target", job, base, Bounds(PRIVATE)) == given


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
        take_over(tmp_path / "source", BASE, tmp_path / "target", TRAIN, model, Bounds(PRIVATE))


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


# --- the plan's bound on an update ---------------------------------------------------------------------------------

LONG = {"update.w": np.float32([[3], [4]]), **EVALUATION}  # of norm 5


def test_an_update_that_is_too_long_is_shortened_in_its_file_and_named_by_what_it_then_is(
    tmp_path: Path, model: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(tensors.encode(LONG))
    node = source.stat().st_ino
    given = Blob(digest_of(source.read_bytes()), source.stat().st_size)
    taken = take_over(source, given, target, TRAIN, model, Bounds(PRIVATE, clip_norm=1.0))
    data = target.read_bytes()
    assert taken == Blob(digest_of(data), len(data))
    assert tensors.decode(data)["update.w"] == pytest.approx(np.float32([[0.6], [0.8]]), rel=1e-6)
    assert target.stat().st_ino == node  # no second file of a large model
    assert data == take_small(tensors.encode(LONG), TRAIN, model, Bounds(PRIVATE, clip_norm=1.0)).inline


@pytest.mark.parametrize("norm", [5.0, 100.0, None])
def test_an_update_that_is_short_enough_keeps_its_digest(tmp_path: Path, model: Path, norm: float | None) -> None:
    source, data = tmp_path / "source", tensors.encode(LONG)
    source.write_bytes(data)
    given = Blob("blake3:" + "0" * 64, len(data))  # as it was digested on its way; it is not read for it again
    assert take_over(source, given, tmp_path / "target", TRAIN, model, Bounds((), norm)) is given
    assert take_small(data, TRAIN, model, Bounds((), norm)).inline == data


def test_an_update_that_cannot_be_measured_is_gone(tmp_path: Path, model: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(tensors.encode({"update.w": np.float32([[np.nan], [1]]), **EVALUATION}))
    with pytest.raises(TensorError, match="NaN or an infinity"):
        take_over(source, BASE, tmp_path / "target", TRAIN, model, Bounds((), 1.0))
    assert not (tmp_path / "target").exists()
    assert not source.exists()


def test_what_is_no_update_is_not_clipped(tmp_path: Path, model: Path) -> None:
    data = tensors.encode({"initial.w": 100 * W})
    assert take_small(data, PREPARE_INITIAL, None, Bounds((), 1.0)).inline == data


@pytest.mark.processes
@pytest.mark.parametrize("norm", [None, 1.0])
def test_an_agent_whose_plans_have_no_bound_loads_no_numpy(norm: float | None) -> None:
    update, base = tensors.encode(UPDATE), tensors.encode({"w": W})
    program = f"""
import sys, septum.silo.session
from septum.protocol.messages import Blob, Stage
from septum.protocol.silo import Job
from septum.silo.outgoing import Bounds, take
take({update!r}, Job(Stage.TRAIN, 1, 1, Blob("blake3:" + "0" * 64, 0)), {base!r}, Bounds((), {norm}))
print("numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(norm is not None)
