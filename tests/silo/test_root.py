"""A real agent process and its worker against a small coordinator over TLS: enrolment, a round, the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.adapters.channel.servers import SmallCoordinator, SmallServer, Storage, running
from tests.sdk.packaging import app_folder, built
from tests.silo.agent_process import AgentProcess
from tests.silo.small_app import allowing, write_app, write_data

from septum.adapters.identity.keys import load_private_key
from septum.adapters.identity.token import make_token, read_token, token_hash
from septum.errors import AuthError, ConfigError, ConflictError, ConnectionFailedError
from septum.protocol import payload, tensors
from septum.protocol.messages import (
    Await,
    Failure,
    Instruction,
    Invitation,
    Join,
    Leave,
    Poll,
    PollAnswer,
    Report,
    SiloMessage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan
from septum.sdk.package import digest_of
from septum.silo.config import AppSettings, Network, SiloConfig, read_config
from septum.silo.enroll import enroll
from septum.silo.library import approve_folders
from septum.silo.packages import Packages
from septum.silo.root import start

pytestmark = pytest.mark.served

BASE = blob_of(tensors.encode(payload.model_tensors({"w": np.zeros((1, 1), np.float32)}, {})))
MAX_IDLE_MB = 60


class OneRound(SmallCoordinator):
    """Invites to one run with the small app, has its first round trained, and then holds the silo."""

    plan: Plan
    base = BASE

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        return self._hold(silo, Wait()) if "r-1" in message.serving else Invitation("r-1", self.plan)  # type: ignore[return-value]

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        self.received.append((silo, run, message))
        if isinstance(message, Join):
            return Train(1, 1, self.base)
        if isinstance(message, Leave):
            return Wait()
        return self._hold(silo, Wait())  # type: ignore[return-value]


class Site:
    """A coordinator, and a silo's directory with its app and its data."""

    def __init__(self, folder: Path) -> None:
        (folder / "blobs").mkdir()
        self.service = OneRound(folder / "blobs")
        self.server = SmallServer(self.service, folder / "tls")
        self.dir = folder / "silo"
        self.app = AppSettings(write_app(folder / "app"), write_data(folder / "data.csv"))
        self.service.plan = Plan("p", AppRef("small", "1", digest_of(self.app.path)), {}, ("north", "south"), rounds=1)

    def token(self) -> str:
        made = make_token("north", os.urandom(32), self.server.certificate.digest)
        self.server.invited.add(token_hash(read_token(made).secret))
        return made

    def said(self, kind: type) -> list[object]:
        return [message for _, _, message in self.service.received if isinstance(message, kind)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with running(made.server):
        yield made
        made.service.end()
        made.server.hang_up()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


# --- enrolment -----------------------------------------------------------------------------------------------------


def test_enrolling_makes_a_private_directory_with_a_key_the_ca_and_a_configuration(site: Site) -> None:
    token = site.token()
    config = enroll(site.dir, url=site.server.url(), token=token, apps={"small": site.app})
    assert config == read_config(site.dir / "silo.toml")
    assert (config.name, config.coordinator, dict(config.apps)) == ("north", site.server.url(), {"small": site.app})
    assert (site.dir / "ca.pem").read_bytes() == site.server.ca_pem
    assert site.dir.stat().st_mode & 0o777 == 0o700
    assert (site.dir / "silo.key").stat().st_mode & 0o777 == 0o600
    key = load_private_key(site.dir / "silo.key").public_key().public_bytes_raw()
    assert site.server.silos == {"north": key}
    assert not any(token.encode() in path.read_bytes() for path in site.dir.iterdir())


def test_an_enrolled_directory_is_not_overwritten(site: Site) -> None:
    enroll(site.dir, url=site.server.url(), token=site.token())
    before = {path.name: path.read_bytes() for path in site.dir.iterdir()}
    with pytest.raises(ConflictError, match="enrolled already") as caught:
        enroll(site.dir, url=site.server.url(), token=site.token())
    assert {path.name: path.read_bytes() for path in site.dir.iterdir()} == before
    assert "septum silo start" in caught.value.hint


def test_an_enrolment_whose_answer_was_lost_goes_on_with_the_same_key(site: Site) -> None:
    token = site.token()
    with pytest.raises(ConnectionFailedError):
        enroll(site.dir, url="https://localhost:1", token=token)
    key = (site.dir / "silo.key").read_bytes()
    enroll(site.dir, url=site.server.url(), token=token)
    assert (site.dir / "silo.key").read_bytes() == key


def test_a_used_token_leaves_nothing_that_looks_enrolled(site: Site) -> None:
    made = make_token("north", os.urandom(32), site.server.certificate.digest)
    with pytest.raises(AuthError):
        enroll(site.dir, url=site.server.url(), token=made)
    assert not (site.dir / "silo.toml").exists()


def test_relative_paths_are_kept_absolute(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "extra.pem").write_bytes(site.server.ca_pem)
    apps = {"small": AppSettings(Path("app"), Path("data.csv"))}
    network = Network(ca_file=Path("extra.pem"))
    config = enroll(site.dir, url=site.server.url(), token=site.token(), apps=apps, network=network)
    assert dict(config.apps) == {"small": site.app}
    assert config.network.ca_file == tmp_path / "extra.pem"


# --- approval ------------------------------------------------------------------------------------------------------


def test_an_app_without_a_pinned_digest_is_approved_as_it_is(site: Site) -> None:
    config = SiloConfig("north", "https://h:1", {"small": site.app})
    assert approve_folders(config).apps["small"].digest == digest_of(site.app.path)


def test_an_app_that_is_not_as_it_was_pinned_is_named_with_both_digests(site: Site) -> None:
    pinned = AppSettings(site.app.path, site.app.data, "sha256:" + "0" * 64)
    with pytest.raises(ConfigError, match="is approved") as caught:
        approve_folders(SiloConfig("north", "https://h:1", {"small": pinned}))
    assert digest_of(site.app.path) in caught.value.message
    assert pinned.digest in caught.value.message


# --- the process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run_agent(site: Site) -> Iterator[Callable[[], AgentProcess]]:
    enroll(site.dir, url=site.server.url(), token=site.token(), apps={"small": site.app}, policy=allowing())
    made: list[AgentProcess] = []

    def run_one() -> AgentProcess:
        made.append(AgentProcess(site.dir))
        return made[-1]

    yield run_one
    for one in made:
        one.end(signal.SIGKILL)


@pytest.fixture
def agent(run_agent: Callable[[], AgentProcess]) -> AgentProcess:
    return run_agent()


@pytest.mark.processes
def test_a_round_over_tls_and_an_orderly_end(site: Site, agent: AgentProcess) -> None:
    until(lambda: bool(site.said(Await)) or bool(site.said(Report)))
    (report,) = site.said(Report)
    assert isinstance(report, Report)
    assert report.payload.inline is not None
    assert tensors.decode(report.payload.inline)["update.w"].tolist() == [[3.0]]
    (started,) = [line for line in agent.lines if line["event"] == "worker_started"]
    worker = started["pid"]
    began = time.monotonic()
    assert agent.end() == 0
    assert time.monotonic() - began < 5
    assert len(site.said(Leave)) == 1
    assert not Path(f"/proc/{worker}").exists()
    assert [event for event in agent.events() if event != "data_ready"] == [
        *("app_approved", "ready", "standing_told", "described"),
        *("consent_granted", "joined", "working", "worker_started"),
        *("ending", "left", "agent_ended"),
    ]
    assert all(line["silo"] == "north" for line in agent.lines)
    assert {line["run_id"] for line in agent.lines if line["event"] in ("joined", "working", "left")} == {"r-1"}


@pytest.mark.processes
@pytest.mark.parametrize("named", [True, False])
def test_a_model_comes_from_another_host_if_silo_toml_names_it_and_else_both_sides_learn_the_rule(
    site: Site, run_agent: Callable[[], AgentProcess], tmp_path: Path, named: bool
) -> None:
    storage = Storage(site.service, tmp_path / "storage-tls")
    assert BASE.inline is not None
    storage.content, site.service.base = BASE.inline, BASE.without_bytes()
    site.server.blobs_at = storage.location()
    config = site.dir / "silo.toml"
    rule = f'egress_hosts = ["{storage.rule if named else "blobs.example.org"}"]\n'
    assert "egress_hosts = []\n" in config.read_text()
    network = f'[network]\nca_file = "{storage.certificate.ca_path}"\n'
    config.write_text(config.read_text().replace("egress_hosts = []\n", rule) + network)
    with running(storage):
        agent = run_agent()
        until(lambda: bool(site.said(Report)) or bool(site.said(Failure)))
        agent.end()
        storage.hang_up()
    refused = [(line["rule"], line["run_id"]) for line in agent.lines if line["event"] == "egress_refused"]
    if named:
        assert (len(site.said(Report)), len(storage.requests), refused) == (1, 1, [])
    else:
        (failure,) = site.said(Failure)
        assert isinstance(failure, Failure)
        assert failure.reason.startswith(f"policy.egress_hosts: the coordinator sends this silo to {storage.rule}, ")
        assert (storage.connections, refused) == ([], [("policy.egress_hosts", "r-1")])


@pytest.mark.processes
def test_the_key_is_not_in_the_log(site: Site, agent: AgentProcess) -> None:
    until(lambda: bool(site.said(Report)))
    agent.end()
    secret = (site.dir / "silo.key").read_text().splitlines()[1]
    assert agent.text
    assert secret not in agent.text


@pytest.mark.processes
def test_an_agent_that_serves_a_run_is_small_and_has_not_loaded_numpy(site: Site, agent: AgentProcess) -> None:
    until(lambda: bool(site.said(Report)))
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert "numpy" not in maps
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    resident_mb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000
    assert resident_mb <= MAX_IDLE_MB
    agent.end()


@pytest.mark.processes
def test_importing_the_agent_imports_no_numpy_and_no_web_stack() -> None:
    heavy = ("numpy", "torch", "httpx", "fastapi", "sqlalchemy", "pydantic", "asyncio")
    code = f"import sys, septum.silo.root, septum.silo.enroll; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.processes
def test_a_killed_agent_leaves_no_worker_and_reports_again_without_training(
    site: Site, agent: AgentProcess, run_agent: Callable[[], AgentProcess]
) -> None:
    until(lambda: bool(site.said(Report)))
    (worker,) = [line["pid"] for line in agent.lines if line["event"] == "worker_started"]
    agent.end(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{worker}").exists())
    site.app.data.unlink()  # nothing can be trained any more
    again = run_agent()
    until(lambda: len(site.said(Report)) == 2)
    first, second = site.said(Report)
    assert first == second
    assert again.end() == 0


@pytest.mark.processes
def test_what_a_kill_left_unpacked_of_a_revoked_app_goes_when_the_agent_starts(
    site: Site, run_agent: Callable[[], AgentProcess], tmp_path: Path
) -> None:
    """Killed after the last run with it had ended, and before what was kept for that run was deleted."""
    package = built(app_folder(tmp_path / "packed"), tmp_path / "dist")
    packages = Packages(site.dir)
    opened = packages.open(packages.add(package.path).package)
    packages.approve(package.digest, "ann")
    packages.revoke(package.digest, "ann")
    agent = run_agent()
    until(lambda: "ready" in agent.events())
    assert not opened.exists()
    assert [line["app_digest"] for line in agent.lines if line["event"] == "package_folded"] == [package.digest]
    assert agent.end() == 0


@pytest.mark.processes
def test_a_second_agent_on_one_directory_names_the_first(
    agent: AgentProcess, run_agent: Callable[[], AgentProcess]
) -> None:
    until(lambda: "ready" in agent.events())
    second = run_agent()
    until(lambda: second.process.poll() is not None)
    assert second.end() == 1
    assert f"is in use by the agent with process id {agent.process.pid}" in second.text


def test_a_directory_that_is_not_enrolled_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        start(tmp_path)
    assert "septum silo enroll" in caught.value.hint
