"""What is asked before a run with differential privacy begins: of a ledger that nothing was spent of."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from tests.silo.private_app import write_private_app, write_rows
from tests.silo.small_app import approved

from septum.privacy.ledger import Budget
from septum.protocol.plan import AppRef, Plan
from septum.protocol.privacy import Privacy
from septum.sdk.layers import Linear
from septum.sdk.package import read_manifest
from septum.sdk.private_loss import PrivateLoss
from septum.silo.log import Log
from septum.silo.private_budget import affordable

NETWORK = PrivateLoss("network", ("x",), (0.0,), (10.0,), layers=(Linear(1),))


def concentrated(used, delta):
    del delta
    return sum(1 / one.noise_multiplier**2 for one in used)


@pytest.fixture
def ask(tmp_path):
    app_dir = write_private_app(tmp_path / "app")
    app = replace(approved(app_dir, write_rows(tmp_path / "rows.csv")), trains=read_manifest(app_dir).trains)
    plan = Plan("p", AppRef("small", "1", app.digest), {}, ("north", "south"), rounds=2, privacy=Privacy(5.0))

    def asked(trains, plan=plan):
        return affordable(
            tmp_path, Budget(20.0, 1e-5), concentrated, Log(silo="north"), plan, replace(app, trains=trains)
        )

    asked.app, asked.plan = app, plan
    return asked


def test_a_network_needs_torch_where_it_is_trained_and_nothing_is_begun_without_it(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    denied = ask(NETWORK)
    assert denied.rule == "privacy"
    assert denied.reason == "the network of app 'small' is trained by torch; in this silo: pip install 'septum[torch]'"
    assert ask(ask.app.trains) is None  # numpy's losses do without
    assert ask(NETWORK, replace(ask.plan, privacy=None)) is None  # and so does septum in a run without privacy


def test_with_torch_it_is_a_matter_of_the_budget(ask):
    pytest.importorskip("torch")
    assert ask(NETWORK) is None
