"""A steward pauses and resumes a silo and takes it out of a run, also while nobody answers."""

import pytest

from septum.adapters.identity.keys import make_private_key
from septum.errors import ExitCode
from septum.silo.stance import Stance, stance_of


@pytest.fixture
def north(home):
    """A silo whose coordinator is away."""
    folder = home / "north"
    folder.mkdir(mode=0o700)
    (folder / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    make_private_key(folder / "silo.key")
    return folder


def test_a_pause_holds_though_the_coordinator_cannot_be_told(septum, north):
    done = septum("silo", "pause", "--dir", north, "--reason", "new disks", "--leave")
    assert done.code == 0
    assert "it leaves the runs at work" in done.out
    assert "the agent will tell it" in done.out
    assert stance_of(north) == Stance(paused=True, reason="new disks", leave=True)
    done = septum("silo", "resume", "--dir", north, "--json")
    assert done.code == 0
    assert '"coordinator_told": false' in done.out.replace('":false', '": false')
    assert stance_of(north) == Stance()


def test_a_run_that_is_not_here_is_left_beforehand_and_says_so(septum, north):
    done = septum("silo", "withdraw", "--dir", north, "--run", "r-1")
    assert done.code == 0
    assert "is in no run r-1 now" in done.out
    assert stance_of(north).withdrawn == ("r-1",)


@pytest.mark.parametrize(
    "arguments", [("withdraw", "--run", "../elsewhere"), ("withdraw", "--run", ""), ("withdraw",), ("pause", "--now")]
)
def test_what_cannot_be_meant_is_refused(septum, north, arguments):
    assert septum("silo", *arguments, "--dir", north).code == ExitCode.USAGE
    assert stance_of(north) == Stance()


def test_a_reason_of_two_lines_is_refused(septum, north):
    done = septum("silo", "pause", "--dir", north, "--reason", "one\ntwo")
    assert done.code != 0
    assert "reason" in done.err
    assert stance_of(north) == Stance()
