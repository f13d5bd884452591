"""Signing in, inviting and being invited on the command line, against a real coordinator."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from tests.coordinator.oidc_provider import SECRET, OidcProvider
from tests.coordinator.running import Running

from septum.cli.login import read_link
from septum.coordinator.config import load_config
from septum.errors import ConfigError

pytestmark = pytest.mark.served

PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("coordinator"))
    yield found
    found.stop()


@pytest.fixture
def operator(septum, running):
    """Call a command with the operator's access, and take its data."""

    def call(*arguments):
        done = septum(*arguments, "--operator-file", running.config.data_dir / "operator.json", "--json")
        assert done.code == 0, done.out
        return done.envelope["data"]

    return call


@pytest.fixture
def typed(monkeypatch):
    """Secrets come from standard input, a line each."""

    def give(*lines):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return give


def coming_in(septum, typed, link, password=PASSWORD):
    typed(link, password)
    done = septum("login", "--invitation", "--json")
    assert done.code == 0, done.out
    return done


def test_an_invited_person_comes_in_by_the_link_alone(septum, operator, typed, home):
    link = operator("user", "invite", "ada", "--role", "researcher", "--full-name", "Ada L.")["link"]
    done = coming_in(septum, typed, link)
    sessions = home / "home" / ".config" / "septum" / "sessions.json"
    assert stat.S_IMODE(sessions.stat().st_mode) == 0o600
    assert PASSWORD not in sessions.read_text()
    (kept,) = json.loads(sessions.read_text())["sessions"]
    assert kept["token"] not in done.out + done.err
    assert Path(kept["ca"]).read_text().startswith("-----BEGIN CERTIFICATE")
    who = septum("whoami", "--json").envelope["data"]
    assert (who["name"], who["via"]) == ("ada", "session")
    assert "run.submit" in who["rights"]
    assert septum("run", "list").code == 0
    assert "septum login" in septum("config", "show", "--origin").out
    assert septum("logout").code == 0
    assert septum("whoami").code == 2
    assert json.loads(sessions.read_text()) == {"sessions": []}


def test_a_link_can_go_into_a_file_for_its_owner_alone(septum, operator, typed, home):
    told = operator("user", "invite", "fay", "--role", "viewer", "--out", str(home / "fay.link"))
    link = (home / "fay.link").read_text().strip()
    assert link.startswith("https://")
    assert told["link"] == ""
    assert stat.S_IMODE((home / "fay.link").stat().st_mode) == 0o600
    coming_in(septum, typed, link)


def test_who_has_no_right_is_told_which_one(septum, operator, typed):
    coming_in(septum, typed, operator("user", "invite", "vera", "--role", "viewer")["link"])
    refused = septum("user", "list", "--json")
    assert (refused.code, refused.envelope["error"]["code"]) == (5, "forbidden")
    assert "user.read" in refused.envelope["error"]["message"]


def test_the_first_administrator_comes_in_with_the_one_time_password(septum, running, typed, operator, monkeypatch):
    known = json.loads((running.config.data_dir / "admin-password.json").read_text())
    access = json.loads((running.config.data_dir / "operator.json").read_text())
    where = ("--url", access["url"], "--ca", access["ca_file"])
    typed(known["password"])
    missing = septum("login", "admin", *where, "--json")
    assert (missing.code, missing.envelope["error"]["code"]) == (5, "auth")  # no new password was given
    typed(known["password"], PASSWORD)
    assert septum("login", "admin", *where).code == 0
    assert septum("org", "add", "st-marys", "--title", "St Mary's").code == 0
    assert "st-marys" in septum("org", "list").out
    assert septum("silo", "invite", "north", "--org", "st-marys").code == 0
    assert "st-marys" in septum("silo", "list").out
    assert septum("org", "remove", "st-marys").code == 1
    assert septum("org", "show", "st-marys", "--json").envelope["data"]["title"] == "St Mary's"


def test_roles_are_given_and_taken_and_people_are_shut_out(septum, operator, typed):
    operator("user", "invite", "rosa", "--role", "viewer")
    changed = operator("user", "roles", "rosa", "--give", "researcher", "--take", "viewer")
    assert [grant["role"] for grant in changed["grants"]] == ["researcher"]
    assert operator("user", "suspend", "rosa")["status"] == "suspended"
    assert operator("user", "restore", "rosa")["status"] == "invited"
    assert "rosa" in str(operator("user", "list"))
    assert operator("user", "show", "rosa")["full_name"] == ""
    assert operator("user", "reset", "rosa")["link"].startswith("https://")
    assert septum("user", "roles", "rosa", "--give", "owner").code == 2


def test_a_second_factor_and_a_new_password(septum, operator, typed, monkeypatch):
    coming_in(septum, typed, operator("user", "invite", "tess", "--role", "viewer")["link"])
    typed(PASSWORD, "000000")
    refused = septum("user", "totp", "--json")
    assert refused.code == 5
    assert json.loads(refused.out.splitlines()[0])["uri"].startswith("otpauth://totp/")
    typed(PASSWORD, "another long password")
    assert septum("user", "password").code == 0
    assert septum("whoami").code == 5  # that ended the session
    typed("wrong")
    url = json.loads(Path(os.environ["HOME"], ".config/septum/sessions.json").read_text())["sessions"][0]["url"]
    assert septum("login", "tess", "--url", url).code == 5
    typed("another long password")
    assert septum("login", "tess").code == 0


def test_a_token_is_made_used_and_revoked(septum, operator, typed, monkeypatch):
    coming_in(septum, typed, operator("user", "invite", "toni", "--role", "researcher")["link"])
    made = septum("token", "create", "for a script", "--right", "run.read", "--json").envelope["data"]
    assert made["about"]["rights"] == ["run.read"]
    assert septum("token", "create", "x", "--right", "run.raed").code == 2
    monkeypatch.setenv("SEPTUM_TOKEN", made["token"])
    assert septum("run", "list").code == 0
    assert septum("model", "list").code == 5
    assert septum("whoami", "--json").envelope["data"]["via"] == "token"
    monkeypatch.delenv("SEPTUM_TOKEN")
    assert made["about"]["id"] in septum("token", "list").out
    assert septum("token", "revoke", made["about"]["id"]).code == 0
    assert septum("token", "list", "--json").envelope["data"]["tokens"] == []


def test_a_token_goes_into_a_file_and_is_ended_by_its_title(septum, operator, typed, tmp_path):
    coming_in(septum, typed, operator("user", "invite", "tilda", "--role", "researcher")["link"])
    made = septum("token", "create", "nightly", "--right", "run.read", "--out", str(tmp_path / "token"), "--json")
    assert made.envelope["data"]["token"] is None
    secret = (tmp_path / "token").read_text().strip()
    assert secret
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert secret not in made.out + made.err
    other = septum("token", "create", "nightly", "--json").envelope["data"]["about"]["id"]
    refused = septum("token", "revoke", "nightly")
    assert refused.code == 2
    assert other in refused.err
    assert septum("token", "revoke", other).code == 0
    assert septum("token", "revoke", "nightly").code == 0
    assert septum("token", "list", "--json").envelope["data"]["tokens"] == []


def test_signing_in_says_so_when_another_access_goes_first(septum, operator, running, typed, monkeypatch):
    link = operator("user", "invite", "odo", "--role", "viewer")["link"]
    monkeypatch.setenv("SEPTUM_OPERATOR_FILE", str(running.config.data_dir / "operator.json"))
    assert "SEPTUM_OPERATOR_FILE goes first" in coming_in(septum, typed, link).err


def test_an_operator_file_named_for_signing_in_goes_first_nowhere_else(septum, operator, running, typed):
    link = operator("user", "invite", "gus", "--role", "viewer")["link"]
    coming_in(septum, typed, link)
    typed(PASSWORD)
    done = septum("login", "gus", "--operator-file", running.config.data_dir / "operator.json")
    assert done.code == 0
    assert "goes first" not in done.err


def test_a_link_of_another_coordinator_is_not_believed(septum, operator, typed):
    link = operator("user", "invite", "lena")["link"]
    digest = link.rpartition("sha256%3A")[2]
    typed(link.replace(digest, "0" * len(digest)), PASSWORD)
    refused = septum("login", "--invitation", "--json")
    assert (refused.code, refused.envelope["error"]["code"]) == (5, "auth")
    assert "pretends" in refused.envelope["error"]["message"]


def test_somebody_comes_in_by_the_identity_provider(septum, tmp_path, operator, running):
    provider = OidcProvider(tmp_path / "provider")
    (tmp_path / "data").mkdir()
    settings = f'[oidc]\nissuer = "{provider.issuer}"\nclient_id = "septum"\n'
    (tmp_path / "data" / "secret").write_text(SECRET)
    settings += f'client_secret_file = "secret"\nca_file = "{provider.ca_file}"\n[oidc.groups]\nstaff = ["viewer"]\n'
    (tmp_path / "data" / "coordinator.toml").write_text(settings)
    other = Running(tmp_path / "data", oidc=load_config(tmp_path / "data").oidc)
    try:
        provider.agreed.set()
        access = other.access
        done = septum("login", "--oidc", "--url", access.url, "--ca", access.ca_file)
        assert done.code == 0, done.err
        assert "WDJB-MJHT" in done.err
        who = septum("whoami", "--json").envelope["data"]
        assert (who["name"], who["grants"][0]["role"]) == ("ada.lovelace", "viewer")
        provider.denied = True
        assert septum("login", "--oidc").code == 5
    finally:
        other.stop()
        provider.close()
    assert septum("login", "--oidc", "--operator-file", running.config.data_dir / "operator.json").code == 2


@pytest.mark.parametrize("link", ["", "hello", "http://a#name=x&password=secret", "https://a/invitation#name=x"])
def test_what_is_no_link_is_refused_and_not_quoted(link):
    with pytest.raises(ConfigError) as refused:
        read_link(link)
    assert "secret" not in refused.value.message
