"""What a silo does in a run with differential privacy: it pays before, for what may leave, and never twice for one."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.silo.private_app import write_private_app, write_rows

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import BudgetError, StorageError, WorkerError
from septum.ports.launcher import Task, WorkerLimits, WorkerSpec
from septum.privacy.accounting import Gaussian, SampledGaussian, Stated
from septum.privacy.ledger import Budget, Refused, Released, Reserved, Settled
from septum.privacy.wanted import SPARE_ROUNDS
from septum.protocol import tensors
from septum.protocol.messages import Stage
from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
from septum.protocol.privacy import Privacy
from septum.protocol.silo import Job
from septum.sdk.package import digest_of, read_manifest
from septum.silo.ledger import Ledger
from septum.silo.log import Log
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.private_run import PrivacyTools, PrivateRun
from septum.silo.run_files import RunFiles

DATASET = "ward"
PREPARE = Job(Stage.PREPARE, 0, 1, initial=True)
PLAN = Plan(
    "p",
    AppRef("small", "1", "sha256:" + "0" * 64),
    {},
    ("east", "north", "south"),
    rounds=3,
    masking=Masking(),
    privacy=Privacy(5.0, batch=16, steps=2, learning_rate=0.5),
)


def train(round_: int) -> Job:
    return Job(Stage.TRAIN, round_, 1)


def concentrated(used, delta):
    """Costs that are worked out by hand: zero-concentrated privacy, sampling without effect."""
    del delta
    return math.fsum(
        one.epsilon if isinstance(one, Stated) else getattr(one, "steps", 1) / one.noise_multiplier**2 for one in used
    )


class Silo:
    """A silo's directory with one run's part in it; `run` again is the agent after a restart."""

    def __init__(self, folder, budget=20.0, predict=None):
        self.dir = folder
        app = write_private_app(folder / "app", **({} if predict is None else {"predict": predict}))
        self.private = read_manifest(app).trains
        files = folder / "runs" / "r1"
        self.spec = WorkerSpec(
            run="r1",
            silo="north",
            app_dir=app,
            app_digest=digest_of(app),
            data_path=write_rows(folder / "rows.csv"),
            hyper={},
            seed=7,
            strategy=StrategyRef(),
            run_dir=files / "work",
        )
        self.tools = PrivacyTools(
            Ledger(folder, concentrated, lambda: 1.0),
            Budget(budget, 1e-5),
            concentrated,
            PrivateReceipts(folder),
            lambda: 2.0,
        )
        self.files = RunFiles(files)
        self.files.make()
        self.started = []

    def run(self, plan=PLAN, name="r1"):
        return PrivateRun(self.tools, name, plan, self.files, Log(silo="north"))

    def start(self, spec):
        self.started.append((spec, [entry.event for entry in self.tools.ledger.read().entries]))
        return InlineLauncher().start(spec, WorkerLimits())

    def spec_for(self, run, job):
        return run.spec_for(job, self.spec, DATASET, self.private, self.start)

    def made(self, run, job, model=None):
        """What leaves for a job."""
        spec = self.spec_for(run, job)
        task = Task(job.stage, job.round, model, job.initial, None, self.files.carried(job.name))
        payload = self.start(spec).perform(task, self.files.output(job.name)).payload
        return {name: array.copy() for name, array in tensors.decode(payload).items()}

    @property
    def events(self):
        return [entry.event for entry in self.tools.ledger.read().entries]


@pytest.fixture
def silo(tmp_path):
    return Silo(tmp_path)


def test_count_and_all_steps_are_in_the_ledger_before_the_first_step(silo):
    silo.spec_for(silo.run(), PREPARE)
    released, reserved = silo.events
    assert released.charge.mechanism == Gaussian(2.25)
    assert reserved.charge.mechanism.steps == (3 + SPARE_ROUNDS) * 2
    assert (reserved.charge.dataset, reserved.charge.purpose) == (DATASET, "run r1: training, enforced")
    together = concentrated([released.charge.mechanism, reserved.charge.mechanism], 1e-3)
    assert 4.9 < together <= 5.0


def test_when_the_trusted_loop_starts_it_is_paid_for_and_it_is_given_no_code_of_the_app(silo):
    silo.made(silo.run(), PREPARE)
    (rows, before), (loop, paid) = silo.started
    assert rows.rows_for == silo.private
    assert before == []  # the app makes rows, and nothing of them leaves
    assert [type(event) for event in paid] == [Released, Reserved]
    assert loop.loop is not None
    assert silo.spec.app_dir not in (loop.app_dir, loop.data_path, *loop.paths, *loop.readable)
    assert loop.python is None


def test_statistics_and_initial_model_are_those_of_no_row(silo):
    left = silo.made(silo.run(), PREPARE)
    assert left["statistics.mean_and_std.count"].tolist() == [2.0]
    assert left["statistics.mean_and_std.sum"].tolist() == [10.0]  # the range is 0 to 10
    assert left["statistics.mean_and_std.sum_of_squares"].tolist() == [100.0]
    assert left["initial.weight"].tolist() == [[0.0]]


def test_a_training_leaves_an_update_and_no_metric(silo):
    run = silo.run()
    model = tensors.encode({"bias": np.zeros(1, np.float32), "weight": np.zeros((1, 1), np.float32)})
    silo.made(run, PREPARE)
    one, other = silo.made(run, train(1), model), silo.made(run, train(1), model)
    assert one["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]
    assert len(one["evaluation.bins"]) == 0
    assert one["update.weight"].tolist() != other["update.weight"].tolist()  # the noise is the system's, not a seed's


def test_work_that_is_done_again_counts_again_and_beyond_the_spare_rounds_it_is_refused(silo):
    run = silo.run()
    for _ in range(3 + SPARE_ROUNDS):
        silo.spec_for(run, train(1))
    with pytest.raises(BudgetError, match="would be step 12 of this run, and 10 are paid for"):
        silo.spec_for(run, train(1))


def test_a_restart_goes_on_with_the_same_account_and_the_same_noisy_count(silo):
    first = silo.spec_for(silo.run(), train(1)).loop
    again = silo.spec_for(silo.run(), train(1)).loop
    assert again == first
    assert [type(event) for event in silo.events] == [Released, Reserved]
    assert json.loads(silo.files.privacy.read_text())["begun"] == 4


def test_without_a_settlement_all_of_it_stays_spent(silo):
    silo.spec_for(silo.run(), train(1))
    assert concentrated(silo.tools.ledger.read().book.costs(DATASET), 1e-5) > 4.9


def test_settled_is_what_was_begun_and_the_receipt_has_its_exact_cost(silo):
    run = silo.run()
    silo.spec_for(run, train(1))
    run.settle()
    run.settle()  # delivery is at least once
    assert silo.events[-1] == Settled(silo.events[1].id, 2)
    (receipt,) = PrivateReceipts(silo.dir).all()
    mechanisms = [Gaussian(2.25), replace(silo.events[1].charge.mechanism, steps=2)]
    assert (receipt.run, receipt.steps, receipt.strength) == ("r1", 2, "enforced")
    assert receipt.epsilon == pytest.approx(concentrated(mechanisms, 1e-5))
    assert receipt.epsilon < 1.5


def test_a_stopped_run_that_is_resumed_reserves_what_it_gave_back(silo):
    run = silo.run()
    silo.spec_for(run, train(1))
    run.settle()
    silo.spec_for(silo.run(), train(2))
    assert isinstance(silo.events[-1], Reserved)
    assert silo.events[-1].charge.mechanism.steps == 8
    assert concentrated(silo.tools.ledger.read().book.costs(DATASET), 1e-5) <= 5.0


def test_delta_auto_keeps_to_the_policys_max_delta(silo):
    silo.tools = replace(silo.tools, max_delta=1e-4)  # a tenth of 1 / 60 rows is more
    silo.spec_for(silo.run(), PREPARE)
    assert json.loads(silo.files.privacy.read_text())["delta"] == 1e-4


def test_a_run_that_the_budget_cannot_pay_trains_nothing_and_says_what_is_left(tmp_path):
    silo = Silo(tmp_path, budget=4.0)
    with pytest.raises(BudgetError, match=r"the budget is 4, of which 0\.198 is spent and 3\.802 is left"):
        silo.spec_for(silo.run(), PREPARE)
    assert [type(event) for event in silo.events] == [Released, Refused]
    assert [spec.loop for spec, _ in silo.started] == [None]


def test_a_run_that_is_asked_again_after_a_refusal_does_not_count_its_rows_again(tmp_path):
    """Else a coordinator that asks on and on would spend a silo's budget on counts, and see each in the refusal."""
    silo = Silo(tmp_path, budget=4.0)
    for _ in range(3):
        with pytest.raises(BudgetError, match=r"of which 0\.198 is spent"):
            silo.spec_for(silo.run(), PREPARE)
    assert [type(event) for event in silo.events] == [Released, Refused, Refused, Refused]
    silo.run().settle()
    (receipt,) = PrivateReceipts(silo.dir).all()
    assert (receipt.steps, receipt.epsilon) == (0, pytest.approx(1 / 2.25**2))


def test_runs_of_one_dataset_add_up_until_the_budget_refuses(tmp_path):
    silo = Silo(tmp_path, budget=8.0)
    first = silo.run()
    for round_ in (1, 2, 3):
        silo.spec_for(first, train(round_))
    first.settle()
    silo.files.remove()
    silo.files.make()
    with pytest.raises(BudgetError, match="training, enforced would bring dataset 'ward' to epsilon 8"):
        silo.spec_for(silo.run(name="r2"), PREPARE)


def test_an_account_that_cannot_be_read_ends_the_work_and_is_not_begun_anew(silo):
    silo.spec_for(silo.run(), train(1))
    silo.files.privacy.write_bytes(b"{")
    with pytest.raises(StorageError, match=r"privacy\.json cannot be read"):
        silo.spec_for(silo.run(), train(2))
    assert [type(event) for event in silo.events] == [Released, Reserved]


def test_an_app_that_declares_no_loss_is_refused(silo):
    silo.private = None
    with pytest.raises(BudgetError, match="declares no loss that septum can train"):
        silo.spec_for(silo.run(), PREPARE)
    assert silo.started == []


def test_an_app_whose_model_is_not_the_declared_one_is_refused_before_anything_is_spent(tmp_path):
    silo = Silo(tmp_path, predict='data.x @ p["weight"][0] + p["bias"]')  # without scaling
    with pytest.raises(WorkerError, match="its predict gives other numbers than the model that it declares"):
        silo.spec_for(silo.run(), PREPARE)
    assert silo.events == []


def test_the_weight_of_an_update_is_the_noisy_count(silo):
    loop = silo.spec_for(silo.run(), train(1)).loop
    assert loop.weight == json.loads(silo.files.privacy.read_text())["rows"]
    assert abs(loop.weight - 60) < 6 * 2.25
    mechanism = silo.events[1].charge.mechanism
    assert isinstance(mechanism, SampledGaussian)
    assert mechanism.sampling_rate == min(1.0, 16 / loop.weight)


def test_a_run_that_was_settled_and_resumed_by_an_agent_that_did_not_note_it_pays_for_what_follows(silo, monkeypatch):
    """Killed between the ledger's word and its own: the account names a reservation that pays for nothing any more."""
    silo.spec_for(silo.run(), train(1))
    with monkeypatch.context() as killing:
        killing.setattr(PrivateRun, "_save", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            silo.run().settle()
    run = silo.run()
    silo.spec_for(run, train(2))
    assert isinstance(silo.events[-1], Reserved)
    assert silo.events[-1].charge.mechanism.steps == 8
    run.settle()
    assert [event.executed for event in silo.events if isinstance(event, Settled)] == [2, 2]


def test_a_receipt_that_was_not_written_is_written_the_next_time(silo, monkeypatch):
    silo.spec_for(silo.run(), train(1))
    with monkeypatch.context() as killing:
        killing.setattr(PrivateReceipts, "add", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            silo.run().settle()
    for _ in range(2):
        silo.run().settle()
        assert [receipt.steps for receipt in PrivateReceipts(silo.dir).all()] == [2]
    assert len([event for event in silo.events if isinstance(event, Settled)]) == 1


class Killed(BaseException):
    """The process is gone: nobody catches it."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "method", "times"),
    [(Ledger, "release", 1), (Ledger, "reserve", 1), (Ledger, "settle", 1), (PrivateRun, "_save", 5)],
)
def test_wherever_the_agent_is_killed_the_ledger_has_every_step_that_was_begun(
    tmp_path, monkeypatch, owner, method, times, when
):
    """Every durable write of such a run, each time it comes by."""
    for time in range(times):
        silo = Silo(tmp_path / str(time), budget=40.0)
        plain, calls = getattr(owner, method), []

        def dying(*arguments, plain=plain, calls=calls, time=time):
            calls.append(arguments)
            if when == "before" and len(calls) == time + 1:
                raise Killed
            done = plain(*arguments)
            if when == "after" and len(calls) == time + 1:
                raise Killed
            return done

        done = []  # what is held is offered again, and not done again

        def live(silo=silo, done=done):
            run = silo.run()
            for job in (PREPARE, train(1), train(2), train(3)):
                if job not in done:
                    silo.spec_for(run, job)
                    done.append(job)
            run.settle()

        with monkeypatch.context() as patched:
            patched.setattr(owner, method, dying)
            with pytest.raises(Killed):
                live()
        live()
        book = silo.tools.ledger.read().book
        account = json.loads(silo.files.privacy.read_text())
        begun = SampledGaussian(account["noise_multiplier"], account["sampling_rate"], 6)
        assert concentrated(book.costs(DATASET), 1e-5) >= concentrated([Gaussian(2.25), begun], 1e-5) - 1e-9


# --- metrics -------------------------------------------------------------------------------------------------------

MEASURED = replace(PLAN, privacy=replace(PLAN.privacy, metrics_epsilon=1.0))
EVALUATE = Job(Stage.EVALUATE, 3, 1)
METRICS = MEASURED.privacy.metrics


def test_metrics_are_reserved_before_the_first_step_and_training_gets_more_noise_for_them(silo, tmp_path):
    silo.spec_for(silo.run(MEASURED), PREPARE)
    released, metrics, training = silo.events
    assert isinstance(released, Released)
    assert (metrics.charge.mechanism, metrics.charge.purpose) == (METRICS, "run r1: metrics of the last model")
    together = concentrated([event.charge.mechanism for event in silo.events], 1e-3)
    assert 4.9 < together <= 5.0
    other = Silo(tmp_path / "other")
    other.spec_for(other.run(), PREPARE)
    noise = [json.loads(one.files.privacy.read_text())["noise_multiplier"] for one in (silo, other)]
    assert training.charge.mechanism.noise_multiplier == noise[0] > noise[1] * 1.005


def test_the_last_model_is_measured_once_with_noise_and_never_again(silo):
    run = silo.run(MEASURED)
    model = tensors.encode({"bias": np.zeros(1, np.float32), "weight": np.ones((1, 1), np.float32)})
    silo.made(run, PREPARE)
    trained = silo.made(run, train(1), model)
    assert "evaluation.noisy" not in trained
    left = silo.made(run, EVALUATE, model)
    assert (left["evaluation.noisy"] != 0).all()
    assert left["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]
    for again in (run, silo.run(MEASURED)):
        with pytest.raises(BudgetError, match="they are paid for once"):
            silo.spec_for(again, replace(EVALUATE, attempt=2))


def test_without_a_part_for_them_nothing_is_measured(silo):
    run = silo.run()
    model = tensors.encode({"bias": np.zeros(1, np.float32), "weight": np.ones((1, 1), np.float32)})
    assert "evaluation.noisy" not in silo.made(run, EVALUATE, model)
    assert silo.made(run, EVALUATE, model)["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("measured", [True, False])
def test_what_a_run_cost_covers_its_metrics_if_they_were_told(silo, measured):
    run = silo.run(MEASURED)
    silo.spec_for(run, train(1))
    if measured:
        silo.spec_for(run, EVALUATE)
    run.settle()
    run.settle()
    _, metrics, training = silo.events[:3]
    assert silo.events[3:] == [Settled(training.id, 2), Settled(metrics.id, int(measured))]
    (receipt,) = PrivateReceipts(silo.dir).all()
    spent = [Gaussian(2.25), replace(training.charge.mechanism, steps=2), *([METRICS] if measured else [])]
    assert receipt.epsilon == pytest.approx(concentrated(spent, 1e-5))
    assert concentrated(silo.tools.ledger.read().book.costs(DATASET), 1e-5) == pytest.approx(receipt.epsilon)


def test_where_training_cannot_be_paid_what_was_reserved_for_metrics_is_given_back(tmp_path):
    silo = Silo(tmp_path, budget=4.0)
    run = silo.run(MEASURED)
    with pytest.raises(BudgetError, match="training, enforced would bring"):
        silo.spec_for(run, PREPARE)
    run.settle()
    assert isinstance(silo.events[-1], Settled)
    assert concentrated(silo.tools.ledger.read().book.costs(DATASET), 1e-5) == pytest.approx(1 / 2.25**2)


def test_a_stopped_run_that_is_resumed_reserves_its_metrics_anew(silo):
    run = silo.run(MEASURED)
    silo.spec_for(run, train(1))
    run.settle()
    again = silo.run(MEASURED)
    silo.spec_for(again, EVALUATE)
    again.settle()
    assert concentrated(silo.tools.ledger.read().book.costs(DATASET), 1e-5) <= 5.0
    assert METRICS in silo.tools.ledger.read().book.costs(DATASET)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "method"), [(Ledger, "reserve"), (Ledger, "settle"), (PrivateRun, "_save")])
def test_wherever_the_agent_is_killed_metrics_that_were_told_are_in_the_ledger(
    tmp_path, monkeypatch, owner, method, when
):
    for time in range(6):
        silo, told = Silo(tmp_path / str(time), budget=40.0), []
        plain, calls = getattr(owner, method), []

        def dying(*arguments, plain=plain, calls=calls, time=time):
            calls.append(arguments)
            if when == "before" and len(calls) == time + 1:
                raise Killed
            done = plain(*arguments)
            if when == "after" and len(calls) == time + 1:
                raise Killed
            return done

        def live(silo=silo, told=told):
            run = silo.run(MEASURED)
            silo.spec_for(run, train(1))
            silo.spec_for(run, EVALUATE)
            told.append("metrics")
            run.settle()

        with monkeypatch.context() as patched:
            patched.setattr(owner, method, dying)
            with contextlib.suppress(Killed):
                live()
        with contextlib.suppress(BudgetError):
            live()
        silo.run(MEASURED).settle()
        costs = silo.tools.ledger.read().book.costs(DATASET)
        assert len(told) <= 1
        assert costs.count(METRICS) >= len(told)
