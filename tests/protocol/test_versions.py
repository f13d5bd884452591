"""Is one version back understood and answered in kind, and is every other one refused with what to do?

The pair of versions here exists in this test alone: in version 6 a silo that leaves says `why`, since 7 its `reason`.
"""

from __future__ import annotations

import json

import pytest

from septum.errors import MessageError, VersionError
from septum.protocol.codec import PROTOCOL_VERSION, SEPTUM, TO_COORDINATOR, TO_SILO, decode, decode_versioned, encode
from septum.protocol.messages import Leave, SiloMessage, Wait
from septum.protocol.versions import Body, Dialect, Wire


def renamed(body: Body, old: str, new: str) -> Body:
    return {new if name == old and body["kind"] == "leave" else name: value for name, value in body.items()}


SEVEN = Wire(
    "septum-protocol",
    7,
    {6: Dialect(lambda body: renamed(body, "why", "reason"), lambda body: renamed(body, "reason", "why"))},
    "upgrade {older}",
)
SIX, EIGHT, FIVE = (Wire("septum-protocol", version, advice="upgrade {older}") for version in (6, 8, 5))
IN_SIX = b'{"kind":"leave","septum-protocol":6,"why":"lunch"}'
IN_SEVEN = b'{"kind":"leave","reason":"lunch","septum-protocol":7}'


def test_messages_are_written_in_the_newest_version():
    assert encode(Leave("lunch"), SEVEN) == IN_SEVEN
    assert decode_versioned(SiloMessage, IN_SEVEN, TO_COORDINATOR, SEVEN) == (Leave("lunch"), 7)


def test_a_message_of_the_version_before_is_read_as_one_of_today_and_answered_in_its_own():
    message, version = decode_versioned(SiloMessage, IN_SIX, TO_COORDINATOR, SEVEN)
    assert (message, version) == (Leave("lunch"), 6)
    assert encode(message, SEVEN, version) == IN_SIX
    assert decode(Wait, encode(Wait(), SEVEN, version), TO_SILO, SIX) == Wait()


@pytest.mark.parametrize("older", [FIVE, Wire("septum-protocol", 1)], ids=["two back", "long ago"])
def test_a_silo_that_is_further_behind_is_refused_and_is_the_one_to_upgrade(older):
    with pytest.raises(VersionError) as refused:
        decode(SiloMessage, encode(Leave("lunch"), older), TO_COORDINATOR, SEVEN)
    assert refused.value.message == (f"the silo speaks septum-protocol {older.version}, the coordinator 7 and 6 only")
    assert refused.value.hint == "upgrade the silo"


def test_a_silo_that_is_ahead_is_refused_and_the_coordinator_is_the_one_to_upgrade():
    with pytest.raises(VersionError) as refused:
        decode(SiloMessage, encode(Leave("lunch"), EIGHT), TO_COORDINATOR, SEVEN)
    assert refused.value.message == "the silo speaks septum-protocol 8, the coordinator 7 and 6 only"
    assert refused.value.hint == "upgrade the coordinator"


def test_a_silo_understands_no_coordinator_of_another_version_and_says_who_is_behind():
    for wire, behind in ((EIGHT, "the silo"), (FIVE, "the coordinator")):
        with pytest.raises(VersionError) as refused:
            decode(Wait, encode(Wait(), wire), TO_SILO, SIX)
        assert refused.value.message == f"the coordinator speaks septum-protocol {wire.version}, the silo 6 only"
        assert refused.value.hint == f"upgrade {behind}"


def test_what_septum_itself_advises_names_the_order_of_upgrades():
    later = json.dumps({"kind": "wait", "septum-protocol": PROTOCOL_VERSION + 1}).encode()
    with pytest.raises(VersionError) as refused:
        decode(Wait, later, TO_SILO)
    assert f"the coordinator speaks septum-protocol {PROTOCOL_VERSION + 1}, the silo {PROTOCOL_VERSION}" in str(
        refused.value
    )
    assert "upgrade the silo" in refused.value.hint
    assert "coordinators are upgraded first" in refused.value.hint


@pytest.mark.parametrize("version", [None, "1", True, 1.0, [1]], ids=str)
def test_a_message_without_a_version_is_no_message(version):
    body = {"kind": "wait"} if version is None else {"kind": "wait", "septum-protocol": version}
    with pytest.raises(MessageError, match="without its version, septum-protocol"):
        decode(Wait, json.dumps(body).encode())


def test_a_dialect_of_more_than_one_version_back_cannot_be_declared():
    with pytest.raises(AssertionError, match="one version back"):
        Wire("septum-protocol", 7, {5: SEVEN.older[6]})


def test_septum_speaks_its_version_and_at_most_the_one_before():
    assert SEPTUM.version == PROTOCOL_VERSION
    assert set(SEPTUM.spoken) <= {PROTOCOL_VERSION, PROTOCOL_VERSION - 1}
