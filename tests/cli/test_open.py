"""`septum open`: from a shell where one is signed in, into the console."""

from __future__ import annotations

import pytest
from tests.coordinator.running import Running
from tests.coordinator.visitors import Visitor, person

from septum.coordinator import web

pytestmark = pytest.mark.served


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("coordinator"))
    yield found
    found.stop()


def flags(running, token):
    return ("--url", running.url, "--token", token, "--ca", running.access.ca_file)


def test_it_prints_a_link_that_opens_the_console_as_oneself(septum, running):
    ada = person(running, "ada", "viewer")
    done = septum("open", "/runs", "--json", *flags(running, ada.token))
    assert done.code == 0, done.out
    told = done.envelope["data"]
    assert told["opened"] is False
    place, _, code = told["link"].partition("/enter#code=")
    assert place == running.url
    code, _, page = code.partition("&to=")
    assert page == "/runs"
    opened = Visitor(running).ask("POST", "/session/enter", {"code": code}, x_septum_csrf="1")
    assert opened.status == 201
    who = Visitor(running, headers={"cookie": opened.headers["set-cookie"].partition(";")[0]})
    assert who.told("GET", "/session")["name"] == "ada"


def test_a_program_s_token_opens_nothing(septum, running):
    done = septum("open", "--json", *flags(running, running.access.token))
    assert done.code == 5
    assert done.envelope["error"]["hint"] == "septum login"


def test_a_demo_without_a_built_console_says_so_before_it_starts_anything(septum, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "FOLDER", tmp_path / "nothing-was-built")
    done = septum("demo", "--console", "--json")
    assert done.code == 2
    assert "make console" in done.envelope["error"]["hint"]
    assert septum("demo", "--open", "--json").code == 2
