"""A strategy: FedAvg with a rate."""

import numpy as np

from septum.algorithms.rule import Rule, Setting


def step(settings, base, delta, state):
    """x_{t+1} = x_t + rate * Delta_t."""
    del state
    return base + np.float32(settings["rate"]) * delta, {}


RULE = Rule(name="another-rule", step=step, settings=(Setting("rate", 1.0, above=0.0),))
