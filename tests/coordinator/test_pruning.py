"""Old models make room: only of ended runs, never the newest or the best, and nothing that a run at work has made."""

from __future__ import annotations

import time

import pytest
from tests.coordinator.running import KEYS, NARROW, Running, finish, start_round_one
from tests.coordinator.support import plan_of

from septum.client import Client
from septum.errors import ConfigError, NotFoundError
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.served

ROUNDS = 6  # the fakes measure every model alike, so the initial one is the earliest of the best


@pytest.fixture
def place(tmp_path):
    running = Running(tmp_path)
    silos = [running.enrolled(name) for name in ("cleveland", "hungary")]
    with Client(running.access) as client:
        yield running, silos, client
    running.stop()


def finished(silos, plan):
    run, told = start_round_one(silos, plan, next(KEYS), NARROW)
    finish(silos, run, told, NARROW)
    return run


def a_plan(silos, **changed):
    return plan_of([silo.name for silo in silos], rounds=ROUNDS, **changed)


def there(running, client, run):
    """The rounds whose model's file is on the disk."""
    folder = running.config.data_dir / "blobs" / f"models-{run}"
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    return [one.round for one in client.models(run) if one.digest.partition(":")[2] in names]


def test_without_really_it_only_says_what_would_go(place):
    running, silos, client = place
    run = finished(silos, a_plan(silos))
    found = client.prune(older_than_days=0)
    assert [(one.run, one.models) for one in found.runs] == [(run, 4)]
    assert (found.done, found.runs[0].size_bytes > 0) == (False, True)
    assert there(running, client, run) == list(range(ROUNDS + 1))


def test_the_best_and_the_newest_stay_and_the_run_can_be_looked_at_as_before(place, tmp_path):
    running, silos, client = place
    run = finished(silos, a_plan(silos))
    before = client.run(run), client.models(run), client.journal(run)
    assert client.prune(older_than_days=0, really=True).done
    assert there(running, client, run) == [0, 5, 6]
    assert (client.run(run), client.models(run), client.journal(run)) == before
    models = client.models(run)
    client.download(models[6].digest, tmp_path / "newest.safetensors")
    with pytest.raises(NotFoundError):
        client.download(models[3].digest, tmp_path / "gone.safetensors")
    assert client.prune(older_than_days=0, really=True).runs == ()


def test_a_run_that_ended_a_moment_ago_keeps_all_unless_it_is_meant(place):
    running, silos, client = place
    run = finished(silos, a_plan(silos))
    assert client.prune(really=True).runs == ()
    assert there(running, client, run) == list(range(ROUNDS + 1))
    with pytest.raises(ConfigError, match="2 models at least are kept, not 1"):
        client.prune(newest=1, older_than_days=0)


def test_what_a_run_at_work_has_made_stays_also_where_an_ended_run_made_the_same(place):
    running, silos, client = place
    ended = finished(silos, a_plan(silos))
    again, told = start_round_one(silos, a_plan(silos), next(KEYS), NARROW)
    assert [model.digest for model in client.models(again)] == [model.digest for model in client.models(ended)][:1]
    client.pause(again)
    client.prune(older_than_days=0, really=True)
    assert there(running, client, again) == [0]
    client.resume(again)
    finish(silos, again, told, NARROW)
    assert client.run(again).status is RunStatus.FINISHED
    assert client.run(again).model == client.run(ended).model
    assert there(running, client, again) == list(range(ROUNDS + 1))


def test_a_younger_run_that_made_the_same_models_keeps_its_own(place, tmp_path):
    running, silos, client = place
    old = finished(silos, a_plan(silos))
    young = finished(silos, a_plan(silos))
    days = 1 / 86_400 / 1000
    ends = [client.journal(run)[-1].at for run in (old, young)]
    assert ends[0] < ends[1]
    seconds = time.time() - (ends[0] + ends[1]) / 2  # between the two ends
    found = client.prune(older_than_days=seconds / 86_400 - days, really=True)
    assert [(one.run, one.models) for one in found.runs] == [(old, 4)]
    assert there(running, client, old) == [0, 5, 6]
    assert there(running, client, young) == list(range(ROUNDS + 1))
    digest = client.models(old)[3].digest
    assert digest == client.models(young)[3].digest
    client.download(digest, tmp_path / "any.safetensors")  # of whichever has it
    client.download(digest, tmp_path / "young.safetensors", run=young)
    with pytest.raises(NotFoundError):
        client.download(digest, tmp_path / "old.safetensors", run=old)
    with pytest.raises(NotFoundError, match="no run"):
        client.download(digest, tmp_path / "none.safetensors", run="r-none")


def test_what_silos_sent_goes_with_the_models_of_their_rounds_and_what_stays_can_be_put_together(place, tmp_path):
    running, silos, client = place
    run = finished(silos, a_plan(silos, keep_silo_models=True))
    own = {(one.round, one.silo): one for one in client.silo_models(run)}
    assert len(own) == ROUNDS * len(silos)
    client.download_silo_model(own[3, "hungary"], tmp_path / "third.safetensors")
    found = client.prune(older_than_days=0)
    assert [(one.run, one.models, one.silo_models) for one in found.runs] == [(run, 3, 8)]  # 4 is what 5 began with
    folder = running.config.data_dir / "blobs" / f"silo-models-{run}"
    before = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    client.prune(older_than_days=0, really=True)
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {one.update.partition(":")[2] for one in own.values() if one.round in (5, 6)}
    assert own[3, "hungary"].digest.partition(":")[2] in before
    gone = sum(before[name] for name in before.keys() - left) + 3 * client.models(run)[0].size_bytes
    assert found.runs[0].size_bytes == gone
    assert there(running, client, run) == [0, 4, 5, 6]
    for silo in silos:
        client.download_silo_model(own[5, silo.name], tmp_path / f"{silo.name}.safetensors")
    with pytest.raises(NotFoundError, match=f"of silo 'hungary' of round 3, run {run}, was pruned"):
        client.download_silo_model(own[3, "hungary"], tmp_path / "gone.safetensors")
    assert client.prune(older_than_days=0, really=True).runs == ()
