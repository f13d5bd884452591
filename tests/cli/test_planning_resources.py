"""What a run takes in each silo: as the app's manifest says, unless the command line says otherwise."""

from __future__ import annotations

from septum.cli.options import RunOptions
from septum.cli.planning import Described, make_plan
from septum.protocol.plan import Plan
from septum.protocol.resources import Resources
from septum.sdk.hyper import HyperField


def planned(manifest: dict[str, float], **options: object) -> Plan:
    app = Described("heart", "1.0.0", "sha256:aa", (HyperField("rounds", int, 3),), {}, resources=manifest)
    return make_plan(app, ("a", "b", "c"), RunOptions(**options))


def test_a_plan_says_what_the_manifest_says_and_nothing_where_that_says_nothing():
    assert planned({"cpus": 2, "gpus": 1}).resources == Resources(2.0, 0, 1)
    assert planned({}).resources is None


def test_options_override_the_manifest_also_with_nothing():
    assert planned({"cpus": 2, "gpus": 1}, gpus=0, memory_mb=100).resources == Resources(2.0, 100, 0)
    assert planned({"cpus": 2}, cpus=0.0).resources is None
