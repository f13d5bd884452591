import json
import os
from pathlib import Path

import pytest

from septum.cli.access import AccessFlags, resolve_access, settled
from septum.errors import AuthError, ConfigError

USER = "https://user:1"
PROJECT = "https://project:1"
NO_FLAGS = AccessFlags()


@pytest.fixture
def user_file(home):
    path = home / "home" / ".config" / "septum" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'url = "{USER}"\ntoken = "user-token"\nca = "ca.pem"\n')
    return path


def values(flags=NO_FLAGS):
    return {item.name: (item.value, item.origin) for item in settled(flags, os.environ, Path.cwd())}


def write_operator(path, url="https://operator:1"):
    path.write_text(json.dumps({"url": url, "token": "operator-token", "ca_file": "/data/ca.crt"}))
    return path


def test_a_flag_wins_over_everything(user_file, home, monkeypatch):
    monkeypatch.setenv("SEPTUM_URL", "https://env:1")
    write_operator(home / "operator.json")
    found = values(AccessFlags(url="https://flag:1", token="t", operator_file=str(home / "operator.json")))
    assert found["url"] == ("https://flag:1", "--url")
    assert found["token"] == ("t", "--token")


def test_each_place_wins_over_those_below(user_file, home, monkeypatch):
    assert values()["url"] == (USER, str(user_file))
    Path("septum.local.toml").write_text(f'url = "{PROJECT}"\ntoken = "project-token"\n')
    assert values()["url"][0] == PROJECT
    monkeypatch.setenv("SEPTUM_OPERATOR_FILE", str(write_operator(home / "operator.json", "https://named:1")))
    assert values()["url"][0] == "https://named:1"
    monkeypatch.setenv("SEPTUM_URL", "https://env:1")
    assert values()["url"] == ("https://env:1", "SEPTUM_URL")
    flags = AccessFlags(operator_file=str(write_operator(home / "flag.json")))
    assert values(flags)["url"][0] == "https://operator:1"
    assert values(flags)["ca"][0] == "/data/ca.crt"


def test_the_project_file_of_a_directory_above_is_found(home):
    Path("septum.local.toml").write_text(f'url = "{PROJECT}"\n')
    (Path.cwd() / "deep" / "er").mkdir(parents=True)
    os.chdir("deep/er")
    assert values()["url"][0] == PROJECT


def test_a_token_in_a_file_is_never_sent_to_the_url_of_another_place(user_file, monkeypatch):
    Path("septum.local.toml").write_text('url = "https://evil:1"\nca = "evil.pem"\n')
    assert values()["token"] == ("", "")
    with pytest.raises(AuthError, match="no token for https://evil:1"):
        resolve_access(AccessFlags())
    monkeypatch.setenv("SEPTUM_URL", USER + "/")
    assert values()["token"][0] == "user-token"
    assert values()["ca"][0] == str(user_file.parent / "ca.pem")


def test_an_unknown_key_names_the_nearest(user_file):
    user_file.write_text('ulr = "x"')
    with pytest.raises(ConfigError, match=r"config.toml: unknown key 'ulr'; did you mean 'url'"):
        values()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url = 3", "url must be a text"),
        ('token = "t"', "no url"),
        ("url = ", "not TOML"),
    ],
)
def test_an_unusable_file_is_an_error_that_names_it(user_file, text, message):
    user_file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        values()
    assert str(user_file) in caught.value.message


def test_an_operator_file_that_is_not_there_says_who_named_it(home):
    with pytest.raises(AuthError, match=r"missing.json \(from --operator-file\)"):
        values(AccessFlags(operator_file="missing.json"))


def test_plain_http_is_refused(home):
    with pytest.raises(ConfigError, match="--url"):
        resolve_access(AccessFlags(url="http://x", token="t"))


def test_config_show_masks_the_token_and_says_where_each_value_is_from(user_file, septum, monkeypatch):
    monkeypatch.setenv("SEPTUM_CA", "/etc/ca.pem")
    for arguments in ([], ["--json"]):
        done = septum("config", "show", "--origin", *arguments)
        assert "user-token" not in done.out + done.err
        assert str(user_file) in done.out
        assert "SEPTUM_CA" in done.out
    assert done.envelope["data"]["settings"]["token"] == {"value": "********", "origin": str(user_file)}


def test_config_show_without_origin_shows_values_alone(user_file, septum):
    assert septum("config", "show", "--json").envelope["data"]["settings"]["url"] == {"value": USER}
