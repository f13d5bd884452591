"""A silo gets a new key: by a token made for it, with all else as it was, and never with two that count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.coordinator.running import Running

from septum.adapters.channel import enroll as wire
from septum.adapters.identity.keys import make_private_key
from septum.client import Client
from septum.errors import AuthError, ConfigError
from septum.silo.audit import FILE_NAME as AUDIT_NAME
from septum.silo.config import read_config
from septum.silo.enroll import NEXT_KEY_NAME, enroll, rekey
from septum.silo.line import CA_NAME, KEY_NAME, open_line

pytestmark = pytest.mark.served


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "coordinator", hold_s=0.1)
    yield running
    running.stop()


@pytest.fixture
def silo(coordinator: Running, tmp_path: Path) -> Path:
    with Client(coordinator.access) as client:
        token = client.invite("north").token
    enroll(tmp_path / "silo", url=coordinator.access.url, token=token)
    return tmp_path / "silo"


def token_for(coordinator: Running, silo: str = "north") -> str:
    with Client(coordinator.access) as client:
        return client.renew(silo).token


def heard(silo: Path) -> bool:
    """Whether the coordinator takes what is signed with the silo's key."""
    line = open_line(silo, read_config(silo / "silo.toml"))
    try:
        line.poll(())
    except AuthError:
        return False
    finally:
        line.close()
    return True


def files(silo: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in silo.iterdir() if path.is_file()}


def test_a_new_key_takes_the_place_of_the_old_one_and_all_else_stays(coordinator: Running, silo: Path) -> None:
    (silo / "ledger.jsonl").write_text("what was spent\n")
    before = files(silo)
    with closing(open_line(silo, read_config(silo / "silo.toml"))) as old:
        token = token_for(coordinator)
        assert old.poll(()) is not None  # it counts until the other one comes
        rekey(silo, token)
        with pytest.raises(AuthError):
            old.poll(())
    after = files(silo)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {KEY_NAME, AUDIT_NAME}  # the silo's own audit log says that it was done
    assert (silo / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert heard(silo)


def test_a_kill_after_the_coordinator_took_the_key_loses_nothing(coordinator: Running, silo: Path) -> None:
    token, key = token_for(coordinator), make_private_key(silo / NEXT_KEY_NAME)
    wire.enroll(coordinator.access.url, token, key)
    assert not heard(silo)
    rekey(silo, token)
    assert heard(silo)
    assert not (silo / NEXT_KEY_NAME).exists()
    with Client(coordinator.access) as client:
        assert client.silo("north").silo.status.value == "online"


def test_the_coordinator_s_certificate_is_pinned_anew(coordinator: Running, silo: Path) -> None:
    pinned = (silo / CA_NAME).read_bytes()
    (silo / CA_NAME).write_text("of a coordinator that has a new one since")
    rekey(silo, token_for(coordinator))
    assert (silo / CA_NAME).read_bytes() == pinned


def test_a_token_for_another_silo_or_one_that_was_used_changes_nothing(coordinator: Running, silo: Path) -> None:
    with Client(coordinator.access) as client:
        other = client.invite("south").token
    before = files(silo)
    with pytest.raises(ConfigError, match=r"is for silo 'south', .* is 'north'") as refused:
        rekey(silo, other)
    assert refused.value.hint == "septum silo renew north"
    assert files(silo) == before
    token = token_for(coordinator)
    rekey(silo, token)
    before = files(silo)
    with pytest.raises(AuthError, match="used by another key"):
        rekey(silo, token)
    assert files(silo)[KEY_NAME] == before[KEY_NAME]
    assert heard(silo)


def test_a_directory_that_is_not_enrolled_is_named(tmp_path: Path, coordinator: Running, silo: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/silo\.toml"):
        rekey(tmp_path / "nowhere", token_for(coordinator))


def test_a_silo_that_was_revoked_comes_back_with_a_new_key_in_its_own_directory(
    coordinator: Running, silo: Path
) -> None:
    with Client(coordinator.access) as client:
        client.revoke("north")
    assert not heard(silo)
    rekey(silo, token_for(coordinator))
    assert heard(silo)
