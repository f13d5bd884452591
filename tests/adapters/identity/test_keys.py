import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from septum.adapters.identity.keys import load_private_key, make_private_key, public_bytes
from septum.errors import ConfigError, ConflictError


def test_a_key_is_loaded_as_it_was_made(tmp_path):
    made = make_private_key(tmp_path / "silo.key")
    assert public_bytes(load_private_key(tmp_path / "silo.key")) == public_bytes(made)
    assert len(public_bytes(made)) == 32


def test_only_the_owner_can_read_the_file_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        make_private_key(tmp_path / "silo.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "silo.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["silo.key"]


def test_a_key_is_never_replaced(tmp_path):
    path = tmp_path / "silo.key"
    make_private_key(path)
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="exists already"):
        make_private_key(path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["silo.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_can_reach_is_refused_with_the_command_that_mends_it(tmp_path, mode):
    path = tmp_path / "silo.key"
    make_private_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}") as caught:
        load_private_key(path)
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_missing_key_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_private_key(tmp_path / "silo.key")
    assert "septum silo enroll" in caught.value.hint


def test_a_missing_directory_says_how_to_make_it(tmp_path):
    with pytest.raises(ConfigError, match="No such file") as caught:
        make_private_key(tmp_path / "away" / "silo.key")
    assert "mkdir" in caught.value.hint


def _other_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("content", [b"", b"secret but no key", b"\xff" * 100, _other_key()])
def test_a_file_that_holds_no_ed25519_key_is_refused_without_quoting_it(tmp_path, content):
    path = tmp_path / "silo.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no Ed25519 private key") as caught:
        load_private_key(path)
    assert "secret but" not in str(caught.value)
    assert caught.value.__cause__ is None
