"""One contract for both launchers: a task gives tensors, a failure gives a WorkerError with the app's traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.silo.small_app import carry_of, payload_of, spec_for, train_task, write_model

from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import StorageError, WorkerError
from septum.ports.launcher import Launcher, Level, Task, Worker, WorkerLimits, WorkerSpec
from septum.protocol import payload, tensors
from septum.protocol.messages import Blob, Stage
from septum.protocol.plan import StrategyRef, digest_of

pytestmark = pytest.mark.processes

Start = Callable[[WorkerSpec], Worker]


def leaving_of(worker: Worker, task: Task) -> dict[str, np.ndarray]:
    """What a task makes, of few bytes."""
    data = worker.perform(task, task.carry.with_name("payload")).payload
    assert isinstance(data, bytes)
    return tensors.decode(data)


LAUNCHERS = {
    "inline": InlineLauncher,
    "process": partial(SubprocessLauncher, Level.PROCESS),
    "sandbox": partial(SubprocessLauncher, Level.SANDBOX),
}


@pytest.fixture(params=LAUNCHERS)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    if request.param == "sandbox":
        request.getfixturevalue("sandbox")
    launcher: Launcher = LAUNCHERS[request.param]()
    workers: list[Worker] = []

    def start_one(spec: WorkerSpec) -> Worker:
        workers.append(launcher.start(spec, WorkerLimits()))
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.close()


def test_training_gives_the_update_its_weight_and_its_durations(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    result = start(spec).perform(train_task(spec), payload_of(spec))
    assert isinstance(result.payload, bytes)
    leaving = tensors.decode(result.payload)
    assert sorted(leaving) == ["evaluation.bins", "evaluation.sums", "update.w"]
    assert leaving["update.w"].tolist() == [[3.0]]  # lr 0.5 * 6 rows
    assert leaving["evaluation.sums"].tolist()[:2] == [4, 2]  # logit 0 says "no" to four rows, two of them rightly
    assert result.weight == 6
    assert not result.has_state
    assert {"load", "evaluate", "train", "encode"} <= result.durations_s.keys()


def test_preparing_gives_the_summands_and_the_initial_model_if_asked(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, extra="from septum import stats\nscale = app.statistics(stats.mean_and_std())")
    worker = start(spec)
    task = Task(Stage.PREPARE, 0, None, initial=True, state=None, carry=carry_of(spec, 0))
    assert worker.perform(task, payload_of(spec)).weight == 6
    assert sorted(leaving_of(worker, task)) == [
        "initial.w",
        "statistics.mean_and_std.count",
        "statistics.mean_and_std.sum",
        "statistics.mean_and_std.sum_of_squares",
    ]
    assert "initial.w" not in leaving_of(worker, replace(task, initial=False))


def test_the_statistics_in_the_model_file_reach_the_app(start: Start, tmp_path: Path) -> None:
    extra = "from septum import stats\nscale = app.statistics(stats.mean_and_std())"
    spec = spec_for(tmp_path, "return {'w': p['w'] + np.float32(scale(data).x[0, 0])}", extra)
    sums = {"count": [4.0], "sum": [8.0], "sum_of_squares": [20.0]}  # mean 2, variance 20/4 - 4 = 1
    statistics = {f"mean_and_std.{name}": np.array(value) for name, value in sums.items()}
    model = tmp_path / "model"
    model.write_bytes(tensors.encode(payload.model_tensors({"w": np.zeros((1, 1), np.float32)}, statistics)))
    worker = start(spec)
    update = leaving_of(worker, replace(train_task(spec), model=model))["update.w"]
    assert update.tolist() == [[-2.0]]  # x[0] is 0


def test_evaluating_measures_and_trains_nothing(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "raise RuntimeError('not to be called')")
    task = Task(Stage.EVALUATE, 2, write_model(tmp_path / "model", 1.0), False, None, carry_of(spec, 2))
    worker = start(spec)
    assert worker.perform(task, payload_of(spec)).weight == 0
    assert sorted(leaving_of(worker, task)) == ["evaluation.bins", "evaluation.sums"]


def test_the_apps_state_is_carried_in_a_file(start: Start, tmp_path: Path) -> None:
    count = "ctx.state['n'] = ctx.state.get('n', np.zeros(1)) + 1\nreturn {'w': p['w'] + np.float32(ctx.state['n'][0])}"
    spec = spec_for(tmp_path, count)
    worker = start(spec)
    assert worker.perform(train_task(spec, 1), payload_of(spec)).has_state
    first = carry_of(spec, 1)
    for _ in range(2):  # again, from the same state: the same update
        assert leaving_of(worker, train_task(spec, 2, state=first))["update.w"].tolist() == [[2.0]]


def test_the_strategys_proximal_term_reaches_the_app(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "return {'w': p['w'] + np.float32(ctx.proximal_mu)}")
    worker = start(replace(spec, strategy=StrategyRef("fedprox", {"mu": 0.25})))
    assert leaving_of(worker, train_task(spec))["update.w"].tolist() == [[0.25]]


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("return 7", "int"),
        ("return {'w': p['w'] * np.float32('nan')}", "NaN"),
        ("return {'w': np.zeros(3, np.float32)}", r"shape \(3,\)"),
        ("return {'w': p['w'].astype(np.float64)}", "float64"),
        ("return {}", "no tensor"),
        ("return {**p, 'v': p['w']}", "'v'"),
        ("ctx.state['s'] = np.zeros(1, np.float16)\nreturn p", "float16"),
    ],
)
def test_a_wrong_train_is_told_and_the_worker_lives_on(start: Start, tmp_path: Path, train: str, says: str) -> None:
    spec = spec_for(tmp_path, train)
    worker = start(spec)
    with pytest.raises(WorkerError, match=says):
        worker.perform(train_task(spec), payload_of(spec))
    assert worker.alive
    with pytest.raises(WorkerError, match=says):
        worker.perform(train_task(spec), payload_of(spec))


def test_the_traceback_shows_the_line_of_the_app(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "raise ValueError('boom')")
    with pytest.raises(WorkerError) as caught:
        start(spec).perform(train_task(spec), payload_of(spec))
    told = caught.value.details
    assert told.startswith("Traceback")
    assert "raise ValueError('boom')" in told
    assert told.count("File ") == told.count("app.py") == 1  # septum's own lines would bury it


def test_an_error_in_the_apps_text_names_its_line(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "return (")
    with pytest.raises(WorkerError, match="import raised SyntaxError") as caught:
        start(spec).perform(train_task(spec), payload_of(spec))
    assert "return (" in caught.value.details


def test_what_septum_itself_found_needs_no_traceback(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    spec.data_path.write_text("z,y\n1,0\n")
    with pytest.raises(WorkerError, match="no column 'x'") as caught:
        start(spec).perform(train_task(spec), payload_of(spec))
    assert (caught.value.details, "name another file" in caught.value.hint) == ("", True)


def test_an_app_that_exits_ends_its_worker_alone(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "sys.exit(3)")
    worker = start(spec)
    with pytest.raises(WorkerError, match="exited with code 3 during train of round 1"):
        worker.perform(train_task(spec), payload_of(spec))
    assert not worker.alive
    with pytest.raises(WorkerError, match="has ended"):
        worker.perform(train_task(spec), payload_of(spec))


def test_an_app_of_another_digest_is_not_imported(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    marker = tmp_path / "imported"
    (spec.app_dir / "app.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(WorkerError, match="was approved for this run"):
        start(spec).perform(train_task(spec), payload_of(spec))
    assert not marker.exists()


def test_data_that_is_not_there_is_named(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    spec.data_path.unlink()
    with pytest.raises(WorkerError, match=r"data\.csv"):
        start(spec).perform(train_task(spec), payload_of(spec))


def test_a_hyper_parameter_out_of_range_is_named(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path, hyper={"lr": -1.0})
    with pytest.raises(WorkerError, match=r"'lr' is -1\.0"):
        start(spec).perform(train_task(spec), payload_of(spec))


def test_a_closed_worker_does_nothing(start: Start, tmp_path: Path) -> None:
    spec = spec_for(tmp_path)
    worker = start(spec)
    worker.close()
    worker.close()
    assert not worker.alive
    with pytest.raises(WorkerError, match="has ended"):
        worker.perform(train_task(spec), payload_of(spec))


@pytest.mark.parametrize("width", [1, 20_000])
def test_a_payload_is_in_the_result_if_it_is_small_and_else_in_the_file(start, tmp_path, width):
    spec = spec_for(tmp_path, "return {'w': p['w'] + np.float32(1)}")
    data = tensors.encode(payload.model_tensors({"w": np.zeros((width, 1), np.float32)}, {}))
    task = train_task(spec)
    task.model.write_bytes(data)
    worker = start(spec)
    output = payload_of(spec)
    given = worker.perform(task, output).payload
    assert isinstance(given, Blob) == output.exists() == (width > 1)
    content = output.read_bytes() if width > 1 else given
    assert tensors.decode(content)["update.w"].shape == (width, 1)
    if width == 1:
        assert worker.perform(replace(task, model=data), output).payload == content
    else:
        assert given == Blob(digest_of(content), len(content))
        assert output.stat().st_mode & 0o777 == 0o600
        assert worker.perform(task, output).payload == given  # over a file that is there


def test_a_payload_that_cannot_be_written_is_told_and_the_worker_lives_on(start, tmp_path):
    spec = spec_for(tmp_path, "return {'w': p['w'] + np.float32(1)}")
    task = train_task(spec)
    task.model.write_bytes(tensors.encode(payload.model_tensors({"w": np.zeros((20_000, 1), np.float32)}, {})))
    worker = start(spec)
    with pytest.raises(StorageError, match=r"gone/payload: No such file .*") as caught:
        worker.perform(task, tmp_path / "gone" / "payload")
    assert "df -h" in caught.value.hint
    assert isinstance(worker.perform(task, payload_of(spec)).payload, Blob)


def test_every_level_gives_the_same_bytes(tmp_path: Path, sandbox: None) -> None:
    outputs = {}
    for name, launcher in LAUNCHERS.items():
        spec = replace(spec_for(tmp_path), run_dir=tmp_path / name)
        worker = launcher().start(spec, WorkerLimits())
        outputs[worker.level] = worker.perform(train_task(spec), payload_of(spec)).payload
        worker.close()
    assert list(outputs) == [Level.NONE, Level.PROCESS, Level.SANDBOX]
    assert len(set(outputs.values())) == 1


def test_a_large_state_is_carried_too(start: Start, tmp_path: Path) -> None:
    grow = (
        "ctx.state['n'] = ctx.state.get('n', np.zeros(200_000)) + 1\nreturn {'w': p['w'] + ctx.state['n'][-1:, None]}"
    )
    spec = spec_for(tmp_path, grow.replace("[-1:, None]", "[-1:, None].astype(np.float32)"))
    worker = start(spec)
    worker.perform(train_task(spec, 1), payload_of(spec))
    assert carry_of(spec, 1).stat().st_size > 1_600_000
    assert leaving_of(worker, train_task(spec, 2, state=carry_of(spec, 1)))["update.w"].tolist() == [[2.0]]
    assert not list(spec.run_dir.glob("*.part"))
