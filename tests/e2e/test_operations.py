"""What an operator does and what happens to her: real processes are paused, stopped, killed and started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import children_of
from tests.e2e.runs import APP, FILES, OPEN, Journal, a_plan, client_of, port_of, undisturbed

from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import load_private_key
from septum.adapters.tls import client_context
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.client import operator_access
from septum.errors import ProtocolError
from septum.protocol import facts
from septum.protocol.plan import AppRef, digest_of
from septum.protocol.views import RunStatus
from septum.silo.line import KEY_NAME

pytestmark = pytest.mark.e2e


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, example("heart_disease"), APP.app.name, FILES, policy=OPEN) as started:
        started.start()
        yield started


def test_a_killed_coordinator_goes_on_with_the_run_and_ends_at_the_same_model(federation):
    plan = a_plan(200)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=20)
        port = port_of(federation)
        federation.kill("coordinator")
        federation.start_coordinator(port)
        journal.until(facts.RunEnded)
        ended = client.run(run.id)
    assert ended.status is RunStatus.FINISHED
    assert ended.model == undisturbed(plan)
    assert journal.models_made() == list(range(201))


def test_a_killed_worker_is_replaced_and_the_run_ends_at_the_same_model(federation):
    plan = a_plan(200)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=10)
        for pid in children_of(federation.pid("hungary")):
            os.kill(pid, signal.SIGKILL)
        journal.until(facts.RunEnded)
        assert client.run(run.id).model == undisturbed(plan)


def test_a_killed_agent_is_left_behind_by_the_quorum_and_rejoins(federation):
    plan = a_plan(1000, quorum=3, deadline_s=2.0)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=5)
        federation.kill("switzerland")
        journal.until(facts.SiloLeft, silo="switzerland")
        journal.until(facts.ModelMade, round=max(journal.models_made()) + 5)
        federation.start_agent("switzerland")
        journal.until(facts.SiloReturned, silo="switzerland")
        reported = journal.until(facts.SiloReported, silo="switzerland")
        assert isinstance(reported, facts.SiloReported)
        client.stop(run.id)


def test_a_paused_run_hands_out_no_work_until_it_is_resumed(federation):
    plan = a_plan(100)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=5)
        assert client.pause(run.id).status is RunStatus.PAUSED
        journal.until(facts.RunPaused)
        assert client.resume(run.id).status is not RunStatus.PAUSED
        journal.until(facts.RunEnded)
        between = journal.facts[journal.facts.index(facts.RunPaused("")) : journal.facts.index(facts.RunResumed())]
        opened = [fact for fact in between if isinstance(fact, facts.StageOpened)]
        assert len(opened) <= 1  # the round at work may be closed; its follower is opened, and waits
        assert client.run(run.id).model == undisturbed(plan)


def test_a_stopped_run_can_be_resumed_and_ends_at_the_same_model(federation):
    plan = a_plan(100)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=5)
        stopped = client.stop(run.id)
        assert stopped.status is RunStatus.STOPPED
        assert 5 <= stopped.finished_rounds < 100
        client.resume(run.id)
        again = Journal(client, run)
        again.until(facts.RunResumed)
        again.until(facts.RunEnded)
        assert client.run(run.id).model == undisturbed(plan)
        with pytest.raises(ProtocolError, match="has finished"):
            client.resume(run.id)


def test_a_revoked_silo_is_out_at_once_and_its_agent_says_why(federation):
    plan = a_plan(1000, quorum=3)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=5)
        client.revoke("switzerland")
        journal.until(facts.SiloLeft, silo="switzerland")
        client.stop(run.id)
    assert "revoked" in federation.log("switzerland").read_text()


def test_an_upload_under_way_of_a_revoked_silo_ends_within_five_seconds(federation):
    """The silo is this test, with the key of a real one: its upload has begun, and its next bytes never come."""
    key = load_private_key(federation.site("switzerland").folder / "state" / KEY_NAME)
    plan = a_plan(1000, quorum=3)
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        Journal(client, run).until(facts.ModelMade, round=2)
        federation.kill("switzerland")
        context = client_context(Path(operator_access(federation.operator_dir).ca_file))
        with (
            socket.create_connection(("127.0.0.1", port_of(federation)), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
        ):
            path = f"/silo/v1/runs/{run.id}/blobs/blake3:{64 * '0'}"
            headers = Ed25519Signer("switzerland", key).headers("PUT", path, "")
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            line.sendall(f"PUT {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 900000\r\n{head}\r\n".encode())
            line.sendall(bytes(300_000))
            line.settimeout(1.0)
            with pytest.raises(TimeoutError):  # it is taken, and waited for
                line.recv(1)
            line.settimeout(30)
            began = time.monotonic()
            client.revoke("switzerland")
            answer = line.recv(65536)
            assert time.monotonic() - began < 5.0
        assert answer.startswith(b"HTTP/1.1 401")
        client.stop(run.id)


def septum(*arguments: str, **environment: str) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "septum", *arguments, "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_second_coordinator_on_a_data_directory_names_the_first(federation):
    folder = federation.operator_dir
    code, said = septum("coordinator", "start", "--data-dir", str(folder), "--listen", "127.0.0.1:0")
    assert code == 1
    assert str(federation.pid("coordinator")) in said["error"]["message"]
    assert str(folder) in said["error"]["message"]


def test_a_port_in_use_is_named(federation, tmp_path):
    port = port_of(federation)
    code, said = septum("coordinator", "start", "--data-dir", str(tmp_path / "new"), "--listen", f"127.0.0.1:{port}")
    assert code == 1
    assert str(port) in said["error"]["message"]
    assert said["error"]["hint"]


def test_the_command_line_submits_watches_lists_and_downloads(federation, tmp_path):
    where = {"SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    silos = ",".join(site.name for site in federation.sites)
    code, said = septum("silo", "list", **where)
    assert code == 0
    assert [silo["name"] for silo in said["data"]["silos"]] == silos.split(",")
    app = str(example("heart_disease"))
    wanted = ("--inspect", "--keep-silo-models", "--silos", silos, "--set", "rounds=3", "--set", "seed=42")
    code, said = septum("run", "submit", app, *wanted, **where)
    assert code == 0
    run_id = said["data"]["id"]
    watched = subprocess.run(
        [sys.executable, "-m", "septum", "run", "watch", run_id, "--json"],
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(watched.stdout.splitlines()[-1])["status"] == "ok"
    code, said = septum("run", "show", run_id, **where)
    assert said["data"]["status"] == "finished"
    target = tmp_path / "model.safetensors"
    code, said = septum("model", "download", "--run", run_id, "-o", str(target), **where)
    assert code == 0
    assert target.is_file()
    code, said = septum("model", "list", "--run", run_id, "--silos", **where)
    own = {(one["round"], one["silo"]): one for one in said["data"]["silo_models"]}
    assert sorted(own) == [(round_, silo) for round_ in (1, 2, 3) for silo in silos.split(",")]
    assert {one["federation"]["rows"] > 0 for one in own.values()} == {True}
    target = tmp_path / "cleveland.safetensors"
    where_to = ("--run", run_id, "--silo", "cleveland", "--round", "2", "-o", str(target))
    code, said = septum("model", "download", *where_to, **where)
    assert (code, said["data"]["digest"]) == (0, own[2, "cleveland"]["digest"])
    assert digest_of(target.read_bytes()) == own[2, "cleveland"]["digest"]
    code, said = septum("run", "stop", run_id, **where)
    assert code == 1
    assert said["error"]["code"] == "protocol"
    code, said = septum("run", "submit", app, "--silos", "cleveland,hungry", **where)
    assert code != 0
    assert "hungary" in said["error"]["message"] + said["error"]["hint"]


def test_an_app_that_the_silos_did_not_approve_is_refused_by_each_of_them(federation):
    plan = a_plan(3, app=AppRef(APP.app.name, APP.manifest.version, "sha256:" + "0" * 64))
    with client_of(federation) as client:
        run = client.submit(plan, key="one")
        journal = Journal(client, run)
        ended = journal.until(facts.RunEnded)
        assert isinstance(ended, facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FAILED
        refused = [fact for fact in journal.facts if isinstance(fact, facts.SiloRefused)]
        assert refused
        assert APP.digest in refused[0].reason
