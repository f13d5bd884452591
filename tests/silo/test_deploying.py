"""Which deployed model predicts in a silo: what its steward, its policy and its own test rows let, and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.silo.small_app import approved, write_app, write_data

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import ConnectionFailedError, DigestError, NotFoundError
from septum.ports.channel import EgressError
from septum.ports.launcher import WorkerLimits
from septum.protocol import payload, tensors
from septum.protocol.deploying import DeploymentOrder, DeploymentOrders, DeployState, Told
from septum.protocol.messages import blob_of
from septum.protocol.plan import AppRef, Metric
from septum.protocol.silo import Denied
from septum.silo.deploy_rules import Accept, DeployRules
from septum.silo.deployed import DeployedModels
from septum.silo.deploying import UNMEASURED, Deciding, Deploying
from septum.silo.gauge import Gauge
from septum.silo.kept import KeptModels
from septum.silo.log import Log
from septum.silo.policy import Hours, Policy
from septum.silo.tables import Table

AUTO = DeployRules(Accept.AUTO)
GOOD, POOR = 1.0, -1.0  # on the four test rows their ROC-AUC is 3/4 and 1/4


def model(w=GOOD, **more):
    return tensors.encode(payload.model_tensors({"w": np.full((1, 1), w, np.float32), **more}, {}))


class Wanted:
    """A coordinator: what it deploys, its files by digest, and what it was told."""

    def __init__(self, app):
        self.app = AppRef("small", "1.0.0", app.digest)
        self.items, self.files, self.told, self.fetched, self.error, self.deaf = [], {}, [], [], None, False

    def deploy(self, data, **changed):
        blob = blob_of(data).without_bytes()
        self.files[blob.digest] = data
        number = 1 + max((one.deployment for one in self.items), default=len(self.told))
        order = DeploymentOrder(number, "heart", number, "r-1", 2, blob, self.app, {}, 7)
        self.items = [replace(order, **changed)]
        return self.items[0]

    def deployments(self):
        if self.error is not None:
            raise self.error
        return DeploymentOrders(tuple(self.items))

    def fetch_deployed(self, order, path):
        self.fetched.append(order.model.digest)
        data = self.files[order.model.digest]
        if isinstance(data, Exception):
            raise data
        if blob_of(data).digest != order.model.digest:
            raise DigestError("other bytes came, twice")
        path.write_bytes(data)

    def tell_deployed(self, told):
        if self.deaf:
            raise ConnectionFailedError("it is away")
        self.told.append(told)


class Place:
    """A silo with the small app; made again it is an agent that was started again."""

    def __init__(self, folder, rules=AUTO, policy=None, **app):
        self.folder = folder
        self.app = approved(write_app(folder / "app", **app), write_data(folder / "data.csv"))
        self.wanted = Wanted(self.app)
        self.models = DeployedModels(folder)
        self.denied = None
        self.now = 100.0
        self.minute = 0
        self.start(rules, policy)

    def start(self, rules=AUTO, policy=None):
        def table(app, keep):
            shutil.copy(app.dataset.settings["path"], keep)
            return Table(keep, 10, "blake3:" + "d" * 64)

        log = Log(silo="north")
        kept = KeptModels(self.folder)
        gauge = Gauge("north", InlineLauncher(), WorkerLimits(), table, kept, self.models.work, log)
        deciding = Deciding(
            rules, policy or Policy(), lambda app: self.denied or self.found(app), 2, lambda: self.minute
        )
        self.deploying = Deploying(self.wanted, self.models, deciding, gauge, log, lambda: self.now)

    def found(self, app):
        known = app.digest == self.app.digest
        return self.app if known else Denied("apps.small.digest", "another one is approved here")

    def look(self, *, anew=False):
        self.deploying.look(anew=anew)
        return [one.state for one in self.wanted.told]

    @property
    def newest(self):
        return self.models.state().names["heart"].newest

    @property
    def active(self):
        found = self.models.state().names["heart"].active
        return None if found is None else found.order.version


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_model_that_passes_is_what_predicts(place):
    order = place.wanted.deploy(model())
    assert place.look() == [DeployState.PULLED, DeployState.ACTIVE]
    assert place.models.active("heart").order == order
    assert place.models.checked(order.model.digest).read_bytes() == model()
    assert place.newest.metrics.roc_auc == 0.75
    assert place.wanted.told[-1] == Told(order.deployment, DeployState.ACTIVE)  # no number leaves
    place.look()
    assert (place.wanted.fetched, len(place.wanted.told)) == ([order.model.digest], 2)  # nothing is done twice


def test_a_bound_that_is_not_reached_keeps_a_model_out_and_says_no_number(tmp_path):
    place = Place(tmp_path, replace(AUTO, at_least=0.8))
    place.wanted.deploy(model())
    assert place.look()[-1] is DeployState.FAILED
    assert place.active is None
    assert not any(sign.isdigit() for sign in place.wanted.told[-1].reason)
    assert place.newest.why == "roc_auc is 0.75, the bound 0.8"


def test_metrics_leave_where_the_policy_lets_them(tmp_path):
    place = Place(tmp_path, replace(AUTO, tell_metrics=True))
    place.wanted.deploy(model())
    place.look()
    assert place.wanted.told[-1].metrics["roc_auc"] == 0.75
    assert set(place.wanted.told[-1].metrics) == {metric.value for metric in Metric}


def test_a_worse_model_does_not_take_the_place_of_the_one_in_use(tmp_path):
    place = Place(tmp_path, replace(AUTO, not_worse_by=0.1))
    place.wanted.deploy(model())
    place.look()
    place.wanted.deploy(model(POOR))
    assert place.look()[-1] is DeployState.FAILED
    assert (place.active, place.newest.order.version) == (1, 2)
    assert "worse" in place.wanted.told[-1].reason
    place.start(replace(AUTO, not_worse_by=0.5))
    place.wanted.deploy(model(POOR))
    assert place.look()[-1] is DeployState.ACTIVE
    assert place.active == 3


def test_nothing_is_fetched_before_the_steward_has_accepted_the_name(tmp_path):
    place = Place(tmp_path, DeployRules())
    place.wanted.deploy(model())
    assert place.look() == [DeployState.WAITING]
    assert place.wanted.fetched == []
    place.models.say("other", accept=True)
    assert place.look() == [DeployState.WAITING]
    place.models.say("heart", accept=True)
    assert place.look() == [DeployState.WAITING, DeployState.PULLED, DeployState.ACTIVE]


def test_what_the_steward_refuses_is_used_no_longer(place):
    place.wanted.deploy(model())
    place.look()
    place.models.say("heart", accept=False)
    assert place.look()[-1] is DeployState.REFUSED
    assert place.active is None
    with pytest.raises(NotFoundError, match="refused"):
        place.models.active("heart")
    place.models.say("heart", accept=True)
    assert place.look()[-1] is DeployState.ACTIVE


def test_a_silo_that_uses_none_fetches_none(tmp_path):
    place = Place(tmp_path, DeployRules(Accept.NONE))
    place.wanted.deploy(model())
    place.models.say("heart", accept=True)
    assert place.look() == [DeployState.REFUSED]
    assert place.wanted.fetched == []


def test_a_model_of_an_app_that_may_not_run_is_refused_unfetched_until_it_may(place):
    place.denied = Denied("apps", "the package small 1.0.0 is not approved here")
    place.wanted.deploy(model())
    assert place.look() == [DeployState.REFUSED]
    assert (place.wanted.fetched, place.wanted.told[0].reason) == (
        [],
        "apps: the package small 1.0.0 is not approved here",
    )
    place.denied = None
    place.look()
    assert place.models.state().names["heart"].active is None  # it is not looked for at each look
    place.now += 61
    assert place.look()[-1] is DeployState.ACTIVE


def test_the_silos_rules_about_apps_hold_for_models_too(tmp_path):
    for policy, rule in ((Policy(folders=False), "policy.folders"), (Policy(columns=("y",)), "policy.columns")):
        place = Place(tmp_path / rule, policy=policy)
        place.wanted.deploy(model())
        assert place.look() == [DeployState.REFUSED]
        assert place.wanted.told[0].reason.startswith(rule)


def test_an_order_that_says_other_private_parameters_than_the_app_is_refused(place):
    place.wanted.deploy(model(), private=("w",))
    assert place.look() == [DeployState.REFUSED]
    assert "private" in place.wanted.told[0].reason


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tensors.encode({"v": np.ones((1, 1), np.float32)}), "'v'"),
        (tensors.encode({"w": np.ones((1, 2), np.float32)}), "F32 [1, 2] as 'w'"),
        (model(more=np.ones(1, np.float32)), "'more'"),
        (
            tensors.encode(payload.model_tensors({"w": np.ones((1, 1), np.float32)}, {"s.sum": np.ones(1)})),
            "'statistics",
        ),
    ],
)
def test_bytes_that_are_no_model_of_the_app_are_not_used(place, data, says):
    place.wanted.deploy(data)
    assert place.look()[-1] is DeployState.FAILED
    assert "no model of this app" in place.wanted.told[-1].reason
    assert says in place.wanted.told[-1].reason
    assert place.active is None


def test_bytes_that_are_no_tensors_at_all_are_not_used(place):
    place.wanted.deploy(b"\x80\x04 a pickle, say")
    assert place.look()[-1] is DeployState.FAILED
    assert place.wanted.told[-1].reason == UNMEASURED


def test_other_bytes_than_were_announced_are_not_used_and_are_fetched_again_for_the_next(place):
    order = place.wanted.deploy(model())
    place.wanted.files[order.model.digest] = model(POOR)
    assert place.look()[-1] is DeployState.FAILED
    assert place.wanted.told[-1].reason == "the bytes that came are not the model"
    assert not place.models.path(order.model.digest).exists()
    place.wanted.deploy(model())
    assert place.look()[-1] is DeployState.ACTIVE


def test_a_file_that_was_changed_here_is_not_measured(place):
    order = place.wanted.deploy(model())
    place.models.make()
    place.models.path(order.model.digest).write_bytes(model(POOR))
    assert place.look()[-1] is DeployState.FAILED


def test_a_model_that_is_elsewhere_than_the_silo_may_go_is_refused(place):
    order = place.wanted.deploy(model())
    place.wanted.files[order.model.digest] = EgressError("s3.example.org is not in it")
    assert place.look()[-1] is DeployState.REFUSED
    assert "policy.egress_hosts" in place.wanted.told[-1].reason


def test_what_an_app_says_when_it_fails_stays_in_the_silo(tmp_path):
    place = Place(tmp_path, train="raise ValueError('patient 7')")
    app = tmp_path / "app" / "app.py"
    app.write_text(app.read_text().replace('return data.x @ p["w"][0]', "raise ValueError(f'patient {data.x[0]}')"))
    place.app = approved(tmp_path / "app", tmp_path / "data.csv")
    place.wanted = Wanted(place.app)
    place.start()
    place.wanted.deploy(model())
    assert place.look()[-1] is DeployState.FAILED
    assert place.wanted.told[-1].reason == UNMEASURED
    assert "patient [3.]" in place.newest.why


def test_what_failed_is_tried_again_when_the_steward_speaks_and_not_before(tmp_path):
    place = Place(tmp_path, replace(AUTO, at_least=0.8))
    place.wanted.deploy(model())
    place.look()
    place.start(AUTO)
    place.look()
    assert place.active is None
    place.look(anew=True)
    assert place.active == 1


def test_an_agent_that_was_killed_goes_on_where_it_was(place):
    order = place.wanted.deploy(model())
    place.wanted.error = None
    place.models.make()
    place.wanted.fetch_deployed(order, place.models.path(order.model.digest))
    place.start()
    assert place.look()[-1] is DeployState.ACTIVE
    assert place.wanted.fetched == [order.model.digest]  # by the one that was killed
    place.start()
    assert place.look()[-1] is DeployState.ACTIVE  # said again, which costs the coordinator nothing


def test_a_coordinator_that_is_away_or_too_old_changes_nothing(place):
    place.wanted.deploy(model())
    place.look()
    for error in (ConnectionFailedError("it is away"), NotFoundError("there is no GET /silo/v1/deployments")):
        place.wanted.error = error
        place.look()
        assert place.active == 1


def test_what_could_not_be_said_is_said_at_the_next_look(place):
    order = place.wanted.deploy(model())
    place.wanted.deaf = True
    place.look()
    assert place.active == 1
    place.wanted.deaf = False
    place.look()
    assert place.wanted.told == [Told(order.deployment, DeployState.ACTIVE)]


def test_what_is_deployed_no_longer_is_used_no_longer_and_its_file_goes(place):
    order = place.wanted.deploy(model())
    place.look()
    place.wanted.items = []
    place.look()
    assert place.models.state().names == {}
    assert not place.models.path(order.model.digest).exists()


def test_a_coordinator_that_asks_again_and_again_is_answered_so_often_a_day(tmp_path):
    place = Place(tmp_path, replace(AUTO, per_day=2))
    for w in (1.0, 2.0):
        place.wanted.deploy(model(w))
        assert place.look()[-1] is DeployState.ACTIVE
    place.wanted.deploy(model(3.0))
    assert place.look()[-1] is DeployState.WAITING
    place.start(replace(AUTO, per_day=2))  # a new agent does not forget
    assert place.look()[-1] is DeployState.WAITING
    assert (place.active, len(place.wanted.fetched)) == (2, 2)
    place.now += 86_401.0
    assert place.look()[-1] is DeployState.ACTIVE


def test_outside_of_its_hours_a_silo_measures_nothing(tmp_path):
    place = Place(tmp_path, policy=Policy(hours=Hours(20 * 60, 6 * 60)))
    place.minute = 12 * 60
    place.wanted.deploy(model())
    assert place.look() == [DeployState.WAITING]
    assert place.wanted.fetched == []
    place.minute = 22 * 60
    assert place.look()[-1] is DeployState.ACTIVE


def test_nothing_of_the_silos_rows_is_left_behind(place):
    place.models.make()
    (place.models.work / "rows").write_text("of an agent that was killed")
    place.deploying.close()
    place.deploying.serve()
    assert list(place.models.work.iterdir()) == []
    place.start()
    place.wanted.deploy(model())
    place.look()
    left = {path.name for path in place.models.work.iterdir()}
    assert left == {"process"}
