"""coordinator.toml: every key works, every mistake has its own words."""

from __future__ import annotations

import dataclasses
import json
import logging
import stat
from io import StringIO

import pytest

from septum.adapters.blobs.s3_bucket import S3Place
from septum.client import operator_access
from septum.coordinator.config import CoordinatorConfig, load_config
from septum.coordinator.log import configure
from septum.coordinator.operator import ensure_operator, token_digest
from septum.errors import AuthError, ConfigError


def write(path, text):
    (path / "coordinator.toml").write_text(text)
    return path


def test_the_database_may_be_elsewhere_and_its_files_lie_beside_the_settings(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "password").chmod(0o600)
    write(tmp_path, '[store]\nurl = "postgresql://ada@db.example.org:5433/septum"\npassword_file = "password"\n')
    address = load_config(tmp_path).store.address()
    assert (address.host, address.port, address.user, address.database) == ("db.example.org", 5433, "ada", "septum")
    assert address.password == "hunter2"
    assert "hunter2" not in repr(load_config(tmp_path)) + repr(address)
    assert not address.is_here
    assert load_config(tmp_path / "without").store is None


def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(ConfigError, match="has a password in it") as caught:
        load_config(write(tmp_path, "[store]\nurl = 'postgresql://ada:hunter2@db/septum'"))
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert "SEPTUM_STORE_PASSWORD" in caught.value.hint


def test_a_password_that_others_may_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o640)
    write(tmp_path, '[store]\nurl = "postgresql://ada@db/septum"\npassword_file = "password"\n')
    with pytest.raises(ConfigError, match=r"password: others may read it \(mode 0640\)") as caught:
        load_config(tmp_path).store.address()
    assert "secret" not in caught.value.message
    write(tmp_path, '[store]\nurl = "postgresql://ada@db/septum"\n')
    monkeypatch.setenv("SEPTUM_STORE_PASSWORD", "of the variable")
    assert load_config(tmp_path).store.address().password == "of the variable"


def test_models_may_be_in_s3_and_its_authority_lies_beside_the_settings(tmp_path):
    where = 'bucket = "b-1"\nprefix = "septum/prod"\nendpoint = "http://127.0.0.1:9000"\npath_style = true\n'
    blobs = load_config(write(tmp_path, f'[blobs]\n{where}ca_file = "s3.pem"\n')).blobs
    expected = S3Place("b-1", "septum/prod", "http://127.0.0.1:9000", "", True, str(tmp_path / "s3.pem"))
    assert blobs.place == expected
    assert load_config(tmp_path / "without").blobs is None


def test_without_a_file_the_defaults_hold(tmp_path):
    config = load_config(tmp_path)
    assert (config.host, config.port, config.hold_s) == ("127.0.0.1", 8443, 25.0)


def test_the_file_is_read_and_the_command_line_wins(tmp_path):
    write(tmp_path, 'listen = "0.0.0.0:9443"\nnames = ["fed.example.org"]\nhold_s = 10\nmax_blob_mb = 64\n')
    config = load_config(tmp_path, listen="[::]:7443", log_level=None)
    assert (config.host, config.port, config.hold_s, config.max_blob_mb) == ("::", 7443, 10.0, 64)
    assert config.public_url(7443) == "https://fed.example.org:7443"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("max_blob_m = 1", "did you mean 'max_blob_mb'?"),
        ("hold_s = 'long'", "hold_s is a float, not 'long'"),
        ("hold_s = true", "hold_s is a float, not True"),
        ("hold_s = 400", "hold_s must be between 0.1 and 30"),
        ("max_connections = 1", "max_connections must be between 128"),
        ("names = 'one'", "names is a list of strings"),
        ("names = []", "names is empty"),
        ("listen = '8443'", "listen is an address and a port"),
        ("listen = 'host:70000'", "listen is an address and a port"),
        ("certificate = 'a.pem'", "certificate is set and key is not"),
        ("url = 'http://x'", "does not begin with https://"),
        ("log_level = 'warn'", "did you mean 'warning'?"),
        ("data_dir = '/x'", "unknown key 'data_dir'"),
        ("listen = ", "is not TOML"),
        ("store = 'postgresql://db/septum'", "store is a table"),
        ("[store]\n", "store.url is missing"),
        ("[store]\nurll = 'x'", "unknown key 'store.urll'; did you mean 'url'?"),
        ("[store]\nurl = 1", "store.url is a text, not 1"),
        ("[store]\nurl = 'postgresql://db/x'\nstandby = 'yes'", "store.standby is true or false, not 'yes'"),
        ("[store]\nurl = 'mysql://db/septum'", "'mysql://db/septum' is not the URL of a PostgreSQL database"),
        ("[store]\nurl = 'postgresql://db.example.org'", "is not the URL of a PostgreSQL database"),
        ("[store]\nurl = 'postgresql://db/septum?sslmode=disable'", "'sslmode'"),
        ("blobs = 's3://models'", "blobs is a table"),
        ("[blobs]\nprefix = 'septum'", "blobs.bucket is missing"),
        ("[blobs]\nbucket = 'b-1'\nendpont = 'x'", "unknown key 'blobs.endpont'; did you mean 'endpoint'?"),
        ("[blobs]\nbucket = 'b-1'\npath_style = 'yes'", "blobs.path_style is true or false, not 'yes'"),
        ("[blobs]\nbucket = 1", "blobs.bucket is a text, not 1"),
        ("[blobs]\nbucket = 's3://models'", "blobs.bucket 's3://models' is no name of a bucket"),
        ("[blobs]\nbucket = 'b-1'\nprefix = 'septum/'", "blobs.prefix 'septum/'"),
        ("[blobs]\nbucket = 'b-1'\nendpoint = 'http://s3.example.org'", "does not begin with https://"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, problem):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert problem in caught.value.message
    assert str(tmp_path / "coordinator.toml") in caught.value.message
    assert caught.value.hint


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path, tmp_path / "other.toml")


def test_certificates_are_found_beside_the_file_that_names_them(tmp_path):
    config = load_config(write(tmp_path, "certificate = 'a.pem'\nkey = 'b.pem'"))
    assert (config.certificate, config.key) == (str(tmp_path / "a.pem"), str(tmp_path / "b.pem"))


def test_every_setting_is_described(tmp_path):
    for field in dataclasses.fields(CoordinatorConfig):
        assert field.name in CoordinatorConfig.__doc__


def test_the_operators_token_is_made_once_and_kept_as_a_hash_only(tmp_path):
    digest = ensure_operator(tmp_path, url="https://a:1", ca_file="ca")
    access = operator_access(tmp_path)
    assert (access.url, access.ca_file, token_digest(access.token)) == ("https://a:1", "ca", digest)
    assert stat.S_IMODE((tmp_path / "operator.json").stat().st_mode) == 0o600
    assert access.token not in (tmp_path / "operator.sha256").read_text()
    assert len(access.token) >= 43  # 256 bits
    assert ensure_operator(tmp_path, url="https://a:2", ca_file="ca") == digest
    assert operator_access(tmp_path) == dataclasses.replace(access, url="https://a:2")
    assert stat.S_IMODE((tmp_path / "operator.json").stat().st_mode) == 0o600


def test_the_operators_file_may_be_moved_away(tmp_path):
    digest = ensure_operator(tmp_path, url="https://a:1", ca_file="ca")
    token = operator_access(tmp_path).token
    (tmp_path / "operator.json").unlink()
    assert ensure_operator(tmp_path, url="https://a:1", ca_file="ca") == digest
    assert not (tmp_path / "operator.json").exists()
    assert token_digest(token) == digest
    with pytest.raises(AuthError, match="no access to a coordinator"):
        operator_access(tmp_path)


def test_a_log_line_is_json_with_its_fields_and_traceback():
    stream, root = StringIO(), logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        configure("info", stream)
        logging.getLogger("septum.x").info("round_closed", extra={"run_id": "r-1", "round": 3})
        logging.getLogger("septum.x").debug("unseen")
        try:
            int("why")
        except ValueError:
            logging.getLogger("septum.x").exception("failed")
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["run_id"], first["round"], first["level"]) == ("round_closed", "r-1", 3, "info")
    assert "ValueError: invalid literal" in second["traceback"]
