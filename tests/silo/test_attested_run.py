"""Runs whose differential privacy an app attests: paid for like others, and nothing unsaid leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.silo.private_app import OWN_TRAIN, write_own_app, write_private_app, write_rows
from tests.silo.test_private_run import DATASET, PLAN, PREPARE, Silo, train

from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import AppError, BudgetError, WorkerError
from septum.ports.launcher import Task, WorkerLimits
from septum.privacy.ledger import Released, Reserved, Settled
from septum.protocol import tensors
from septum.protocol.plan import AppRef, Plan
from septum.protocol.privacy import Privacy, Strength
from septum.sdk.attested import Attested
from septum.sdk.package import digest_of, load_app, read_manifest
from septum.silo.private_receipts import PrivateReceipts
from septum.simulate.run import read_silos, simulate

ATTESTED = replace(PLAN, privacy=replace(PLAN.privacy, strength=Strength.ATTESTED))
MODEL = tensors.encode({"bias": np.zeros(1, np.float32), "weight": np.zeros((1, 1), np.float32)})
SAYS_NOTHING = "    return p\n"
SAYS_LESS_NOISE = OWN_TRAIN.replace("=asked.noise_multiplier", "=0.9 * asked.noise_multiplier")
each = pytest.mark.parametrize(
    "launcher", [InlineLauncher, pytest.param(SubprocessLauncher, marks=pytest.mark.processes)]
)


class Own(Silo):
    """A silo with an app that trains by itself."""

    def __init__(self, folder, train=OWN_TRAIN, launcher=InlineLauncher):
        super().__init__(folder)
        app = write_own_app(folder / "own", train)
        self.private = read_manifest(app).trains
        self.spec = replace(self.spec, app_dir=app, app_digest=digest_of(app))
        self.launcher = launcher()

    def run(self, plan=ATTESTED, name="r1"):
        return super().run(plan, name)

    def start(self, spec):
        self.started.append((spec, [entry.event for entry in self.tools.ledger.read().entries]))
        return self.launcher.start(spec, WorkerLimits())

    def did(self, run, job):
        worker = self.start(self.spec_for(run, job))
        try:
            model = None if job == PREPARE else MODEL
            task = Task(job.stage, job.round, model, job.initial, None, self.files.carried(job.name))
            return worker.perform(task, self.files.output(job.name))
        finally:
            worker.close()


@each
def test_what_the_app_says_reaches_the_agent_and_leaves_with_noise_and_no_metric(tmp_path, launcher):
    silo = Own(tmp_path, launcher=launcher)
    run = silo.run()
    result = silo.did(run, train(1))
    account = silo.files.privacy.read_text()
    assert f'"noise_multiplier":{result.attested.noise_multiplier}' in account
    assert (result.attested.steps, result.attested.clip) == (2, 1.0)
    run.check(train(1), result.attested)
    left = tensors.decode(result.payload)
    assert left["update.weight"].tolist() == [[0.5]]
    assert left["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]
    assert result.weight != 0
    assert f'"rows":{result.weight}' in account  # the noisy number


def test_it_is_paid_before_and_by_the_name_of_its_strength(tmp_path):
    silo = Own(tmp_path)
    run = silo.run()
    silo.did(run, PREPARE)
    released, reserved = silo.events
    assert isinstance(released, Released)
    assert isinstance(reserved, Reserved)
    assert reserved.charge.purpose == "run r1: training, attested"
    (_, before), (spec, paid) = silo.started
    assert before == []
    assert [type(event) for event in paid] == [Released, Reserved]
    assert (spec.app_dir, spec.data_path) == (silo.spec.app_dir, silo.spec.data_path)  # it is the app that trains
    run.settle()
    assert silo.events[-1] == Settled(reserved.id, 0)
    (receipt,) = PrivateReceipts(silo.dir).all()
    assert receipt.strength == "attested"


def test_its_statistics_are_those_of_no_row(tmp_path):
    silo = Own(tmp_path)
    left = tensors.decode(silo.did(silo.run(), PREPARE).payload)
    assert left["statistics.mean_and_std.count"].tolist() == [2.0]
    assert left["statistics.mean_and_std.sum"].tolist() == [10.0]
    assert left["initial.weight"].tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("train_body", "says"),
    [(SAYS_NOTHING, "said 0 times"), (SAYS_LESS_NOISE, "less privacy than was paid for: noise_multiplier")],
)
def test_an_app_that_says_nothing_or_too_little_gives_nothing(tmp_path, train_body, says):
    silo = Own(tmp_path, train_body)
    with pytest.raises(WorkerError, match=says):
        silo.did(silo.run(), train(1))


@pytest.mark.parametrize(
    "said",
    [
        None,
        Attested(0.01, 0.1, 2, 1.0),
        Attested(50.0, 1.0, 2, 1.0),
        Attested(50.0, 0.1, 3, 1.0),
        Attested(50.0, 0.1, 2, 9.0),
    ],
)
def test_the_agent_holds_it_against_the_ledger_whatever_the_apps_process_let_through(tmp_path, said):
    silo = Own(tmp_path)
    run = silo.run()
    silo.did(run, train(1))
    with pytest.raises(WorkerError, match=r"does not say how|less privacy than was paid for"):
        run.check(train(1), said)
    run.check(PREPARE, None)  # nothing was trained
    run.check(train(1), Attested(50.0, 0.1, 2, 1.0))


def test_neither_strength_is_taken_for_the_other(tmp_path):
    silo = Own(tmp_path)
    with pytest.raises(BudgetError, match="trains by itself, so that differential privacy is attested by it and not"):
        silo.spec_for(silo.run(PLAN), PREPARE)
    enforced = Silo(tmp_path / "other")
    with pytest.raises(BudgetError, match="is enforced and not attested"):
        enforced.spec_for(enforced.run(ATTESTED), PREPARE)
    assert silo.started == enforced.started == []
    assert enforced.run().spec_for(PREPARE, enforced.spec, DATASET, enforced.private, enforced.start).app_digest == ""
    enforced.run().check(train(1), None)  # septum did it, and nobody has to say so


def simulated(app_dir, tmp_path, strength):
    app = load_app(app_dir)
    rows = read_silos(app, app.app.resolve({}), {"north": write_rows(tmp_path / "rows.csv")})
    ref = AppRef(app.app.name, app.manifest.version, app.digest)
    return simulate(
        app, Plan("p", ref, {}, ("north",), rounds=2, privacy=Privacy(5.0, batch=16, strength=strength)), rows
    )


@pytest.mark.laws  # the real accountant
def test_the_simulator_does_it_too_and_refuses_what_a_silo_refuses(tmp_path):
    result = simulated(write_own_app(tmp_path / "own"), tmp_path, Strength.ATTESTED)
    assert tensors.decode(result.model)["weight"].tolist() == [[1.0]]
    assert result.metrics is None
    with pytest.raises(AppError, match="attested by it and not enforced") as caught:
        simulated(tmp_path / "own", tmp_path, Strength.ENFORCED)
    assert "--privacy-strength attested" in caught.value.hint
    with pytest.raises(AppError, match="enforced and not attested"):
        simulated(write_private_app(tmp_path / "declared"), tmp_path, Strength.ATTESTED)
