"""How does a virtual silo train with differential privacy? As a silo does, without a ledger: there is no budget here.

The noise is the operating system's here too, so that two simulations of one plan give two models.
"""

from __future__ import annotations

import os

from septum.adapters.accountant import epsilon_of
from septum.adapters.launch.attested_station import AttestedStation
from septum.adapters.launch.private_rows import rows_of
from septum.adapters.launch.private_station import PrivateStation
from septum.adapters.launch.station import Part
from septum.errors import AppError
from septum.ports.launcher import Loop
from septum.privacy import spending
from septum.privacy.wanted import count_noise
from septum.protocol.plan import Plan
from septum.protocol.privacy import ANOTHER_STRENGTH, Strength
from septum.sdk import private_loss
from septum.sdk.harness import Prepared
from septum.sdk.package import LoadedApp


def station(
    app: LoadedApp, hyper: object, plan: Plan, prepared: Prepared, part: Part
) -> PrivateStation | AttestedStation:
    """The trusted loop over one silo's rows, or the app's own. Raises AppError for an app that declares neither."""
    private, wanted = app.manifest.trains, plan.privacy
    assert wanted is not None
    unfit = private_loss.unfit(app.app.name, private, attested=wanted.strength is Strength.ATTESTED)
    if unfit or private is None:
        raise AppError(unfit, hint="write [privacy] in septum.toml" if private is None else ANOTHER_STRENGTH)
    rows = rows_of(app.app, hyper, prepared, private)
    count = spending.noisy_count(len(prepared.split.train), count_noise(wanted.target_epsilon), os.urandom)
    if plan.masking is not None:
        count = min(count, plan.masking.max_weight)
    spent = spending.derive(wanted.wanted(plan.rounds), count, epsilon_of)
    loop = Loop(
        private=private,
        clip=spent.settings.clip,
        noise_multiplier=spent.settings.noise_multiplier,
        sampling_rate=spent.settings.sampling_rate,
        expected_batch=spent.settings.expected_batch,
        steps=wanted.steps,
        learning_rate=wanted.learning_rate,
        weight=spent.rows,
        metrics_noise=0.0 if wanted.metrics is None else wanted.metrics.noise_multiplier,
    )
    if private.by_app:
        return AttestedStation(loop, app.app, hyper, prepared, part)
    return PrivateStation(loop, rows, part, os.urandom)
