"""What does a coordinator learn that chooses the model? Records one by one, also from a masked sum, but not whose.

Fowl et al. 2022 ("Robbing the Fed") and Boenisch et al. 2021: give the first layer units that are each open for a
narrow range of one projection, and each unit's update is divided by its bias as in inversion.py. Most records are alone
in some unit, however many silos are summed. Here a unit opens where the slope of tanh is, and the units' outputs cancel
in turn, so that no label is certain and every record's gradient counts.

Logistic regression has no such layer, but a steep model parts the records at one place of the projection, and the sums
of two rounds with models that part them at neighbouring places differ by the records in between. The models differ, so
no journal sees it.

Secure aggregation hides who sent what, not what was sent: this is what record-level differential privacy is for, and
here it is tried against it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from tests.attacks.inversion import error
from tests.attacks.rows import Row, Verdict
from tests.attacks.victims import FEATURES, SCALE, SILOS, records, write_files
from tests.protocol.masking import Store, masked, trained, unmasker

from septum import losses
from septum.algorithms.strategy import strategy
from septum.privacy.dp_sgd import Settings, noisy_gradient
from septum.protocol import payload, tensors
from septum.protocol.messages import Stage
from septum.sdk import harness
from septum.sdk.package import load_app
from septum.simulate.run import read_silos

ROWS, TRAPS, STEEP = 8, 512, 150.0  # records in each silo; units of the first layer; how narrowly they open
READ = 0.1  # a record counts as read below this error
TEST = "test_trapping"

Model = Mapping[str, np.ndarray]


PLACES = np.linspace(-3, 3, TRAPS)  # a projection of standardised measurements is a standard normal number


def direction() -> np.ndarray:
    """One that nobody could have foreseen."""
    towards = np.random.default_rng(7).normal(size=FEATURES)
    return towards / np.linalg.norm(towards)


def trap() -> dict[str, np.ndarray]:
    """The model that such a coordinator hands out: of the layout that the app's own would have."""
    return {
        "layers.0.weight": np.tile(STEEP * direction(), (TRAPS, 1)).astype(np.float32),
        "layers.0.bias": (-STEEP * PLACES).astype(np.float32),
        "layers.1.weight": np.resize([1.0, -1.0], (1, TRAPS)).astype(np.float32),
        "layers.1.bias": np.zeros(1, np.float32),
    }


def partings() -> list[dict[str, np.ndarray]]:
    """Models of logistic regression for as many rounds as places, each of which parts the records at one of them."""
    steep = 10 * STEEP * direction()[None].astype(np.float32)
    return [{"weight": steep, "bias": np.array([-10 * STEEP * place], np.float32)} for place in PLACES[::4]]


@contextmanager
def hospitals(hidden: int) -> Iterator[Callable[[Model], dict[str, np.ndarray]]]:
    """What the coordinator learns of a round that starts from a model: the mean of masked updates.

    The silos' own code trains, the coordinator's own code sums, with real masks and fixed-point numbers.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, files = write_files(Path(name), ROWS)
        app = load_app(folder)
        hyper = app.app.resolve({"rounds": 1, "rows": ROWS, "hidden": hidden})
        rows = read_silos(app, hyper, files)

        def round_of(model: Model) -> dict[str, np.ndarray]:
            made = [harness.train(app.app, hyper, rows[silo], model, harness.Task(1, 5, silo)) for silo in SILOS]
            return summed(model, [one.update for one in made])

        yield round_of


def summed(model: Model, made: Sequence[Model]) -> dict[str, np.ndarray]:
    store = Store()
    base = store.keep(tensors.encode(payload.model_tensors(model, {})))
    sent = masked(Stage.TRAIN, [trained(update) for update in made], [ROWS] * len(made), SCALE)
    done = store.combine(Stage.TRAIN, sent, strategy("fedavg"), SCALE, base=base, unmask=unmasker(len(made)))
    assert done.model is not None
    new = tensors.decode(store.files[done.model.digest])
    return {name: new[name].astype(np.float64) - tensor for name, tensor in model.items()}


def private() -> dict[str, np.ndarray]:
    """The same four silos' sum, each silo's gradient made private: clip 1, noise 1, every record in the step."""
    settings = Settings(clip=1.0, noise_multiplier=1.0, sampling_rate=1.0, expected_batch=ROWS)
    random = np.random.default_rng(11).bytes
    made = []
    for silo in SILOS:
        data = records(silo, ROWS)
        made.append(noisy_gradient(losses.perceptron, trap(), data.x, data.y, settings, random))
    return {name: np.mean([one[name] for one in made], axis=0) for name in made[0]}


def read(weight: np.ndarray, bias: np.ndarray) -> int:
    """How many of all silos' records are among the ratios of these changes of weights (units, inputs) and biases."""
    with np.errstate(divide="ignore", invalid="ignore"):
        guesses = [guess for guess in weight / bias[:, None] if np.isfinite(guess).all()]
    wanted = [record for silo in SILOS for record in records(silo, ROWS).x.astype(np.float64)]
    return sum(min(error(guess, record) for guess in guesses) < READ for record in wanted)


@cache
def found() -> dict[str, int]:
    """How many of the four silos' 32 records were read from what."""
    with hospitals(TRAPS) as round_of:
        one = round_of(trap())
    with hospitals(0) as round_of:
        many = [round_of(model) for model in partings()]
    noisy = private()
    weights, biases = (np.diff([np.ravel(total[name]) for total in many], axis=0) for name in ("weight", "bias"))
    return {
        "network": read(one["layers.0.weight"], one["layers.0.bias"]),
        "logistic": read(weights, biases[:, 0]),
        "private": read(noisy["layers.0.weight"], noisy["layers.0.bias"]),
    }


def rows() -> list[Row]:
    total = len(SILOS) * ROWS
    held = {
        "network": f"the masked sum over four silos with {ROWS} records each, of a network that it chose",
        "logistic": f"{len(partings())} rounds' masked sums over the same silos, of logistic models that it chose",
        "private": "the sum of the first of these, by DP-SGD with clip 1 and noise 1 in each silo",
    }
    return [
        Row(
            "a model made to trap records",
            held[name],
            Verdict.SUCCEEDS if count else Verdict.FAILS,
            f"{count} of {total} records, not whose" if count else f"none of {total} records",
            TEST,
        )
        for name, count in found().items()
    ]
