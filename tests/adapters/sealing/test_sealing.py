"""What is sealed opens for one key and one purpose, and the key itself lies nowhere beside it."""

from __future__ import annotations

import base64
import os
import secrets
import sys

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from septum.adapters.sealing import ring
from septum.adapters.sealing.holders import KmsKey, MasterKey, from_command, from_file
from septum.adapters.sealing.ring import FILE_NAME, open_ring, rewrap
from septum.adapters.sealing.seal import MARK, Sealer, is_sealed
from septum.errors import ConfigError, StorageError

KEY = bytes(range(32))


@given(st.binary(max_size=100), st.text(max_size=20))
def test_a_value_comes_back_and_is_not_to_be_seen(plain, about):
    kept = Sealer(KEY).seal(plain, about)
    assert Sealer(KEY).open(kept, about) == plain
    assert len(kept) == len(MARK) + 12 + len(plain) + 16
    assert len(plain) < 8 or plain not in kept[len(MARK) :]


def test_what_was_changed_or_is_of_somebody_else_opens_for_nobody():
    kept = Sealer(KEY).seal(b"secret", "ada")
    with pytest.raises(StorageError, match="what is kept of bob"):
        Sealer(KEY).open(kept, "bob")
    for place in range(len(MARK), len(kept)):
        wrong = bytearray(kept)
        wrong[place] ^= 1
        with pytest.raises(StorageError):
            Sealer(KEY).open(bytes(wrong), "ada")
    for short in (MARK, MARK + bytes(11), MARK + bytes(20)):
        with pytest.raises(StorageError):
            Sealer(KEY).open(short, "ada")


def test_a_value_from_before_there_was_a_key_is_what_it_is():
    plain = secrets.token_bytes(20)
    assert not is_sealed(plain)
    assert Sealer(KEY).open(plain, "ada") == plain


def test_equal_values_do_not_look_equal():
    assert Sealer(KEY).seal(b"s", "a") != Sealer(KEY).seal(b"s", "a")


# --- where the master key is ------------------------------------------------------------------------------------------


def key_file(path, key=KEY):
    path.write_text(base64.b64encode(key).decode() + "\n")
    path.chmod(0o600)
    return path


def test_a_key_in_a_file_is_for_its_owner_alone_and_whole(tmp_path):
    path = key_file(tmp_path / "k")
    holder = from_file(path)
    assert holder.unwrap(from_file(path).wrap(b"d" * 32, "x"), "x") == b"d" * 32
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others than its owner"):
        from_file(path)
    with pytest.raises(ConfigError, match="is not there"):
        from_file(tmp_path / "none")
    for text in ("", "short", base64.b64encode(bytes(31)).decode(), "ä"):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match="32 bytes in base64") as error:
            from_file(path)
        assert not text or text not in error.value.message


@pytest.mark.processes
def test_a_key_is_what_a_command_prints_and_nothing_of_that_is_repeated():
    printing = f"import base64; print(base64.b64encode({KEY!r}).decode())"
    holder = from_command([sys.executable, "-c", printing])
    assert holder.unwrap(MasterKey(KEY, "another").wrap(b"d" * 32, "x"), "x") == b"d" * 32
    with pytest.raises(ConfigError, match="ended with 3") as error:
        from_command([sys.executable, "-c", "print('PRINTED'); raise SystemExit(3)"])
    assert "PRINTED" not in error.value.message
    with pytest.raises(ConfigError, match="does not hold 32 bytes") as error:
        from_command([sys.executable, "-c", "print('PRINTED')"])
    assert "PRINTED" not in error.value.message
    with pytest.raises(ConfigError, match="the key command /no/such"):
        from_command(["/no/such"])


@pytest.fixture
def aws(monkeypatch):
    for name, value in {"ACCESS_KEY_ID": "t", "SECRET_ACCESS_KEY": "t", "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield boto3.client("kms")


def test_a_key_of_kms_wraps_there_and_says_which_it_is(aws, tmp_path):
    first, second = (aws.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    sealer = open_ring(tmp_path, KmsKey(first)).secrets
    kept = sealer.seal(b"secret", "ada")
    assert open_ring(tmp_path, KmsKey(first)).secrets.open(kept, "ada") == b"secret"
    with pytest.raises(ConfigError, match=r"names KMS key alias/none: .* did not decrypt") as error:
        open_ring(tmp_path, KmsKey("alias/none"))
    assert f"wrapped by KMS key {first}" in error.value.message
    rewrap(tmp_path, KmsKey(first), KmsKey(second))
    assert open_ring(tmp_path, KmsKey(second)).secrets.open(kept, "ada") == b"secret"
    with pytest.raises(ConfigError, match="did not decrypt"):
        KmsKey(first).unwrap(KmsKey(first).wrap(b"d" * 32, "x"), "y")


# --- the data key -----------------------------------------------------------------------------------------------------


def test_the_data_key_is_made_once_and_lies_wrapped_in_a_file_of_the_owner(tmp_path):
    holder = MasterKey(KEY, "file k")
    kept = open_ring(tmp_path, holder).secrets.seal(b"secret", "ada")
    assert open_ring(tmp_path, MasterKey(KEY, "file elsewhere")).secrets.open(kept, "ada") == b"secret"
    assert os.stat(tmp_path / FILE_NAME).st_mode & 0o777 == 0o600
    assert holder.name in (tmp_path / FILE_NAME).read_text()


def test_nobody_who_asks_for_no_key_gets_a_file(tmp_path):
    assert open_ring(tmp_path, None) is None
    assert list(tmp_path.iterdir()) == []


def test_another_key_or_none_is_refused_and_both_are_named(tmp_path):
    right, wrong = MasterKey(KEY, "file right"), MasterKey(bytes(32), "file wrong")
    open_ring(tmp_path, right)
    with pytest.raises(ConfigError) as error:
        open_ring(tmp_path, wrong)
    assert right.name in error.value.message
    assert wrong.name in error.value.message
    with pytest.raises(ConfigError, match="names no key") as error:
        open_ring(tmp_path, None)
    assert right.name in error.value.message


def test_the_master_key_is_replaced_and_what_was_sealed_still_opens(tmp_path):
    old, new = MasterKey(KEY, "file old"), MasterKey(bytes(32), "file new")
    kept = open_ring(tmp_path, old).secrets.seal(b"secret", "ada")
    rewrap(tmp_path, old, new)
    assert open_ring(tmp_path, new).secrets.open(kept, "ada") == b"secret"
    with pytest.raises(ConfigError):
        open_ring(tmp_path, old)
    with pytest.raises(ConfigError):
        rewrap(tmp_path, old, new)


def test_a_new_key_that_does_not_give_back_what_it_wraps_takes_no_place(tmp_path):
    class Broken(MasterKey):
        def unwrap(self, *_):
            return bytes(32)

    old = MasterKey(KEY, "file old")
    open_ring(tmp_path, old)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(ConfigError, match="does not give back"):
        rewrap(tmp_path, old, Broken(bytes(32), "broken"))
    assert (tmp_path / FILE_NAME).read_bytes() == before
    with pytest.raises(ConfigError, match="is sealed yet"):
        rewrap(tmp_path / "other", old, old)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"key":"!","wrapped_by":"x"}', b'{"key":"AAAA"}'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=ring.FILE_NAME):
        open_ring(tmp_path, MasterKey(KEY, "k"))
