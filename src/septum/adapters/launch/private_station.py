"""What does septum's own training make from a model, in a run with differential privacy? No code of an app is here.

It stands where `Station` stands in other runs. What leaves: noisy gradient steps, a number of rows with noise, and
statistics and an initial model that were made without looking at a row. No metric: nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from septum.adapters.launch.private_rows import X, Y
from septum.adapters.launch.station import Made, Part, Timer
from septum.algorithms.evaluation import Evaluation
from septum.errors import TensorError
from septum.ports.launcher import Loop
from septum.privacy import dp_sgd
from septum.privacy.noise import RandomBytes
from septum.protocol import payload
from septum.protocol.tensors import Array, Tensors
from septum.sdk import private_loss
from septum.sdk.data import Float32

NOTHING = Evaluation(0, 0, 0.0, None, np.empty((0, 3), np.int64))
_NO_TENSORS: Tensors = {}


class PrivateStation:
    """The rows that an app made, and how they are trained on. `random` is `os.urandom`, but for tests.

    Raises TensorError for rows that do not fit what is declared.
    """

    def __init__(self, loop: Loop, rows: Mapping[str, Array], part: Part, random: RandomBytes) -> None:
        self._loop, self._part, self._random = loop, part, random
        self._x, self._y = _checked(loop, rows)
        self._settings = dp_sgd.Settings(loop.clip, loop.noise_multiplier, loop.sampling_rate, loop.expected_batch)

    def prepare(self, timer: Timer, *, initial: bool) -> Made:
        """Statistics of two made-up rows; if `initial`, also the initial model. Neither depends on the silo's rows."""
        private = self._loop.private
        model = timer.run("prepare", lambda: private_loss.initial(private, self._part.seed)) if initial else None
        return Made(payload.prepared_tensors(private_loss.summands(private), model), self._loop.weight)

    def train(self, timer: Timer, round_: int, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """What one round of DP-SGD adds to `model`. Done again it gives another answer, and costs again."""
        del round_, state  # a plain loop: each round starts from the model alone
        base, _ = payload.split_model(model)
        loop = self._loop
        new = timer.run(
            "train",
            lambda: dp_sgd.train(
                private_loss.loss_of(loop.private),
                base,
                self._x,
                self._y,
                self._settings,
                steps=loop.steps,
                learning_rate=loop.learning_rate,
                random=self._random,
                slots=loop.private.slots,
            ),
        )
        update: Mapping[str, Float32] = {name: new[name] - base[name] for name in base}
        return Made(payload.update_tensors(update, NOTHING), loop.weight)

    def evaluate(self, timer: Timer, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """That nothing was measured."""
        del timer, model, state
        return Made(payload.evaluation_tensors(NOTHING), 0)


def _checked(loop: Loop, rows: Mapping[str, Array]) -> tuple[Float32, Float32]:
    """The scaled rows and their labels."""
    x, y = rows.get(X), rows.get(Y)
    width = len(loop.private.features)
    if x is None or y is None or x.dtype != np.float32 or y.dtype != np.float32:
        raise TensorError(f"the rows that an app made hold {', '.join(rows) or 'nothing'}; {X} and {Y} are needed")
    if x.ndim != 2 or x.shape != (len(y), width) or y.ndim != 1:
        raise TensorError(f"the rows that an app made have the shapes {x.shape} and {y.shape}, {width} features each")
    return private_loss.scaled(loop.private, x.astype(np.float32)), y.astype(np.float32)
