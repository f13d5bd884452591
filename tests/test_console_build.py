"""web/build.py: what it takes for a change, and what it leaves alone."""

import importlib.util
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "web" / "build.py"


@pytest.fixture
def build(tmp_path):
    spec = importlib.util.spec_from_file_location("console_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.WEB, module.OUT = tmp_path / "web", tmp_path / "out"
    (module.WEB / "src").mkdir(parents=True)
    (module.WEB / "src" / "main.tsx").write_text("one")
    module.OUT.mkdir()
    return module


def test_a_build_is_fresh_until_a_source_changes_moves_or_comes(build):
    assert not build.fresh()
    (build.OUT / build.STAMP).write_text(build.digest())
    assert build.fresh()
    (build.WEB / "node_modules" / "react").mkdir(parents=True)
    (build.WEB / "node_modules" / "react" / "index.js").write_text("not ours")
    assert build.fresh()
    (build.WEB / "src" / "main.tsx").write_text("two")
    assert not build.fresh()
    (build.WEB / "src" / "main.tsx").write_text("one")
    assert build.fresh()
    (build.WEB / "src" / "main.tsx").rename(build.WEB / "main.tsx")
    assert not build.fresh()


def test_what_is_fresh_is_not_built_again(build):
    (build.OUT / build.STAMP).write_text(build.digest())
    assert build.build(Path("/there/is/no/node")) is False


def test_the_lock_names_no_host_and_each_package_by_its_hash():
    lock = (BUILD.parent / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert lock.count('"integrity": "sha512-') > 100
