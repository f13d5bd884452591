"""What does an app do whose own loop trains with differential privacy? It is told how, and says what it did.

`context.privacy` is there in runs of strength "attested". Nobody but a reader of the app's code can know whether what
is said is true; that it is not more than was paid for is checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from septum.errors import AppError


@dataclass(frozen=True, slots=True)
class Attested:
    """What an app says that it did in one round.

    noise_multiplier  standard deviation of the noise on a sum of gradients / `clip`
    sampling_rate     probability with which each train row was drawn in a step, by itself
    steps             noisy steps
    clip              largest L2 norm of one row's gradient
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    clip: float


@dataclass(frozen=True, slots=True)
class PrivateTraining:
    """How to train in this round: as in `Attested`, and what a sum is divided by. Then say what was done, once.

    >>> asked = PrivateTraining(1.1, 0.1, 3, 1.0, expected_batch=20.0, learning_rate=0.2)
    >>> asked.attest(noise_multiplier=1.1, sampling_rate=0.1, steps=3, clip=1.0)
    >>> asked.said().steps
    3
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    clip: float
    expected_batch: float
    learning_rate: float
    _said: list[Attested] = field(default_factory=list, repr=False)

    def attest(self, *, noise_multiplier: float, sampling_rate: float, steps: int, clip: float) -> None:
        """Say what was done. Raises AppError for more than was asked for."""
        self._said.append(Attested(float(noise_multiplier), float(sampling_rate), int(steps), float(clip)))
        self.said()

    def said(self) -> Attested:
        """What the app said. Raises AppError where it said nothing, several things, or more than was asked for."""
        if len(self._said) != 1:
            raise AppError(
                f"the app's train said {len(self._said)} times how it trained with differential privacy, and once it"
                " has to",
                hint="call context.privacy.attest, or train with septum.sdk.torch_private",
            )
        check_paid(self._said[0], self.noise_multiplier, self.sampling_rate, self.steps, self.clip)
        return self._said[0]


def check_paid(said: Attested, noise_multiplier: float, sampling_rate: float, steps: int, clip: float) -> None:
    """Whether what was done costs no more than what was asked for. Raises AppError."""
    enough_noise = math.isfinite(said.noise_multiplier) and said.noise_multiplier >= noise_multiplier
    held = (
        ("noise_multiplier", said.noise_multiplier, noise_multiplier, enough_noise),
        ("sampling_rate", said.sampling_rate, sampling_rate, 0 <= said.sampling_rate <= sampling_rate),
        ("steps", said.steps, steps, 0 <= said.steps <= steps),
        ("clip", said.clip, clip, 0 < said.clip <= clip),
    )
    more = [f"{name} {told!r} where {asked!r} is paid for" for name, told, asked, fits in held if not fits]
    if more:
        raise AppError(f"the app trained with less privacy than was paid for: {', '.join(more)}")
