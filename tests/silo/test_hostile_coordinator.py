"""Whatever a coordinator sends, a silo's own rules hold: each is tried by one that takes no for no answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.channel.servers import SmallCoordinator, SmallServer, Storage, running
from tests.silo.small_app import admission, allowing, approved, granted, write_app, write_data

from septum.adapters.accountant import epsilon_of
from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.roster_keys import public_text, sign
from septum.adapters.launch.inline import InlineLauncher
from septum.errors import DataError
from septum.ports.channel import Channel
from septum.ports.launcher import WorkerLimits
from septum.privacy.ledger import Budget
from septum.protocol.messages import Failure, Invitation, Join, Report, Stage
from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.query import Noise, Query, QueryColumn
from septum.protocol.resources import Capacity, Resources
from septum.protocol.roster import Roster, SignedRoster, write_roster
from septum.sdk.private_loss import PrivateLoss
from septum.silo.admission import Admission
from septum.silo.agent import Agent
from septum.silo.config import SiloConfig
from septum.silo.consent import ApprovedApp
from septum.silo.egress import WatchedChannel
from septum.silo.library import Folders
from septum.silo.log import Log
from septum.silo.policy import Policy
from septum.silo.private_budget import affordable
from septum.silo.roster import Rosters
from septum.silo.roster_rule import RosterRule
from septum.silo.taking_part import Tools
from septum.testing.hostile import HostileCoordinator, addresses_past

pytestmark = pytest.mark.served

OTHER = public_text(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"1"))
LOSS = PrivateLoss("logistic", ("x",), (0.0,), (1.0,))
ATTESTED = Privacy(1.0, strength=Strength.ATTESTED)
KEY = public_text(Ed25519PrivateKey.from_private_bytes(bytes(32)))
THIRD = public_text(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"2"))


@dataclass(frozen=True)
class Try:
    """A rule, what the silo has it set to, and how a coordinator tries to get past it."""

    policy: Policy = field(default_factory=allowing)
    plan: Mapping[str, object] = field(default_factory=dict)
    app: Mapping[str, object] = field(default_factory=dict)
    rows: int = 6
    roster: Roster | None = None


ASKS = {"query": Query((QueryColumn("x", cuts=(1.0, 2.0)),)), "masking": Masking(), "rounds": 1}
BOTH = Roster("f", 1, 1, {"ann": KEY}, {"north": OTHER, "south": THIRD})

TRIES = {
    "silo.name": Try(plan={"silos": ("east", "west")}),
    "apps": Try(plan={"app": AppRef("another", "1", "sha256:" + "0" * 64)}),
    "apps.small.digest": Try(plan={"app": AppRef("small", "1", "sha256:" + "0" * 64)}),
    "apps.small.private": Try(app={"private": ("w",)}),
    "policy.min_cohort": Try(plan={"quorum": 1}),
    "policy.require_masking": Try(allowing(require_masking=True)),
    "policy.allow_silo_models": Try(plan={"keep_silo_models": True}),
    "policy.max_rounds": Try(allowing(max_rounds=10), {"rounds": 11}),
    "policy.strategies": Try(allowing(strategies=("fedavg",)), {"strategy": StrategyRef("fedadam")}),
    "policy.folders": Try(allowing(folders=False)),
    "policy.require_signature": Try(allowing(require_signature=True), app={"packaged": True}),
    "policy.columns": Try(allowing(columns=("y",))),
    "policy.releases": Try(allowing(releases=("rows",))),
    "leaves.masked": Try(app={"masked": ("parameters",)}),
    "policy.min_rows": Try(allowing(min_rows=7)),
    "policy.require_privacy": Try(allowing(require_privacy=True)),
    "policy.privacy_strength": Try(plan={"privacy": ATTESTED}, app={"trains": replace(LOSS, loss="own")}),
    "policy.max_epsilon": Try(allowing(max_epsilon=1.0), {"privacy": Privacy(2.0)}, {"trains": LOSS}),
    "policy.max_delta": Try(allowing(max_delta=1e-4), {"privacy": Privacy(1.0, delta=1e-3)}, {"trains": LOSS}),
    "policy.epsilon_budget": Try(
        allowing(epsilon_budget=1.0, max_epsilon=5.0), {"privacy": Privacy(5.0)}, {"trains": LOSS}
    ),
    "privacy": Try(plan={"privacy": Privacy(1.0)}),
    "policy.queries": Try(plan=ASKS, roster=BOTH),
    "policy.require_noise": Try(allowing(queries=("small",), require_noise=True), ASKS, roster=BOTH),
    "policy.min_cell": Try(allowing(queries=("small",), min_cell=6), ASKS, roster=BOTH),
    "query": Try(
        allowing(queries=("small",)),
        {**ASKS, "query": Query((QueryColumn("x", unit="mm", cuts=(1.0,)),))},
        roster=BOTH,
    ),
    "policy.min_sandbox": Try(allowing(min_sandbox=2)),
    "roster": Try(roster=Roster("f", 1, 1, {"ann": KEY}, {"north": OTHER})),
    "policy.require_roster": Try(allowing(require_roster=True)),
    "data": Try(rows=0),
    "capacity": Try(plan={"resources": Resources(gpus=2)}),
}
# What a silo's line to the coordinator is asked to do, over real TLS, once the run was let in.
TRIED_ON_THE_LINE = {"policy.egress_hosts": addresses_past}
LOCAL = {
    "signers",
    "hours",
    "roster",
    "send_error_texts",
    "budget_delta",  # at which policy.epsilon_budget holds
    "keep_models",
    "tell_rows",
    "tell_dataset",
    "tell_budget_below",
    "logs",
    "system_every_s",
    "tracking_hosts",
    "traces",
}  # these forbid no run


def test_every_rule_is_tried():
    rules = {f"policy.{rule.name}" for rule in fields(Policy) if rule.name not in LOCAL}
    others = {
        "privacy",
        "query",
        "silo.name",
        "roster",
        "apps",
        "apps.small.digest",
        "apps.small.private",
        "leaves.masked",
        "data",
        "capacity",
    }
    assert rules | others == {
        *TRIES,
        *TRIED_ON_THE_LINE,
    }


class Counting(InlineLauncher):
    """Counts the workers that were started."""

    started = 0

    def start(self, spec, limits):
        self.started += 1
        return super().start(spec, limits)


@dataclass(frozen=True)
class Line:
    """A silo's real line to a coordinator whose models are elsewhere; it may go to one of two other hosts."""

    server: SmallServer
    allowed: Storage
    other: Storage
    channel: HttpsChannel


@pytest.fixture
def line(tmp_path, tmp_path_factory):
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    (tmp_path / "coordinator").mkdir()
    service = SmallCoordinator(tmp_path / "coordinator")
    server, *others = (kind(service, tmp_path_factory.mktemp("tls")) for kind in (SmallServer, Storage, Storage))
    server.silos["north"] = public_bytes(key)
    bundle = tmp_path / "extra.pem"
    bundle.write_bytes(b"".join(other.ca_pem for other in others))
    channel = HttpsChannel(
        server.url(),
        Ed25519Signer("north", key),
        ca_file=server.certificate.ca_path,
        extra_ca=bundle,
        egress_hosts=(others[0].rule,),
    )
    with running(server), running(others[0]), running(others[1]):
        yield Line(server, *others, channel)
        channel.close()
        for one in (server, *others):
            one.hang_up()


@pytest.fixture
def silo(tmp_path):
    return Silo(tmp_path)


class Silo:
    """A real agent with its rules, and a hostile coordinator at the other end."""

    def __init__(self, folder):
        self.folder = folder
        self.app = approved(write_app(folder / "app"), write_data(folder / "data.csv"))
        self.plan = Plan("p", AppRef("small", "1", self.app.digest), {}, ("north", "south"), rounds=2)
        self.launcher = Counting()

    def meets(self, attempt: Try, *invitations: Invitation, models: Channel | None = None) -> HostileCoordinator:
        app = replace(self.app, **(attempt.app))
        stop = threading.Event()
        hostile = HostileCoordinator(invitations or [Invitation("r1", self.asked(attempt))], stop.set, models)
        tools = Tools(
            WatchedChannel(hostile, Log(silo="north")),
            self.launcher,
            WorkerLimits(),
            stop,
            lambda: 0.0,
            Log(silo="north"),
        )
        agent = Agent("north", self.admission(attempt, app).admit, self.folder / "runs", Capacity(1), tools)
        thread = threading.Thread(target=agent.serve, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        agent.shut_down()
        return hostile

    def asked(self, attempt: Try) -> Plan:
        return replace(self.plan, **(attempt.plan))

    def admission(self, attempt: Try, app: ApprovedApp) -> Admission:
        def rows(app: ApprovedApp, _):
            if not attempt.rows:
                raise DataError("column 'x': 3 values are out of range")
            return replace(granted(app).table, rows=attempt.rows)

        made = admission(self.folder, app, attempt.policy, table=rows)
        return replace(
            made,
            library=Folders({"small": app}),
            roster=self.roster_rule(attempt).check,
            affordable=self.purse(attempt),
            capacity=Capacity(1, gpus=1),
        )

    def purse(self, attempt: Try):
        """A ledger of which nothing was spent, with the rules' budget."""
        budget = Budget(attempt.policy.epsilon_budget, attempt.policy.budget_delta)
        return partial(affordable, self.folder, budget, epsilon_of, Log(silo="north"))

    def roster_rule(self, attempt: Try) -> RosterRule:
        """A silo that pinned the roster, and a coordinator that has none."""
        rosters = Rosters(self.folder)
        if attempt.roster is not None and rosters.pinned() is None:
            key = Ed25519PrivateKey.from_private_bytes(bytes(32))
            signed = sign(SignedRoster(attempt.roster), key)
            rosters.approve(signed.roster.digest, write_roster(signed))
        config = SiloConfig("north", "https://h:1", policy=attempt.policy)
        return RosterRule(config, rosters, OTHER, lambda _: None, Log(silo="north"))


@pytest.mark.parametrize("rule", TRIES)
def test_a_run_that_breaks_a_rule_gets_nothing_but_a_refusal_by_its_name(silo, caplog, rule):
    with caplog.at_level(logging.INFO, "septum.silo"):
        hostile = silo.meets(TRIES[rule])
    assert hostile.refused_by("r1") == rule
    assert silo.launcher.started == 0
    assert not (silo.folder / "receipts.jsonl").exists()
    denied = [record.septum_fields for record in caplog.records if record.message == "consent_denied"]
    assert {(entry["rule"], entry["run_id"]) for entry in denied} == {(rule, "r1")}


def test_the_same_run_without_the_breach_is_let_in(silo):
    """Or the tests above would pass with a silo that refuses everything."""
    hostile = silo.meets(Try())
    assert hostile.refused_by("r1") == ""
    assert any(isinstance(message, Join) for _, message in hostile.given)
    assert silo.launcher.started > 0


@pytest.mark.parametrize("number", range(len(addresses_past("a:1", "b:1"))))
def test_a_model_is_not_fetched_where_the_rules_do_not_let_the_silo_go(silo, line, caplog, number):
    server, allowed, other = line.server, line.allowed, line.other
    location = TRIED_ON_THE_LINE["policy.egress_hosts"](allowed.rule, other.rule)[number]
    server.scripts.extend([allowed.redirect(307, location)] * 20)
    with caplog.at_level(logging.INFO, "septum.silo"):
        hostile = silo.meets(Try(), models=line.channel)
    of_plan = [message for _, message in hostile.given if isinstance(message, Failure) and message.round <= 2]
    failures = [message for message in of_plan if message.stage is not Stage.PREPARE]
    assert failures
    assert {failure.reason.partition(":")[0] for failure in failures} == {"policy.egress_hosts"}
    assert "secret" not in str(failures)
    assert not [message for _, message in hostile.given if isinstance(message, Report) and message.round]
    assert (allowed.connections, other.connections) == ([], [])
    logged = [record.septum_fields for record in caplog.records if record.message == "egress_refused"]
    assert {(entry["rule"], entry["run_id"]) for entry in logged} == {("policy.egress_hosts", "r1")}


def test_where_the_rules_let_it_go_the_model_is_fetched(silo, line):
    """Or the test above would pass with a silo that follows nobody."""
    line.server.scripts.extend([line.allowed.redirect()] * 20)
    line.allowed.scripts.extend([lambda handler: handler.reply(200, b"no model at all")] * 20)
    hostile = silo.meets(Try(), models=line.channel)
    reasons = {message.reason for _, message in hostile.given if isinstance(message, Failure)}
    assert line.allowed.asked("GET", "bucket")
    assert not [reason for reason in reasons if "policy" in reason]  # it fails later, for this is no model


def test_a_run_that_was_let_in_cannot_be_changed_under_its_name(silo):
    hostile = silo.meets(Try(), Invitation("r1", silo.plan), Invitation("r1", replace(silo.plan, quorum=1)))
    kinds = [type(message).__name__ for _, message in hostile.given]
    assert kinds[0] == "Join"
    assert kinds[-1] == "Refuse"
    assert {message.plan_digest for _, message in hostile.given if isinstance(message, Join)} == {silo.plan.digest}


@pytest.mark.parametrize("name", ["..", "../north", "/etc", "a/b", "", "x" * 200, "r\n1"])
def test_a_runs_name_cannot_lead_out_of_the_silos_folder(silo, name):
    before = sorted(path for path in silo.folder.rglob("*") if "runs" not in path.parts)
    hostile = silo.meets(Try(), Invitation(name, silo.plan))
    assert hostile.given == []
    assert sorted(path for path in silo.folder.rglob("*") if "runs" not in path.parts) == before
    assert list((silo.folder / "runs").iterdir()) == []


def test_where_privacy_is_asked_for_statistics_without_noise_are_refused(silo):
    """The same question is let in where it is not."""
    asked = Try(allowing(queries=("small",), require_privacy=True), ASKS, roster=BOTH)
    assert silo.meets(asked).refused_by("r1") == "policy.require_privacy"
    again = Try(allowing(queries=("small",)), ASKS, roster=BOTH)
    assert silo.meets(again, Invitation("r2", silo.asked(again))).refused_by("r2") == ""


NOISY = {**ASKS, "query": replace(ASKS["query"], min_cell=1, noise=Noise(1.0))}


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ({}, ""),
        ({"require_privacy": True, "require_noise": True, "min_cell": 50}, ""),
        ({"max_epsilon": 0.5}, "policy.max_epsilon"),
        ({"max_delta": 1e-6}, "policy.max_delta"),
        ({"epsilon_budget": 0.5}, "policy.epsilon_budget"),
        ({"queries": ()}, "policy.queries"),
        ({"columns": ("y",)}, "policy.columns"),
    ],
)
def test_statistics_with_noise_are_let_in_where_privacy_is_asked_for_and_cost_what_the_rules_allow(silo, policy, rule):
    asked = Try(allowing(**{"queries": ("small",), **policy}), NOISY, roster=BOTH)
    assert silo.meets(asked).refused_by("r1") == rule
