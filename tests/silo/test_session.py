"""A silo's part in one run, from the first message to the last, with real work and a scripted coordinator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.silo.scripted import Answer, ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted, write_app, write_data

from septum.adapters.launch.inline import InlineLauncher, InlineWorker
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import AuthError, ConnectionFailedError, NotFoundError, SeptumError, StorageError, TensorError
from septum.ports.launcher import Launcher, Level, Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol import payload, tensors
from septum.protocol.messages import (
    Await,
    Blob,
    End,
    Evaluate,
    Failure,
    Join,
    Outcome,
    Prepare,
    Refuse,
    Report,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan, digest_of
from septum.protocol.privacy import Privacy
from septum.protocol.silo import Denied, SiloRun
from septum.sdk.package import digest_of as app_digest
from septum.silo.alias import alias_by
from septum.silo.policy import Hours
from septum.silo.run_files import RunFiles
from septum.silo.session import Session
from septum.silo.talking import AUTH_PAUSE_S

COUNTING = "with open(COUNT, 'a') as f: f.write('x')\nreturn {'w': p['w'] + np.float32(1)}"
FINISHED = End(Outcome.FINISHED)


def model(value: float = 0.0, width: int = 1) -> bytes:
    return tensors.encode(payload.model_tensors({"w": np.full((width, 1), value, np.float32)}, {}))


class Bench:
    """One silo with its app, data and run directory; sessions are made as an agent would make them."""

    def __init__(self, folder: Path, train: str = COUNTING, extra: str = "") -> None:
        self.count = folder / "count"
        app_dir = write_app(folder / "app", train, f"COUNT = {str(self.count)!r}\n{extra}")
        self.app = approved(app_dir, write_data(folder / "data.csv"))
        self.plan = Plan("p", AppRef("small", "1", self.app.digest), {"lr": 0.5}, ("north", "south"), rounds=3, seed=7)
        self.files = RunFiles(folder / "runs" / "r1")
        self.blobs: dict[str, bytes] = {}

    def play(
        self,
        *script: Answer,
        launcher: Launcher | None = None,
        limits: WorkerLimits | None = None,
        denied: bool = False,
    ) -> ScriptedChannel:
        """Serve until the script is over, starting from what is on disk."""
        channel = ScriptedChannel(ScriptedStop(), *script)
        channel.blobs = self.blobs
        state = self.files.load() or SiloRun("r1", "north", self.plan)
        consent = Denied("policy.max_rounds", "too many") if denied else granted(self.app)
        Session(tools_for(channel, launcher, limits), self.files, state, lambda: consent).serve()
        return channel

    def large_model(self) -> Blob:
        """A model that is fetched, of which nothing fits into a message."""
        data = model(width=30_000)
        blob = blob_of(data)
        self.blobs[blob.digest] = data
        return blob

    @property
    def trained(self) -> int:
        """How often the app's train was called."""
        return len(self.count.read_text()) if self.count.exists() else 0


def reports(channel: ScriptedChannel) -> list[Report]:
    return [message for message in channel.said if isinstance(message, Report)]


def test_the_digest_of_its_rows_is_told_where_the_policy_says_so_and_never_beside_a_ledger(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    rows, alias = granted(silo.app), alias_by(Ed25519PrivateKey.generate())
    for plan, tells, told in (
        (silo.plan, None, ""),
        (silo.plan, alias, alias(rows.table.digest)),
        (replace(silo.plan, privacy=Privacy(5.0)), alias, ""),
    ):
        channel = ScriptedChannel(ScriptedStop(), End(Outcome.STOPPED))
        tools = replace(tools_for(channel), alias=tells)
        Session(
            tools, RunFiles(tmp_path / "runs" / plan.digest[-8:]), SiloRun("r1", "north", plan), lambda: rows
        ).serve()
        assert channel.said == [Join(plan.digest, told)]


def test_a_run_from_joining_to_its_end(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    first, second = blob_of(model(0)), blob_of(model(1))
    channel = silo.play(
        Wait(), Prepare(1, initial=True), Train(1, 1, first), Train(2, 1, second), Evaluate(2, 1, second), FINISHED
    )
    kinds = [type(message) for message in channel.said]
    assert kinds == [Join, Await, Report, Report, Report, Report]
    assert channel.said[0] == Join(silo.plan.digest)
    prepare, train, *_ = reports(channel)
    assert prepare.payload.inline is not None
    assert list(tensors.decode(prepare.payload.inline)) == ["initial.w"]
    assert (train.stage, train.round, train.attempt, train.base, train.weight) == (Stage.TRAIN, 1, 1, first.digest, 6)
    assert train.payload.inline is not None
    assert tensors.decode(train.payload.inline)["update.w"].tolist() == [[1.0]]
    assert {"load", "evaluate", "train", "encode"} <= train.durations_s.keys()
    assert silo.trained == 2
    assert not silo.files.folder.exists()


@pytest.mark.parametrize("trouble", [ConnectionFailedError("cut"), StorageError("no space left there")])
def test_a_round_that_is_asked_again_is_answered_with_the_kept_report(tmp_path: Path, trouble: SeptumError) -> None:
    silo = Bench(tmp_path)
    base = blob_of(model())
    channel = silo.play(Train(1, 1, base), trouble, Train(1, 1, base), Train(1, 2, base))
    assert [report.attempt for report in reports(channel)] == [1, 1, 2]
    assert len({report.payload for report in reports(channel)}) == 1
    assert silo.trained == 1


def test_an_agent_that_was_killed_offers_its_report_again_without_training(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    base = blob_of(model())
    before = silo.play(Train(1, 1, base))
    after = silo.play(Train(1, 2, base))
    assert replace(reports(after)[0], attempt=1) == reports(before)[0]
    assert silo.trained == 1


def test_after_a_broken_line_it_pauses_longer_each_time_and_joins_again(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    channel = silo.play(*[ConnectionFailedError("away")] * 40, Wait())
    assert all(isinstance(message, Join) for message in channel.said[:41])
    assert isinstance(channel.stop, ScriptedStop)
    pauses = channel.stop.pauses[:40]
    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert pauses == sorted(pauses)
    assert max(pauses) == 15.0  # half of 30 s: full jitter, at 0.5


def test_pauses_begin_anew_after_an_answer(tmp_path: Path) -> None:
    away = ConnectionFailedError("away")
    channel = Bench(tmp_path).play(away, away, Wait(), away, Wait())
    assert isinstance(channel.stop, ScriptedStop)
    assert channel.stop.pauses[:3] == [0.05, 0.1, 0.05]


def test_a_revoked_silo_asks_slowly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    channel = Bench(tmp_path).play(AuthError("revoked"), Wait())
    assert isinstance(channel.stop, ScriptedStop)
    assert channel.stop.pauses[0] == AUTH_PAUSE_S
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["not_accepted"]


def test_the_apps_state_is_carried_on_only_when_the_round_is_closed(tmp_path: Path) -> None:
    count = "ctx.state['n'] = ctx.state.get('n', np.zeros(1)) + 1\nreturn {'w': p['w'] + np.float32(ctx.state['n'][0])}"
    silo = Bench(tmp_path, count)
    base, other = blob_of(model()), blob_of(model(5))
    channel = silo.play(Train(1, 1, base), Train(2, 1, base), Train(2, 2, other), Train(3, 1, base))
    updates = [tensors.decode(report.payload.inline or b"")["update.w"].item() for report in reports(channel)]
    assert updates == [1.0, 2.0, 2.0, 3.0]  # round 2 began twice, from the state of round 1


def test_an_agent_that_was_killed_goes_on_from_the_carried_state(tmp_path: Path) -> None:
    count = "ctx.state['n'] = ctx.state.get('n', np.zeros(1)) + 1\nreturn {'w': p['w'] + np.float32(ctx.state['n'][0])}"
    silo = Bench(tmp_path, count)
    base = blob_of(model())
    silo.play(Train(1, 1, base), Train(2, 1, base))
    channel = silo.play(Train(3, 1, base))
    assert tensors.decode(reports(channel)[0].payload.inline or b"")["update.w"].item() == 3.0


def test_a_large_model_is_fetched_and_a_large_update_sent_ahead_of_its_report(tmp_path: Path) -> None:
    silo = Bench(tmp_path, extra="WIDE = 20_000")
    app = (silo.app.path / "app.py").read_text()
    (silo.app.path / "app.py").write_text(app.replace('data.x @ p["w"][0]', 'data.x @ p["w"][0][:1]'))
    silo.app = replace(silo.app, digest=app_digest(silo.app.path), tree=app_digest(silo.app.path))
    large = model(width=20_000)
    silo.blobs[digest_of(large)] = large
    reference = Blob(digest_of(large), len(large))
    channel = silo.play(Train(1, 1, reference), Train(1, 2, reference))
    (first, second) = reports(channel)
    assert first.payload.inline is None
    assert first.payload.digest == second.payload.digest
    assert channel.calls == ["exchange", "fetch_blob", "send_blob", "exchange", "send_blob", "exchange"]


def test_a_model_that_cannot_be_fetched_yet_is_asked_for_again(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    reference = Blob(digest_of(b"gone"), 70_000)
    channel = silo.play(Train(1, 1, reference))
    failure = channel.said[1]
    assert isinstance(failure, Failure)
    assert "no blob" in failure.reason


def test_a_silo_that_denies_says_which_rule_and_runs_nothing(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    channel = silo.play(End(Outcome.STOPPED, "refused"), denied=True)
    assert channel.said == [Refuse("policy.max_rounds", "too many")]
    assert not silo.files.folder.exists()


def test_an_app_that_raises_is_reported_with_its_traceback_and_the_silo_goes_on(tmp_path: Path) -> None:
    silo = Bench(tmp_path, "raise ValueError('boom')")
    base = blob_of(model())
    channel = silo.play(Train(1, 1, base), Wait(), Train(1, 2, base))
    failure = channel.said[1]
    assert isinstance(failure, Failure)
    assert "ValueError: boom" in failure.reason
    assert "Traceback" in failure.details
    assert [type(message) for message in channel.said] == [Join, Failure, Await, Failure]


def test_a_silo_that_keeps_error_texts_to_itself_says_only_that_the_work_failed(tmp_path: Path) -> None:
    silo = Bench(tmp_path, "raise ValueError('Jane Doe, born 1952')")
    channel = ScriptedChannel(ScriptedStop(), Train(1, 1, blob_of(model())))
    tools = replace(tools_for(channel), send_error_texts=False)
    Session(tools, silo.files, SiloRun("r1", "north", silo.plan), lambda: granted(silo.app)).serve()
    assert isinstance(channel.said[1], Failure)
    assert "Doe" not in repr(channel.said)
    assert "train-1 failed in this silo" in channel.said[1].reason


class Weighing(InlineLauncher):
    """Its workers give another weight than they should, as the process of a hostile app can."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> InlineWorker:  # noqa: ARG002  a process's limits
        spec.run_dir.mkdir(parents=True, exist_ok=True)
        weight = self.weight

        class Worker(InlineWorker):
            def perform(self, task: Task, output: Path) -> TaskResult:
                return replace(super().perform(task, output), weight=weight)

        return Worker(spec)


@pytest.mark.parametrize("weight", [-1, 0, 2**53, 2**60])
def test_a_weight_that_cannot_be_reported_is_a_failure_and_not_trained_for_ever(tmp_path: Path, weight: int) -> None:
    silo = Bench(tmp_path)
    channel = silo.play(Train(1, 1, blob_of(model())), launcher=Weighing(weight))
    assert [type(message) for message in channel.said] == [Join, Failure]
    assert "cannot be reported" in channel.said[1].reason
    assert silo.trained == 1


def test_a_model_larger_than_the_silos_files_may_be_is_not_even_fetched(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    huge = Blob(digest_of(b"huge"), 10**15)
    channel = silo.play(Train(1, 1, huge), limits=WorkerLimits(file_bytes=10**9))
    assert channel.calls == ["exchange", "exchange"]
    assert isinstance(channel.said[1], Failure)
    assert "takes at most 1000000000" in channel.said[1].reason


@pytest.mark.processes
@pytest.mark.parametrize(
    ("train", "limits", "says"),
    [
        ("with open(COUNT, 'a') as f: f.write('x')\nos._exit(9)", WorkerLimits(), "exited with code 9"),
        ("with open(COUNT, 'a') as f: f.write('x')\ntime.sleep(60)", WorkerLimits(task_s=0.6), "longer than 0.6 s"),
    ],
)
def test_a_worker_that_dies_twice_is_reported_and_a_new_attempt_gets_a_new_one(
    tmp_path: Path, train: str, limits: WorkerLimits, says: str
) -> None:
    silo = Bench(tmp_path, train)
    base = blob_of(model())
    channel = silo.play(
        Train(1, 1, base), Wait(), Train(1, 2, base), launcher=SubprocessLauncher(Level.PROCESS), limits=limits
    )
    assert [type(message) for message in channel.said] == [Join, Failure, Await, Failure]
    failure = channel.said[1]
    assert isinstance(failure, Failure)
    assert says in failure.reason
    assert silo.trained == 4


@pytest.mark.processes
def test_a_failure_names_the_silos_next_step_and_a_log_that_is_still_there_when_the_run_has_failed(
    tmp_path: Path,
) -> None:
    silo = Bench(tmp_path, "print('here', flush=True)\nos._exit(9)")
    end = End(Outcome.FAILED, "too few silos")
    channel = silo.play(Train(1, 1, blob_of(model())), end, launcher=SubprocessLauncher(Level.PROCESS))
    failure = channel.said[1]
    assert isinstance(failure, Failure)
    told, _, log = failure.details.rpartition(": ")
    assert told == "next, in silo north: what the app printed"
    assert Path(log).read_text() == "here\n"


@pytest.mark.processes
def test_a_worker_that_dies_once_is_replaced_and_the_round_reported(tmp_path: Path) -> None:
    once = "if not os.path.exists(COUNT):\n    open(COUNT, 'w').close()\n    os._exit(1)\nreturn p"
    silo = Bench(tmp_path, once)
    channel = silo.play(Train(1, 1, blob_of(model())), launcher=SubprocessLauncher(Level.PROCESS))
    assert [type(message) for message in channel.said] == [Join, Report]


def test_a_report_that_the_coordinator_refuses_is_a_failure_and_trained_anew(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    base = blob_of(model())
    channel = silo.play(Train(1, 1, base), TensorError("tensor 'update.w' holds nan"), Wait(), Train(1, 2, base))
    assert [type(message) for message in channel.said] == [Join, Report, Failure, Await, Report]
    failure = channel.said[2]
    assert isinstance(failure, Failure)
    assert "holds nan" in failure.reason
    assert silo.trained == 2


def test_a_kept_report_whose_file_was_lost_is_trained_anew(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    base = silo.large_model()
    silo.play(Train(1, 1, base))
    silo.files.held("train-1").unlink()
    channel = silo.play(Train(1, 1, base))
    assert [type(message) for message in channel.said[:2]] == [Join, Report]
    assert silo.trained == 2


def test_a_full_disk_costs_what_a_restart_would_have_kept_and_nothing_else(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    base = blob_of(model())

    class InTheWay(InlineLauncher):
        def start(self, spec: WorkerSpec, limits: WorkerLimits) -> InlineWorker:
            for slot in ("session.0", "session.1"):  # nothing can be saved from here on
                (silo.files.folder / slot).unlink(missing_ok=True)
                (silo.files.folder / slot).mkdir()
            return super().start(spec, limits)

    channel = silo.play(Train(1, 1, base), Train(1, 2, base), Train(2, 1, base), launcher=InTheWay())
    assert [(report.round, report.attempt) for report in reports(channel)] == [(1, 1), (1, 2), (2, 1)]
    assert silo.trained == 2


def test_a_run_that_the_coordinator_does_not_know_is_over_but_kept(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    silo.play(Train(1, 1, blob_of(model())))
    silo.play(NotFoundError("no run r1"))
    state = silo.files.load()
    assert state is not None
    assert state.outcome is Outcome.STOPPED
    assert state.held is not None


def test_what_is_kept_is_readable_by_its_owner_alone_and_no_more_than_needed(tmp_path: Path) -> None:
    keeping = "ctx.state['n'] = np.zeros(1)\nreturn p"
    silo = Bench(tmp_path, keeping)
    base = silo.large_model()
    silo.play(Train(1, 1, base), Train(2, 1, base), Train(3, 1, base))
    folder = silo.files.folder
    assert {path.name for path in (folder / "held").iterdir()} == {"train-3"}
    assert {path.name for path in (folder / "work").glob("*.state")} == {f"train-{n}.state" for n in (1, 2, 3)}
    assert len(list((folder / "model").iterdir())) == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in [folder, *folder.iterdir(), folder / "held" / "train-3"])


def test_a_stopped_run_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    base = blob_of(model())
    silo.play(Train(1, 1, base), End(Outcome.STOPPED, "lunch"))
    channel = silo.play(Train(1, 1, base))
    assert len(reports(channel)) == 1
    assert silo.trained == 1


class ChattyLauncher:
    """Its workers report a duration of their own invention."""

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> ChattyWorker:
        return ChattyWorker(InlineLauncher().start(spec, limits))


class ChattyWorker:
    alive, pid = True, 0

    def __init__(self, worker: InlineWorker) -> None:
        self._worker = worker

    def perform(self, task: Task, output: Path) -> TaskResult:
        result = self._worker.perform(task, output)
        return replace(result, durations_s={**result.durations_s, "patient_17_age": 63.0})

    def close(self) -> None:
        self._worker.close()


def test_a_duration_of_the_workers_own_invention_does_not_leave(tmp_path: Path) -> None:
    channel = Bench(tmp_path).play(Train(1, 1, blob_of(model())), launcher=ChattyLauncher())
    (report,) = reports(channel)
    assert "train" in report.durations_s
    assert "patient_17_age" not in report.durations_s


def test_outside_its_hours_a_silo_waits_and_then_asks_what_there_is_to_do(tmp_path: Path) -> None:
    silo = Bench(tmp_path)
    stop = ScriptedStop()
    base = blob_of(model())
    channel = ScriptedChannel(stop, Train(1, 1, base), Train(1, 2, base))
    minutes = iter([17 * 60, 18 * 60, 19 * 60 + 59, 20 * 60, 20 * 60])
    tools = replace(tools_for(channel), hours=Hours(20 * 60, 6 * 60), minute=lambda: next(minutes))
    Session(tools, silo.files, SiloRun("r1", "north", silo.plan), lambda: granted(silo.app)).serve()
    assert [type(said) for said in channel.said] == [Join, Join, Report]  # and not what it was told before
    assert [report.attempt for report in reports(channel)] == [2]
    assert stop.pauses.count(60.0) == 3
