"""A directory that is mistyped must not look like a silo in which there is nothing."""

import pytest

from septum.cli.reference import commands
from septum.errors import ExitCode


def about_a_silo():
    """Every command that names a silo by its directory, with something for each argument that it needs."""
    for path, command in commands():
        taken = {name: one for one in getattr(command, "params", ()) for name in one.opts}
        if not path.startswith("septum silo ") or "--dir" not in taken or path.endswith(" enroll"):
            continue
        needed = [one for one in command.params if one.required and "--dir" not in one.opts]
        given = []
        for one in needed:
            value = "1" if one.type.name == "float" else "x"
            given += [one.opts[0], value] if one.opts[0].startswith("-") else [value]
        yield path, given


COMMANDS = dict(about_a_silo())


def test_the_commands_are_found():
    assert {"septum silo start", "septum silo app remove", "septum silo receipt list", "septum silo data check"} < {
        *COMMANDS
    }


@pytest.mark.parametrize("path", COMMANDS)
def test_a_directory_that_is_not_there_is_an_error_and_is_not_made(septum, home, path):
    done = septum(*path.split()[1:], *COMMANDS[path], "--dir", home / "nroth", "--json")
    assert done.code == ExitCode.USAGE
    assert f"there is no silo's directory {home / 'nroth'}" in done.envelope["error"]["message"]
    assert not (home / "nroth").exists()


@pytest.mark.parametrize("path", COMMANDS)
def test_a_directory_of_something_else_is_no_silos_and_nothing_is_written_into_it(septum, home, path):
    (home / "other").mkdir()
    done = septum(*path.split()[1:], *COMMANDS[path], "--dir", home / "other", "--json")
    assert done.code == ExitCode.USAGE
    assert "is no silo's directory: there is no silo.toml in it" in done.envelope["error"]["message"]
    assert list((home / "other").iterdir()) == []


@pytest.mark.parametrize("path", COMMANDS)
def test_a_file_is_no_silos_directory(septum, home, path):
    (home / "file").write_text("")
    done = septum(*path.split()[1:], *COMMANDS[path], "--dir", home / "file", "--json")
    assert "there is no silo's directory" in done.envelope["error"]["message"]
