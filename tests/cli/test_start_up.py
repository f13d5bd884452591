import re
import subprocess
import sys
import time

import pytest
import typer

from septum import __version__
from septum.cli import main, tree

pytestmark = pytest.mark.processes

HEAVY = (
    "numpy",
    "httpx",
    "ssl",
    "asyncio",
    "sqlalchemy",
    "cryptography",
    "blake3",
    "fastapi",
    "pydantic",
    "granian",
    "torch",
    "septum.protocol",
    "septum.sdk",
    "septum.client",
    "septum.coordinator",
    "septum.silo",
    "septum.adapters",
)


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_start_up_imports_nothing_heavy(argument, home):
    program = (
        "import sys; from septum.cli.main import main; "
        f"code = main([{argument!r}]); print('loaded:', *sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert [name for name in HEAVY if name in loaded] == []
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    extra = {name for name in foreign if not name.startswith("_")}
    assert extra <= {
        "septum",
        "typer",
        "rich",
        "click",
        "shellingham",
        "annotated_doc",
        "markdown_it",
        "mdurl",
        "pygments",
    } | {
        "attr",  # rich loads it where it is; the dp extra brings it
        "typing_extensions",
        "sitecustomize",
        "usercustomize",
    }


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_start_up_takes_no_longer_than_a_few_bare_interpreters(argument, process):
    # A bare start of Python takes some 0.01 s, so this is the promise of 0.3 s on any machine, busy ones too.
    process(argument)  # byte code and disk cache
    pairs = [(_seconds(lambda: process(argument)), _seconds(_bare_python)) for _ in range(5)]
    assert min(ours for ours, _ in pairs) <= 30 * min(floor for _, floor in pairs)


def test_version_is_the_package_version(process):
    done = process("--version")
    assert (done.code, done.out.strip()) == (0, f"septum {__version__}")
    assert process("--version", "--json").envelope["data"] == {"version": __version__}


def test_help_names_every_noun(septum):
    done = septum("--help")
    assert done.code == 0
    for noun in ("coordinator", "silo", "app", "run", "model", "config", "simulate", "doctor"):
        assert re.search(rf"^\W*{noun}\b", done.out, re.MULTILINE), noun


def _seconds(run):
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _bare_python():
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def test_what_is_listed_without_being_loaded_is_what_the_modules_say():
    whole, listed = (typer.main.get_command(tree.grow(main.root, named)) for named in ("", "-"))
    assert [(name, one.help) for name, one in listed.commands.items()] == [
        (name, one.help) for name, one in whole.commands.items()
    ]


@pytest.mark.parametrize("name", [*tree.NOUNS, *(name for names in tree.COMMANDS.values() for name in names)])
def test_a_command_line_that_names_something_has_all_of_it(name):
    whole, grown = (typer.main.get_command(tree.grow(main.root, named)).commands[name] for named in ("", name))
    assert list(getattr(grown, "commands", {})) == list(getattr(whole, "commands", {}))
    assert [one.name for one in grown.params] == [one.name for one in whole.params]


def test_a_command_that_is_not_there_is_an_error_that_names_those_that_are_near(process):
    done = process("rnu", "list")
    assert (done.code, "run" in done.err) == (2, True)
    assert process("run", "lst").code == 2
    assert "septum silo app approve" in process("app", "approve", "x").err
