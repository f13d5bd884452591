"""hatch_build.py: a wheel has the console unless it was told otherwise; the build asks for Node where there is none."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
INTERFACE = "hatchling.builders.hooks.plugin.interface"  # which only the isolated build has
NODE = Path("/usr/bin/node")


@pytest.fixture
def builder(tmp_path):
    """web/build.py on a machine without Node, before anything was built; `node` is where one is."""
    found = SimpleNamespace(OUT=tmp_path / "console", node=None, made=False, built=[])
    found.find_node = lambda: found.node
    found.fresh = lambda: found.made
    found.build = found.built.append
    (found.OUT / "assets").mkdir(parents=True)
    for name in ("index.html", "assets/a-1.js", ".built-from"):
        (found.OUT / name).write_text(name)
    return found


@pytest.fixture
def module(monkeypatch, builder):
    interface = ModuleType(INTERFACE)
    interface.BuildHookInterface = object
    for name in (INTERFACE.rsplit(".", depth)[0] for depth in range(1, 5)):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, INTERFACE, interface)
    monkeypatch.delenv("SEPTUM_SKIP_WEB", raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "_builder", lambda: builder)
    return made


@pytest.fixture
def hook(module):
    return module.ConsoleHook()


def included(hook, version="standard"):
    data = {"force_include": {}}
    hook.initialize(version, data)
    return data["force_include"]


def test_node_is_asked_for_where_there_is_none_and_one_is_needed(module, hook, builder, monkeypatch):
    assert hook.dependencies() == [module.NODE]
    builder.node = NODE
    assert hook.dependencies() == []
    builder.node, builder.made = None, True
    assert hook.dependencies() == []
    builder.made = False
    monkeypatch.setenv("SEPTUM_SKIP_WEB", "1")
    assert hook.dependencies() == []


def test_what_was_built_goes_into_the_wheel_and_notes_about_it_do_not(hook, builder):
    builder.node = NODE
    assert set(included(hook).values()) == {
        "septum/coordinator/console/index.html",
        "septum/coordinator/console/assets/a-1.js",
    }
    assert builder.built == [NODE]


def test_what_is_fresh_is_taken_as_it_is(hook, builder):
    builder.made = True
    assert len(included(hook)) == 2
    assert builder.built == []


def test_an_editable_install_and_one_that_was_told_so_have_none(hook, monkeypatch):
    assert included(hook, "editable") == {}
    monkeypatch.setenv("SEPTUM_SKIP_WEB", "1")
    assert included(hook) == {}


def test_a_wheel_without_a_console_is_never_made_by_accident(hook, builder):
    with pytest.raises(RuntimeError, match="SEPTUM_SKIP_WEB=1 makes a wheel without it"):
        included(hook)

    def broken(node):
        raise subprocess.CalledProcessError(1, [str(node)])

    builder.node, builder.build = NODE, broken
    with pytest.raises(RuntimeError, match="the console was not built; SEPTUM_SKIP_WEB=1"):
        included(hook)
