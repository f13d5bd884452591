"""The whole coordinator: what it refuses to start on, and that it goes down and comes back without losing anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.coordinator.running import Running, Silo, finish, start_round_one
from tests.coordinator.support import plan_of

from septum.client import Client
from septum.errors import ConfigError, ConflictError
from septum.protocol.messages import Await
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.served


def test_a_second_coordinator_on_one_data_directory_names_the_firsts_process(tmp_path):
    running = Running(tmp_path)
    try:
        with pytest.raises(ConflictError, match=f"process id {os.getpid()}"):
            Running(tmp_path)
    finally:
        running.stop()


def test_a_port_in_use_is_named_and_the_data_directory_given_back(tmp_path):
    running = Running(tmp_path / "one")
    try:
        with pytest.raises(ConflictError, match=f"port {running.port} on 127.0.0.1 is in use"):
            Running(tmp_path / "two", listen=f"127.0.0.1:{running.port}")
        Running(tmp_path / "two").stop()
    finally:
        running.stop()


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ConfigError, match=r"junk\.pem"):
        Running(tmp_path / "data", certificate=str(tmp_path / "junk.pem"), key=str(tmp_path / "junk.pem"))


def test_a_run_goes_on_after_a_restart_on_another_port_to_the_same_model(tmp_path):
    whole = Running(tmp_path / "whole")
    silos = [whole.enrolled(name) for name in ("cleveland", "hungary")]
    names = [silo.name for silo in silos]
    run, told = start_round_one(silos, plan_of(names), "k", 3)
    finish(silos, run, told, 3)
    with Client(whole.access) as client:
        expected = client.run(run).model
    whole.stop()

    first = Running(tmp_path / "cut")
    silos = [first.enrolled(name) for name in names]
    run, told = start_round_one(silos, plan_of(names), "k", 3)
    first.stop()
    second = Running(tmp_path / "cut")
    try:
        silos = [Silo(second, silo.name, silo.key) for silo in silos]
        assert [silo.asked(run, Await()) for silo in silos] == told
        finish(silos, run, told, 3)
        with Client(second.access) as client:
            assert (client.run(run).status, client.run(run).model) == (RunStatus.FINISHED, expected)
    finally:
        second.stop()


@pytest.mark.processes
def test_a_coordinator_without_an_identity_provider_or_webhook_loads_nothing_that_they_need():
    program = "import sys, septum.coordinator.root; print(*(m for m in ('httpx', 'jwt', 'scipy') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
