"""An app's wheels in real use: no index is asked for them, they reach the worker, the silo's libraries stay."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
from tests.sdk.packaging import app_folder, built, pinned, write_wheel
from tests.silo.small_app import payload_of, spec_for, train_task

from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import AppError, ConfigError, WorkerError
from septum.ports.launcher import Level, WorkerLimits
from septum.sdk.package_file import unpack
from septum.sdk.requirements import wheel_at
from septum.silo.environment import Environments, State

pytestmark = [pytest.mark.processes, pytest.mark.served]


class Index(BaseHTTPRequestHandler):
    """A package index, and a proxy on the way to any other, that notes who asks."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_error(404)

    do_CONNECT = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def index():
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, index):
    """A package whose environment is ready, made where everything told pip to do something else."""
    folder = tmp_path_factory.mktemp("prepared")
    url = f"http://127.0.0.1:{index.server_address[1]}"
    (folder / ".config" / "pip").mkdir(parents=True)
    (folder / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {url}\n[install]\ndry-run = true\n")
    app = app_folder(folder / "app", wheels={"tiny": {"tiny.py": "STEP = 3\n"}})
    write_wheel(app / "wheels", "tiny", "1.0", {"tiny_other.py": ""}, "cp27-cp27m-any")  # of another system
    (app / "requirements.lock").write_text("".join(pinned(wheel_at(path)) for path in (app / "wheels").glob("*.whl")))
    package = built(app, folder)
    unpack(package, folder / "open")
    environments = Environments(folder / "envs")
    told = {"PIP_INDEX_URL": url, "PIP_EXTRA_INDEX_URL": url, "PIP_NO_INDEX": "0", "PIP_TARGET": str(folder / "no")}
    told |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config"), "NO_PROXY": "", "no_proxy": ""}
    told |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), url)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        environments.prepare(package, folder / "open" / "wheels")
    assert not (folder / "no").exists()
    return package, environments


def test_no_index_is_asked_whatever_pip_was_told(prepared, index):
    package, environments = prepared
    assert environments.standing(package).state is State.READY
    assert index.asked == []


def test_of_the_wheels_for_several_systems_the_fitting_one_is_installed(prepared):
    package, environments = prepared
    assert len(package.wheels) == 2
    (site,) = environments.paths(package)
    assert (site / "tiny.py").exists()
    assert not (site / "tiny_other.py").exists()


def test_an_app_imports_its_own_wheel_in_the_worker(prepared, tmp_path):
    package, environments = prepared
    spec = spec_for(tmp_path, "import tiny\nreturn {'w': p['w'] + np.float32(tiny.STEP)}")
    launcher = SubprocessLauncher(Level.PROCESS)
    worker = launcher.start(replace(spec, paths=environments.paths(package)), WorkerLimits())
    try:
        assert worker.perform(train_task(spec), payload_of(spec)).weight == 6
    finally:
        worker.close()
    without = launcher.start(spec, WorkerLimits())
    try:
        with pytest.raises(WorkerError) as caught:
            without.perform(train_task(spec), payload_of(spec))
        assert "No module named 'tiny'" in f"{caught.value.message}{caught.value.details}"
    finally:
        without.close()


def test_pythons_own_library_comes_before_a_wheel_and_a_wheel_before_what_the_silo_has(tmp_path):
    assert find_spec("httpx") is not None  # which this silo has
    brings = {"json.py": "import nothing_like_it\n", "tiny.py": "STEP = 3\n", "httpx.py": "STEP = 4\n"}
    package = built(app_folder(tmp_path / "app", wheels={"tiny": brings}), tmp_path)
    environments = Environments(tmp_path / "envs")
    environments.prepare(package, tmp_path / "app" / "wheels")
    train = """
        import importlib.util, json, tiny
        with open(importlib.util.find_spec("httpx").origin) as file:
            assert file.read() == "STEP = 4\\n"
        assert json.loads("3") == tiny.STEP
        return {"w": p["w"]}
    """
    spec = replace(spec_for(tmp_path, train), paths=environments.paths(package))
    worker = SubprocessLauncher(Level.PROCESS).start(spec, WorkerLimits())
    try:
        assert worker.perform(train_task(spec), payload_of(spec)).weight == 6
    finally:
        worker.close()


@pytest.mark.parametrize("name", ["tiny-1.0.data/purelib/numpy/__init__.py", "septum.py"])
def test_a_wheel_does_not_bring_what_the_silo_provides_by_another_way(tmp_path, name):
    package = built(app_folder(tmp_path / "app", wheels={"tiny": {name: "x = 1"}}), tmp_path)
    environments = Environments(tmp_path / "envs")
    with pytest.raises((AppError, ConfigError), match=r"brings? (numpy|septum(\.py)?), which the silo itself provides"):
        environments.prepare(package, tmp_path / "app" / "wheels")
    assert environments.standing(package).state is not State.READY
