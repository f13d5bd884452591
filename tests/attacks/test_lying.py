"""A lying coordinator gets refusals alone, and what it asked is in the silo's own log and journal."""

import pytest
from tests.attacks.lying import FOUR, led, told

from septum.protocol.codec import encode
from septum.protocol.messages import Agreed, Join, Keys, Masked, Revealed, Shares
from septum.protocol.plan import digest_of
from septum.testing.lies import LIES

pytestmark = pytest.mark.attacks


def test_an_honest_coordinator_gets_all_that_there_is_to_get(tmp_path):
    """Or the tests below would pass with a silo that answers nothing."""
    found = led(tmp_path, lambda talk: talk.unmasked())
    assert [type(message) for message in found.said[:6]] == [Join, Keys, Shares, Masked, Agreed, Revealed]
    assert sorted(found.said[5].reveal.seeds) == list(FOUR)
    assert (found.releases, found.leaked, found.refused) == ((FOUR,), [], False)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_refused_each_time_and_nothing_leaks(name):
    assert told(name).refused
    assert told(name).leaked == []
    assert told(name).releases in ((), (FOUR,))


@pytest.mark.parametrize("name", LIES)
def test_the_log_says_why_and_names_what_was_asked_by_the_digest_of_the_whole_request(name):
    lie, found = LIES[name], told(name)
    lines = [line for line in found.log if line["event"] == lie.event]
    assert lines
    assert all(lie.reason in str(line["error"]) for line in lines)
    if lie.event == "not_exchanged":
        assert {line["asked"] for line in lines} == {digest_of(encode(found.lies[0][0]))}
