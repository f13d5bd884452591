"""A silo poisons a masked run with an update that is huge, though within the range: the vote saves the model.

The app is a line through the origin. Honest silos step from w towards 1; `bad` sends +100 in the rounds it is told to.
App states are counted, so that what belongs to a model that is dropped shows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import RunFailedError
from septum.plugins.strategies import strategy_of
from septum.protocol import facts, tensors
from septum.protocol.plan import AppRef, Masking, Metric, Plan, StrategyRef, Vote
from septum.sdk.package import LoadedApp, load_app
from septum.simulate.run import SimulationResult, read_silos, simulate

MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
x = {}
ill = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
"""
APP = """
import numpy as np
from septum import App, Data, Split, hyper

app = App("line")

@app.hyper
class Hyper:
    rounds: int = hyper(4, min=1)
    bad_in: str = hyper("")

@app.data
def load(table, h):
    data = Data.of({"x": table["x"]}, table["ill"])
    return Split(data, data)

@app.initial
def initial(shape, h, rng):
    return {"w": np.zeros(1, np.float32)}

@app.train
def train(p, data, h, ctx):
    seen = ctx.state.get("seen", np.zeros(0, np.int64))
    ctx.state["seen"] = np.append(seen, ctx.round)
    bad = [int(at) for at in h.bad_in.split()]
    burnt = [at for at in seen if (at in bad and ctx.round > at + 1) or (at - 1 in bad and ctx.round > at)]
    assert not burnt, f"round {ctx.round} starts from the state of round {burnt}"
    if ctx.silo == "bad" and ctx.round in bad:
        return {"w": p["w"] - np.float32(100)}
    return {"w": p["w"] + np.float32(0.5) * (np.float32(1) - p["w"])}

@app.predict
def predict(p, data):
    return data.x[:, 0] * p["w"][0]
"""
HONEST = [(1, 1), (-1, 0), (2, 1), (-2, 0)]


@pytest.fixture
def line(tmp_path: Path) -> tuple[LoadedApp, dict[str, Path]]:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "septum.toml").write_text(MANIFEST)
    (folder / "app.py").write_text(APP)
    files = {silo: tmp_path / f"{silo}.csv" for silo in ("bad", "east", "north", "west")}
    for path in files.values():
        path.write_text("x,ill\n" + "".join(f"{x},{ill}\n" for x, ill in HONEST))
    return load_app(folder), files


def play(line: tuple[LoadedApp, dict[str, Path]], bad_in: str, seen: list[facts.Fact], **changes: object):
    app, files = line
    rounds = changes.pop("rounds", 4)
    hyper = app.app.resolve({"bad_in": bad_in, "rounds": rounds})
    values = app.app.hyper_values(hyper)
    ref = AppRef("line", "1", app.digest)
    plan = Plan(
        "v", ref, values, tuple(files), rounds=rounds, masking=Masking(max_update=100.0, max_weight=100), **changes
    )
    return simulate(app, plan, read_silos(app, hyper, files), seen.append)


def weight(result: SimulationResult) -> float:
    return float(tensors.decode(result.model)["w"][0])


def models(seen: list[facts.Fact]) -> list[tuple[int, str]]:
    return [(fact.round, fact.model.digest) for fact in seen if isinstance(fact, facts.ModelMade)]


def test_without_a_vote_one_silo_spoils_the_model(line):
    # rounds 1 and 2 give 0.5 and 0.75; in round 3 the mean update is (3 * 0.125 - 100) / 4
    result = play(line, "3", [], rounds=3)
    assert weight(result) == pytest.approx(0.75 + (3 * 0.125 - 100) / 4, abs=1e-4)
    assert result.metrics.roc_auc == 0.0


def test_with_a_vote_it_is_dropped_and_the_run_goes_on_from_the_model_before(line):
    # round 3 is poisoned, which round 4 finds out: rounds 5 and 6 are worked on from 0.75
    seen: list[facts.Fact] = []
    result = play(line, "3", seen, rounds=6, vote=Vote())
    assert weight(result) == pytest.approx(1 - 2**-4, abs=1e-5)
    assert result.metrics.roc_auc == 1.0
    chain = models(seen)
    assert [round_ for round_, _ in chain] == list(range(7))
    assert chain[4][1] == chain[2][1] != chain[3][1]
    down = [fact for fact in seen if isinstance(fact, facts.ModelMeasured) and fact.votes and fact.votes.down]
    assert [(fact.round, fact.votes.accepts, fact.votes.voters) for fact in down] == [(3, 0, 4)]


def test_every_later_model_has_its_votes(line):
    seen: list[facts.Fact] = []
    play(line, "", seen, vote=Vote(metric=Metric.ROC_AUC))
    votes = [fact.votes for fact in seen if isinstance(fact, facts.ModelMeasured)]
    # no model comes before the first; at w = 0 all scores are equal, so ROC-AUC goes from 0.5 to 1 and stays
    assert votes == [facts.Votes(0, 0), *[facts.Votes(4, 4)] * 4]


def test_when_the_last_round_is_poisoned_the_model_before_it_is_the_result(line):
    result = play(line, "4", [], rounds=4, vote=Vote())
    assert weight(result) == pytest.approx(1 - 2**-3, abs=1e-5)
    assert result.reason == "the last model was voted down (0 of 4 silos accept it): the one before it is kept"
    assert result.metrics.roc_auc == 1.0
    assert result.silos == {}


def test_a_silo_that_poisons_every_round_ends_the_run_and_not_the_model(line):
    seen: list[facts.Fact] = []
    with pytest.raises(RunFailedError, match=r"2 models in a row were voted down, .* 0 of 4 silos accept it"):
        play(line, "2 4 6 8", seen, rounds=20, vote=Vote(max_burnt=2))
    first, last = models(seen)[1], models(seen)[-1]
    assert last == (5, first[1])


def test_the_server_optimizers_state_is_put_back_with_the_model(line):
    """As if the two rounds had not been: the same model as of a run that was never poisoned."""
    made = strategy_of(StrategyRef("fedadam", {"lr": 0.05}))
    strategy = StrategyRef(made.name, dict(made.settings))
    rule = Vote(metric=Metric.ROC_AUC)
    poisoned = play(line, "2", [], rounds=5, vote=rule, strategy=strategy)
    clean = play(line, "", [], rounds=3, vote=rule, strategy=strategy)
    assert weight(poisoned) == weight(clean) != 0
