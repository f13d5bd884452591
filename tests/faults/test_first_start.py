"""Fault 1, at a first start: the coordinator is killed before and after its administrator is there."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
from tests.faults.counting import UNCLOSED, persist, until
from tests.faults.dying import Fate, Kill, When
from tests.faults.kill_points import COORDINATOR_POINTS
from tests.faults.programs import Program

from septum.client import Client, operator_access
from septum.coordinator.administrator import FILE, NAME
from septum.protocol.people_views import SignIn
from septum.protocol.rights import Grant, Role

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

CHOSEN = "four quite random words"


def test_the_administrator_of_a_first_start_that_was_cut_short_comes_in(tmp_path):
    """By the password that lies there, which goes once it is of no use; and the operator's token holds all along."""
    data_dir, fate = tmp_path / "coordinator", Fate(tmp_path / "fate", COORDINATOR_POINTS)
    fate.arm(Kill("add a person", When.BEFORE), Kill("add a person", When.AFTER))
    where = (str(data_dir), "0", str(tmp_path / "fate"))
    program = Program("tests.faults.coordinator_to_kill", *where, log=tmp_path / "log")
    try:
        until(lambda: ready(fate) == 1, "the third life takes requests")
        proof = SignIn(**json.loads((data_dir / FILE).read_text()), new_password=CHOSEN)
        with asking(data_dir, "") as client:
            assert persist(lambda: client.people.sign_in(proof)).name == NAME
        pid = next(entry.pid for entry in fate.entries() if entry.point == "ready")
        os.kill(pid, signal.SIGKILL)
        until(lambda: ready(fate) == 2, "the fourth life takes requests")
        assert not (data_dir / FILE).exists()
        with asking(data_dir, "") as client:
            session = persist(lambda: client.people.sign_in(SignIn(NAME, CHOSEN)))
        with asking(data_dir, session.token) as client:
            assert persist(client.people.who).grants == (Grant(Role.FEDERATION_ADMIN),)
        with asking(data_dir, None) as client:
            assert [one.name for one in persist(client.people.people)] == [NAME]
    finally:
        program.stop()


def ready(fate):
    return sum(entry.point == "ready" for entry in fate.entries())


def asking(data_dir, token):
    """A client with this token; the operator's with None."""
    access = operator_access(data_dir)  # each life listens elsewhere
    return Client(access if token is None else replace(access, token=token))
