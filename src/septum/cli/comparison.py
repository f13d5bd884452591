"""How far is the federation from what each silo reaches alone, and from pooling all records in one place?

Both baselines need every silo's records in one process. No federation can do that; the demo can, because the records
are public and lie on one machine. It does so outside the coordinator and the silos, after the run, and without privacy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from septum.algorithms.evaluation import Evaluation
from septum.protocol import combine, payload, tensors
from septum.protocol.facts import ModelMeasured
from septum.protocol.plan import Plan, StrategyRef
from septum.sdk import harness
from septum.sdk.harness import Prepared
from septum.sdk.package import LoadedApp
from septum.simulate.run import simulate

EVERYBODY = "pooled"


def alone(app: LoadedApp, plan: Plan, rows: Mapping[str, Prepared]) -> ModelMeasured:
    """Each silo trains on its own train rows for as many rounds, and is measured on its own test rows."""
    models = {silo: _train(app, plan, silo, prepared) for silo, prepared in rows.items()}
    return _measure(app, plan, rows, models)


def together(app: LoadedApp, plan: Plan, rows: Mapping[str, Prepared]) -> ModelMeasured:
    """One model trained on all train rows in one place: the upper bound."""
    model = _train(app, plan, EVERYBODY, harness.pool([rows[silo] for silo in sorted(rows)]))
    return _measure(app, plan, rows, dict.fromkeys(rows, model))


def of_model(app: LoadedApp, plan: Plan, rows: Mapping[str, Prepared], model: bytes) -> ModelMeasured:
    """How one model does on each silo's test rows, which a masked run tells nobody."""
    return _measure(app, plan, rows, dict.fromkeys(rows, model))


def _train(app: LoadedApp, plan: Plan, silo: str, prepared: Prepared) -> bytes:
    single = replace(
        plan,
        silos=(silo,),
        quorum=1,
        strategy=StrategyRef(),
        early_stopping=None,
        clip_norm=None,
        masking=None,
        privacy=None,
    )
    return simulate(app, single, {silo: prepared}).model


def _measure(app: LoadedApp, plan: Plan, rows: Mapping[str, Prepared], models: Mapping[str, bytes]) -> ModelMeasured:
    evaluations: dict[str, Evaluation] = {}
    for silo in sorted(rows):
        parameters, statistics = payload.split_model(tensors.decode(models[silo]))
        scaled = harness.with_statistics(app.app, rows[silo], statistics)
        evaluations[silo] = harness.evaluate(app.app, scaled, parameters)
    return combine.measured(plan.rounds, evaluations)
