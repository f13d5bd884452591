"""What does septum's own training make from a model, in a run with differential privacy? No code of an app is here.

It stands where `Station` stands in other runs. What leaves: noisy gradient steps, a number of rows with noise, and
statistics and an initial model that were made without looking at a row. A metric, if the plan asks for one: of the last
model, on test rows, with noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from septum.adapters.launch.private_rows import TEST_X, TEST_Y, X, Y
from septum.adapters.launch.station import Made, Part, Timer
from septum.algorithms.evaluation import Evaluation
from septum.errors import TensorError
from septum.ports.launcher import Loop
from septum.privacy import dp_sgd
from septum.privacy.accounting import Gaussian
from septum.privacy.noise import RandomBytes
from septum.protocol import payload
from septum.protocol.contents import NOISY
from septum.protocol.noisy_metrics import count_with_noise
from septum.protocol.tensors import Array, Tensors
from septum.sdk import private_loss
from septum.sdk.data import Float32, Float64

NOTHING = Evaluation(0, 0, 0.0, None, np.empty((0, 3), np.int64))
_NO_TENSORS: Tensors = {}


class PrivateStation:
    """The rows that an app made, and how they are trained on. `random` is `os.urandom`, but for tests.

    Raises TensorError for rows that do not fit what is declared.
    """

    def __init__(self, loop: Loop, rows: Mapping[str, Array], part: Part, random: RandomBytes) -> None:
        self._loop, self._part, self._random = loop, part, random
        self._x, self._y = _checked(loop, rows, X, Y)
        self._rows, self._declared = rows, _shapes(private_loss.initial(loop.private, seed=0))
        self._settings = dp_sgd.Settings(loop.clip, loop.noise_multiplier, loop.sampling_rate, loop.expected_batch)

    def prepare(self, timer: Timer, *, initial: bool) -> Made:
        """Statistics of two made-up rows; if `initial`, also the initial model. Neither depends on the silo's rows."""
        private = self._loop.private
        model = timer.run("prepare", lambda: private_loss.initial(private, self._part.seed)) if initial else None
        return Made(payload.prepared_tensors(private_loss.summands(private), model), self._loop.weight)

    def train(self, timer: Timer, round_: int, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """What one round of DP-SGD adds to `model`. Done again it gives another answer, and costs again."""
        del round_, state  # a plain loop: each round starts from the model alone
        base, loop = self._parameters(model), self._loop
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
        """That nothing was measured; or counts with noise. Done again they are others, and cost again."""
        del state
        leaving = payload.evaluation_tensors(NOTHING)
        if self._loop.metrics_noise:
            parameters = self._parameters(model)
            leaving[NOISY] = timer.run("evaluate", lambda: self._measured(parameters))
        return Made(leaving, 0)

    def _parameters(self, model: Tensors) -> Mapping[str, Float32]:
        """Those of a model, as declared. With others a step would fail where it drew a row, and tell that by failing.

        Raises TensorError.
        """
        parameters, _ = payload.split_model(model)
        if _shapes(parameters) != self._declared:
            raise TensorError(f"the model that came has the tensors {_shapes(parameters)}, not {self._declared}")
        return parameters

    def _measured(self, parameters: Mapping[str, Float32]) -> Float64:
        """Rows pass one at a time: in a batch, the last bits of a logit depend on who else is in it."""
        private = self._loop.private
        x, y = _checked(self._loop, self._rows, TEST_X, TEST_Y)
        one = np.empty((1, x.shape[1]), np.float32)  # in one place: how a row is aligned follows from those before it

        def logit(row: int) -> float:
            one[0] = x[row]
            with np.errstate(all="ignore"):  # the model may be anything
                return float(private_loss.logits(private, parameters, one)[0])

        return count_with_noise(logit, y, Gaussian(self._loop.metrics_noise), self._random)


def _shapes(parameters: Mapping[str, Float32]) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in sorted(parameters.items())}


def _checked(loop: Loop, rows: Mapping[str, Array], of_x: str, of_y: str) -> tuple[Float32, Float32]:
    """The scaled rows and their labels."""
    x, y = rows.get(of_x), rows.get(of_y)
    width = len(loop.private.features)
    if x is None or y is None or x.dtype != np.float32 or y.dtype != np.float32:
        raise TensorError(
            f"the rows that an app made hold {', '.join(rows) or 'nothing'}; {of_x} and {of_y} are needed"
        )
    if x.ndim != 2 or x.shape != (len(y), width) or y.ndim != 1:
        raise TensorError(f"the rows that an app made have the shapes {x.shape} and {y.shape}, {width} features each")
    return private_loss.scaled(loop.private, x.astype(np.float32)), y.astype(np.float32)
