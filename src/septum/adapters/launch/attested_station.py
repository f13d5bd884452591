"""What does an app's own training with differential privacy make from a model, where a silo lets it ("attested")?

It stands where `Station` stands in other runs. As in `private_station`, what leaves besides the update was made without
looking at a row, or with noise: statistics of the declared ranges, the noisy number of rows, and no metric. That the
update is what the app says of it is read from its code, and from nothing else.
"""

from __future__ import annotations

from typing import TypeAlias

from septum.adapters.launch.private_station import NOTHING, PrivateStation
from septum.adapters.launch.station import Made, Part, Station, Timer
from septum.ports.launcher import Loop
from septum.protocol import payload
from septum.protocol.tensors import Tensors
from septum.sdk import harness, private_loss
from septum.sdk.app import App
from septum.sdk.attested import PrivateTraining
from septum.sdk.harness import Prepared

_NO_TENSORS: Tensors = {}
AnyStation: TypeAlias = "Station | PrivateStation | AttestedStation"


class AttestedStation:
    """An app with one silo's rows, told how to train on them."""

    def __init__(self, loop: Loop, app: App, hyper: object, prepared: Prepared, part: Part) -> None:
        self._loop, self._app, self._hyper, self._part = loop, app, hyper, part
        self._ready = harness.with_statistics(app, prepared, private_loss.summands(loop.private))

    def prepare(self, timer: Timer, *, initial: bool) -> Made:
        """Statistics of two made-up rows; if `initial`, also the app's initial model, which sees no row."""
        shape, seed = self._ready.shape, self._part.seed
        model = timer.run("prepare", lambda: harness.initial(self._app, self._hyper, shape, seed)) if initial else None
        return Made(payload.prepared_tensors(private_loss.summands(self._loop.private), model), self._loop.weight)

    def train(self, timer: Timer, round_: int, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """What the app's train adds to `model`, and what it says of it. Raises AppError where it says nothing."""
        shared, _ = payload.split_model(model)
        loop, part = self._loop, self._part
        asked = asked_for(loop)
        task = harness.Task(round_, part.seed, part.silo, state=state, privacy=asked)
        made = timer.run("train", lambda: harness.train(self._app, self._hyper, self._ready, shared, task))
        return Made(payload.update_tensors(made.update, NOTHING), loop.weight, made.state, asked.said())

    def evaluate(self, timer: Timer, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """That nothing was measured."""
        del timer, model, state
        return Made(payload.evaluation_tensors(NOTHING), 0)


def asked_for(loop: Loop) -> PrivateTraining:
    """How an app is to train by itself in one round."""
    return PrivateTraining(
        noise_multiplier=loop.noise_multiplier,
        sampling_rate=loop.sampling_rate,
        steps=loop.steps,
        clip=loop.clip,
        expected_batch=loop.expected_batch,
        learning_rate=loop.learning_rate,
    )
