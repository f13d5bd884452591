import json

import pytest

from septum.protocol.facts import ModelMade, RunEnded, SiloJoined, SiloRefused, StageClosed
from septum.protocol.messages import Outcome, Stage, blob_of
from septum.protocol.plan import Metric, Vote
from septum.protocol.resources import Resources
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.served


def test_submit_sends_the_plan_that_the_options_say(coordinator, septum, example):
    done = septum(
        *(
            "run",
            "submit",
            example,
            "--inspect",
            "--set",
            "lr=0.01",
            "--rounds",
            "7",
            "--silos",
            "boston, austin",
            "--quorum",
            "1",
        ),
        *("--strategy", "fedadam", "--strategy-set", "lr=0.1", "--deadline", "30", "--gather", "9", "--attempts", "2"),
        *("--early-stopping", "log_loss:3:0.001", "--clip-norm", "1.5", "--name", "mine", "--json"),
    )
    assert done.code == 0
    assert done.envelope["data"]["id"] == "run-1"
    plan = coordinator.plans["run-1"]
    assert (plan.name, plan.silos, plan.rounds, plan.quorum) == ("mine", ("austin", "boston"), 7, 1)
    assert (plan.hyper["lr"], plan.hyper["rounds"], plan.hyper["epochs"]) == (0.01, 7, 1)
    assert plan.seed == plan.hyper["seed"]
    assert (plan.deadline_s, plan.gather_s, plan.attempts, plan.clip_norm) == (30.0, 9.0, 2, 1.5)
    assert (plan.strategy.name, plan.strategy.settings["lr"]) == ("fedadam", 0.1)
    assert len(plan.strategy.settings) > 1  # defaults are resolved: they are part of the plan's digest
    assert (plan.early_stopping.metric.value, plan.early_stopping.patience) == ("log_loss", 3)
    assert plan.app.digest.startswith("sha256:")


def test_submit_takes_the_rule_of_a_vote_on_models(coordinator, septum, example):
    assert septum("run", "submit", example, "--silos", "a,b", "--vote", "roc_auc:0.05:0.75:2").code == 0
    assert coordinator.plans["run-1"].vote == Vote(accepts=0.75, metric=Metric.ROC_AUC, max_drop=0.05, max_burnt=2)
    assert septum("run", "submit", example, "--silos", "a,b", "--vote", "roc_acu").code != 0
    assert septum("run", "submit", example, "--silos", "a,b", "--vote", "roc_auc:much").code != 0
    assert septum("run", "submit", example, "--silos", "a,b", "--inspect", "--vote", "roc_auc").code != 0
    assert len(coordinator.plans) == 1


def test_submit_without_silos_takes_those_that_have_enrolled(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    assert coordinator.plans["run-1"].silos == ("boston",)


def test_submit_with_no_silo_enrolled_says_how_to_invite_one(coordinator, septum, example):
    coordinator.silos = []
    done = septum("run", "submit", example, "--inspect", "--json")
    assert (done.code, done.envelope["error"]["hint"]) == (2, "septum silo invite NAME")


def test_a_submission_whose_answer_was_lost_starts_one_run(coordinator, septum, example):
    coordinator.drop_submits = 1
    done = septum("run", "submit", example, "--inspect", "--json")
    assert done.envelope["data"]["id"] == "run-1"
    assert coordinator.asked.count(("POST", "/api/v1/runs")) == 2
    assert len(coordinator.keys) == 1


def test_the_same_key_returns_the_same_run(coordinator, septum, example):
    first = septum("run", "submit", example, "--inspect", "--key", "tuesday", "--json")
    second = septum("run", "submit", example, "--inspect", "--key", "tuesday", "--json")
    assert first.envelope["data"]["id"] == second.envelope["data"]["id"] == "run-1"
    assert septum("run", "submit", example, "--inspect", "--json").envelope["data"]["id"] == "run-2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lrr=1"], "did you mean 'lr'"),
        (["--set", "lr=5"], "a number from 1e-06 to 1.0"),
        (["--set", "lr"], "not NAME=VALUE"),
        (["--set", "lr=0.1", "--set", "lr=0.2"], "names 'lr' twice"),
        (["--set", "rounds=3", "--rounds", "4"], "--rounds 4 and --set rounds=3"),
        (["--strategy", "fedadm"], "unknown strategy 'fedadm'"),
        (["--strategy", "fedadam", "--strategy-set", "lrr=1"], "has no setting 'lrr'"),
        (["--strategy", "fedadam", "--strategy-set", "lr=x"], "'x' is not a number"),
        (["--strategy", "krum", "--strategy-set", "f=0.5"], "it must be whole, >= 0"),
        (["--strategy", "multi-krum"], "multi-krum with f = 1 needs the updates of n >= 2f + 3 = 5 silos"),
        (["--early-stopping", "roc_uac"], "did you mean 'roc_auc'"),
        (["--early-stopping", "roc_auc:x"], "METRIC:PATIENCE:MIN_DELTA"),
        (["--early-stopping", "roc_auc:1:0:0"], "METRIC:PATIENCE:MIN_DELTA"),
        (["--preset", "papr"], "no preset 'papr'"),
        (["--quorum", "2"], "quorum must be between 1 and 1"),
        (["--silos", "Bad_Name"], "'Bad_Name' is no name"),
    ],
)
def test_what_does_not_fit_is_refused_before_anybody_is_asked(arguments, message, coordinator, septum, example):
    done = septum("run", "submit", example, "--inspect", "--silos", "boston", *arguments, "--json")
    assert done.code == 2
    assert message in done.envelope["error"]["message"] + done.envelope["error"]["hint"]
    assert coordinator.asked == []


def test_an_app_whose_leaves_are_masked_is_not_submitted_without_masks(coordinator, septum, home):
    septum("app", "new", "mine")
    done = septum("run", "submit", "./mine", "--inspect", "--silos", "boston", "--json")
    assert done.code == 2
    assert "mine 0.1.0 is for masked runs alone" in done.envelope["error"]["message"]
    assert "run it without --inspect" in done.envelope["error"]["hint"]
    assert coordinator.asked == []


def test_a_preset_is_under_the_set_values(coordinator, septum, example, home):
    app = home / "app"
    app.mkdir()
    (app / "app.py").write_text((example / "app.py").read_text())
    manifest = (example / "septum.toml").read_text().partition("[presets")[0]
    (app / "septum.toml").write_text(manifest + "\n[presets.fast]\nrounds = 3\nlr = 0.5\n")
    septum("run", "submit", app, "--inspect", "--preset", "fast", "--set", "lr=0.25")
    assert coordinator.plans["run-1"].rounds == 3
    assert coordinator.plans["run-1"].hyper["lr"] == 0.25


def test_watch_prints_lines_for_people_and_ends_with_the_run(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--rounds", "2")
    done = septum("run", "watch", "run-1")
    assert done.code == 0
    assert done.out.splitlines()[:3] == [
        "silo boston joined",
        "round 2/2: roc_auc 0.8750, accuracy 0.8000, log_loss 0.5000, 254 rows",
        "finished",
    ]
    assert "status    finished" in done.out


def test_watch_prints_json_lines_and_the_envelope_last(coordinator, septum, example):
    done = septum("run", "submit", example, "--inspect", "--rounds", "2", "--watch", "--json")
    *facts, envelope = [json.loads(line) for line in done.out.splitlines()]
    assert [fact["fact"]["kind"] for fact in facts] == ["silo_joined", "model_made", "model_measured", "run_ended"]
    assert [fact["seq"] for fact in facts] == [1, 2, 3, 4]
    assert (envelope["status"], envelope["data"]["id"]) == ("ok", "run-1")


def test_watch_can_start_after_an_entry(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    lines = septum("run", "watch", "run-1", "--after", "3", "--json").out.splitlines()
    assert [json.loads(line).get("seq") for line in lines] == [4, None]


def test_a_failed_run_is_exit_code_1_with_reason_and_hint(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    coordinator.facts = [RunEnded(Outcome.FAILED, "too few silos")]
    coordinator.status, coordinator.reason = RunStatus.FAILED, "too few silos"
    done = septum("run", "watch", "run-1", "--json")
    assert done.code == 1
    assert done.envelope["error"]["code"] == "run_failed"
    assert "too few silos" in done.envelope["error"]["message"]
    assert "septum run resume run-1" in done.envelope["error"]["hint"]
    assert done.envelope["data"]["status"] == "failed"
    assert septum("run", "show", "run-1").code == 0  # looking at a failed run is no failure


def test_a_stopped_run_is_no_failure(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    coordinator.facts, coordinator.status = [RunEnded(Outcome.STOPPED, "enough")], RunStatus.STOPPED
    assert septum("run", "watch", "run-1").code == 0


@pytest.mark.parametrize("verb", ["stop", "pause", "resume"])
def test_a_run_is_steered(verb, coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    done = septum("run", verb, "run-1", "--json")
    assert (done.code, done.envelope["data"]["id"]) == (0, "run-1")
    assert coordinator.asked[-1] == ("POST", f"/api/v1/runs/run-1/{verb}")


@pytest.mark.parametrize(("priority", "route"), [("low", "priority"), ("normal", "priority"), ("high", "urge")])
def test_a_run_that_waits_is_given_a_priority(priority, route, coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    assert septum("run", "priority", "run-1", priority, "--json").code == 0
    assert coordinator.asked[-1] == ("POST", f"/api/v1/runs/run-1/{route}")
    wrong = septum("run", "priority", "run-1", "hihg", "--json")
    assert wrong.envelope["error"]["message"] == "priority 'hihg': did you mean 'high'?"


def test_a_run_that_waits_shows_its_place_and_for_what(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--priority", "low")
    coordinator.status, coordinator.position = RunStatus.QUEUED, 3
    coordinator.reason = "boston serves 2 of 2 runs: r-1, r-2; position 3 in the queue"
    assert "queued (3)" in septum("run", "list").out
    shown = septum("run", "show", "run-1").out
    assert "status    queued: boston serves 2 of 2 runs: r-1, r-2; position 3 in the queue" in shown
    assert "priority  normal" in shown


def test_submit_says_what_the_run_takes_in_each_silo(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--cpus", "1.5", "--memory-mb", "500", "--gpus", "1")
    assert coordinator.plans["run-1"].resources == Resources(1.5, 500, 1)


def test_a_run_that_failed_is_tried_again_and_no_other(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    done = septum("run", "retry", "run-1", "--json")
    assert done.envelope["error"]["message"] == "run run-1 has not failed: it is finished"
    coordinator.status = RunStatus.FAILED
    assert septum("run", "retry", "run-1", "--json").code == 0
    assert coordinator.asked[-1] == ("POST", "/api/v1/runs/run-1/resume")


def test_show_tells_the_lineage_of_a_run_where_silos_say_it(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--silos", "austin,boston")
    rows = "blake3:" + "a" * 64
    coordinator.facts = [
        SiloJoined("boston", rows, "Linux; Xeon"),
        SiloRefused("austin", "policy.min_rows", "too few"),
        StageClosed(Stage.TRAIN, 1, 1, ("boston",), ("austin",)),
        ModelMade(1, blob_of(b"m").without_bytes()),
        RunEnded(Outcome.FINISHED, ""),
    ]
    data = septum("run", "show", "run-1", "--lineage", "--json").envelope["data"]
    assert data["id"] == "run-1"
    found = data["lineage"]
    assert found["plan_digest"] == coordinator.plans["run-1"].digest
    assert found["models"] == {"1": blob_of(b"m").digest}
    assert found["silos"]["boston"] == {"rounds": 1, "dataset": rows, "machine": "Linux; Xeon", "refused": None}
    assert found["silos"]["austin"] == {"rounds": 0, "dataset": None, "machine": None, "refused": "policy.min_rows"}
    shown = septum("run", "show", "run-1", "--lineage").out
    assert rows in shown
    assert "not said" in shown
    assert "lineage" not in septum("run", "show", "run-1", "--json").envelope["data"]


def test_list_and_show_tell_people_what_json_tells_programs(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--name", "mine")
    header, row = septum("run", "list").out.splitlines()
    assert header.split() == ["RUN", "NAME", "PROJECT", "BY", "STATUS", "ROUNDS", "ROC-AUC", "CREATED"]
    assert row.split()[:7] == ["run-1", "mine", "-", "-", "finished", "2/50", "0.8750"]
    assert [run["name"] for run in septum("run", "list", "--json").envelope["data"]["runs"]] == ["mine"]
    assert "model     blake3:" in septum("run", "show", "run-1").out


def test_show_says_why_a_silo_is_missing(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    coordinator.problems = {"boston": "round 3: no column 'chol'"}
    assert septum("run", "show", "run-1").out.splitlines()[-1].endswith("round 3: no column 'chol'")


def test_an_unknown_run_is_exit_code_2(coordinator, septum):
    done = septum("run", "show", "run-9", "--json")
    assert (done.code, done.envelope["error"]["code"]) == (2, "not_found")


def submitted(septum, example, name, key):
    done = septum("run", "submit", example, "--inspect", "--silos", "boston", "--name", name, "--key", key, "--json")
    assert done.code == 0, done.err
    return done.envelope["data"]["id"]


def test_a_run_is_meant_by_its_name_where_one_alone_has_it(coordinator, septum, example):
    first = submitted(septum, example, "first", "a")
    second = submitted(septum, example, "second", "b")
    assert septum("run", "show", "second", "--json").envelope["data"]["id"] == second
    compared = septum("run", "compare", "first", "second", "--json").envelope["data"]["runs"]
    assert compared == [first, second]
    submitted(septum, example, "second", "c")
    twice = septum("run", "stop", "second")
    assert twice.code == 2
    assert "2 runs are named 'second'" in twice.err
    assert not any(method == "POST" and path.endswith("/stop") for method, path in coordinator.asked)
    assert septum("run", "show", "third").code != 0
