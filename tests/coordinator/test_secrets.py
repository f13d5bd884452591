"""Where a key is set, no secret lies readable in the data directory; without the key a coordinator does not start."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from tests.coordinator.running import Running
from tests.coordinator.visitors import PASSWORD, Visitor, person

from septum.adapters.sealing.holders import MasterKey
from septum.adapters.sealing.seal import Sealer, is_sealed
from septum.adapters.store.open import open_store
from septum.cli.main import main
from septum.coordinator import totp
from septum.coordinator.blobs_config import BlobsConfig
from septum.coordinator.config import CoordinatorConfig, load_config
from septum.coordinator.sealed_credentials import SealedCredentials
from septum.coordinator.secrets_config import SecretsConfig, read_secrets
from septum.errors import ConfigError, StorageError
from septum.ports.people import Person
from septum.protocol.rights import FIRST_ORGANISATION

KEY = bytes(range(32))


def key_file(path, key=KEY):
    path.write_text(base64.b64encode(key).decode())
    path.chmod(0o600)
    return str(path)


def with_second_factor(coordinator):
    """Ada, and the secret of her second factor."""
    ada = person(coordinator, "ada", "viewer")
    secret = ada.told("POST", "/account/totp")["secret"]
    code = totp.code_at(totp.from_base32(secret), time.time() - 30)
    ada.told("PUT", "/account/totp", {"secret": secret, "code": code, "password": PASSWORD})
    return totp.from_base32(secret)


def enters(coordinator, secret, ahead_s=0.0):
    """No code works twice: `ahead_s` is for another one, of a clock that is a little fast."""
    code = totp.code_at(secret, time.time() + ahead_s)
    body = {"name": "ada", "password": PASSWORD, "code": code}
    return Visitor(coordinator).ask("POST", "/session", body).status


def files_with(folder, secret):
    return [path.name for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def refused(data_dir, **settings):
    with pytest.raises(ConfigError) as error:
        Running(data_dir, **settings)
    return error.value


@pytest.mark.served
def test_a_second_factor_works_and_its_secret_is_in_no_file_from_the_start_with_a_key_on(tmp_path):
    data, file = tmp_path / "data", key_file(tmp_path / "first.key")
    plain = Running(data)
    try:
        secret = with_second_factor(plain)
    finally:
        plain.stop()
    assert files_with(data, secret)  # else the rest shows nothing
    (data / "coordinator.toml").write_text(f'[secrets]\nkey_file = "{file}"\n')
    sealed = Running(data, secrets=SecretsConfig(key_file=file))
    try:
        assert files_with(data, secret) == []
        assert enters(sealed, secret) == 201
    finally:
        sealed.stop()
    assert files_with(data, secret) == files_with(data, KEY) == []

    assert "names no key" in refused(data).message
    other = key_file(tmp_path / "other.key", bytes(32))
    error = refused(data, secrets=SecretsConfig(key_file=other))
    assert MasterKey(KEY, f"file {file}").name in error.message
    assert str(tmp_path / "other.key") in error.message

    assert main(["coordinator", "rotate-key", "--data-dir", str(data), "--key-file", other, "--json"]) == 0
    again = Running(data, secrets=SecretsConfig(key_file=other))
    try:
        assert Visitor(again).ask("POST", "/session", {"name": "ada", "password": PASSWORD}).status == 401
        assert enters(again, secret, ahead_s=30.0) == 201
        assert files_with(data, secret) == []
    finally:
        again.stop()


def test_a_new_secret_never_reaches_the_store_and_opens_for_its_person_alone(tmp_path):
    with open_store(tmp_path / "data") as stores:
        sealed = SealedCredentials(stores.credentials, Sealer(KEY))
        for name in ("ada", "bob"):
            stores.people.add(Person(name, name, FIRST_ORGANISATION, created_at=1.0), b"h" * 32, until=9.0)
        sealed.set_totp("ada", b"s" * 20, 0, [])
        kept = stores.credentials.credentials("ada").totp_secret
        assert is_sealed(kept)
        assert b"s" * 20 not in kept
        assert sealed.credentials("ada").totp_secret == b"s" * 20
        stores.credentials.set_totp("bob", kept, 0, [])  # whoever writes the database gives Bob Ada's second factor
        with pytest.raises(StorageError, match="the second factor of bob"):
            sealed.credentials("bob")
        sealed.set_totp("ada", b"", 0, [])
        assert stores.credentials.credentials("ada").totp_secret == b""


def test_sealing_what_was_there_is_one_transaction(tmp_path):
    with open_store(tmp_path / "data") as stores:
        for name in ("ada", "bob"):
            stores.people.add(Person(name, name, FIRST_ORGANISATION, created_at=1.0), b"h" * 32, until=9.0)
            stores.credentials.set_totp(name, name.encode() * 7, 0, [])

        def breaks(name, secret):
            if name == "bob":
                raise RuntimeError("killed here")
            return b"sealed" + secret

        with pytest.raises(RuntimeError):
            stores.seal_secrets(breaks)
        assert stores.credentials.credentials("ada").totp_secret == b"ada" * 7
        assert stores.seal_secrets(lambda name, secret: b"sealed" + secret if name == "ada" else secret) == 1
        assert stores.credentials.credentials("ada").totp_secret == b"sealed" + b"ada" * 7
        assert stores.credentials.credentials("bob").totp_secret == b"bob" * 7


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "exactly one of"),
        ('key_file = "a"\nkms_key = "b"', "exactly one of"),
        ('key_flie = "a"', "unknown key 'secrets.key_flie'"),
        ("key_file = 3", "secrets.key_file is a text"),
        ('key_command = "pass show key"', "secrets.key_command is a list"),
    ],
)
def test_what_cannot_be_a_key_is_refused_by_its_name(tmp_path, table, says):
    (tmp_path / "coordinator.toml").write_text(f"[secrets]\n{table}\n")
    with pytest.raises(ConfigError, match=says):
        load_config(tmp_path)


def test_blobs_are_sealed_unless_the_settings_say_otherwise():
    table = {"key_file": "k"}
    assert read_secrets(table, Path("/"), "w").blobs
    assert not read_secrets({**table, "blobs": False}, Path("/"), "w").blobs
    with pytest.raises(ConfigError, match=r"w: secrets.blobs is true or false, not 'yes'"):
        read_secrets({**table, "blobs": "yes"}, Path("/"), "w")


def test_silos_are_not_sent_to_a_bucket_whose_models_are_sealed(tmp_path):
    bucket = BlobsConfig("models", presigned=True)
    with pytest.raises(ConfigError, match="where they lie sealed"):
        CoordinatorConfig(tmp_path, blobs=bucket, secrets=SecretsConfig(key_file="k"))
    CoordinatorConfig(tmp_path, blobs=bucket, secrets=SecretsConfig(key_file="k", blobs=False))


def test_a_key_beside_what_it_seals_is_refused(tmp_path):
    (tmp_path / "coordinator.toml").write_text('[secrets]\nkey_file = "inside.key"\n')
    key_file(tmp_path / "inside.key")
    config = load_config(tmp_path)
    with pytest.raises(ConfigError, match="lies in the data directory"):
        config.secrets.holder(tmp_path)
