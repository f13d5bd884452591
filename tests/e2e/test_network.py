"""A silo behind a hospital's network: through a proxy that alone knows the coordinator's name, or past it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.adapters.channel.servers import SmallProxy, running
from tests.silo.small_app import write_app, write_data

from septum.adapters.tls import ensure_server_certificate
from septum.cli.process import Process

pytestmark = pytest.mark.e2e
NAME = "fl.hospital.invalid"  # RFC 6761: no resolver knows it, so only the proxy leads there
NOBODY = "http://127.0.0.1:1"


class Coordinator:
    """A coordinator process, and the operator's commands."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data_dir = folder / "coordinator"
        self.ca_file: Path | None = None
        where = ["--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0", *options]
        self.process = Process(["coordinator", "start", "--json", *where], folder / "coordinator.log")
        self.process.wait_for_event("ready", 60)
        lines = (folder / "coordinator.log").read_text().splitlines()
        self.port = next(json.loads(line)["port"] for line in lines if '"event": "ready"' in line)

    def ask(self, *arguments: str, **more: str) -> dict[str, object]:
        """The data of a command that ends well."""
        flags = ["--ca", str(self.ca_file)] if self.ca_file else []
        where = {"SEPTUM_OPERATOR_FILE": str(self.data_dir / "operator.json")}
        done = septum(*arguments, *flags, "--json", **where, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])["data"]


def septum(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    proxies = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
    ours = {name: value for name, value in os.environ.items() if name not in proxies}
    command = [sys.executable, "-m", "septum", *arguments]
    return subprocess.run(command, env={**ours, **more}, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def coordinator_in(folder: Path, *options: str) -> Iterator[Coordinator]:
    coordinator = Coordinator(folder, *options)
    try:
        yield coordinator
    finally:
        coordinator.process.stop()


def enroll(coordinator: Coordinator, folder: Path, silo: str, url: str, *options: str, **more: str):
    token = coordinator.ask("silo", "invite", silo)["token"]
    files = ["--app", f"small={folder / 'app'}", "--data", f"small={write_data(folder / f'{silo}.csv')}"]
    where = ["--url", url, "--dir", str(folder / silo)]
    done = septum("silo", "enroll", *where, *files, *options, SEPTUM_INVITATION=str(token), **more)
    config = folder / silo / "silo.toml"
    if config.exists():  # two silos, and no roster: a plain run
        text = config.read_text().replace("require_masking = true", "require_masking = false")
        config.write_text(text.replace("min_cohort = 3", "min_cohort = 2"))
    return done


def train(coordinator: Coordinator, folder: Path, silos: tuple[str, ...], **more: str) -> dict[str, object]:
    """A run of one round over silos whose agents have these proxies in their environment."""
    with ExitStack() as stack:
        for silo in silos:
            agent = Process(["silo", "start", "--dir", str(folder / silo)], folder / f"{silo}.log", more=more)
            stack.callback(agent.stop)
        access = {"HTTPS_PROXY": "", "NO_PROXY": "*"}
        options = ["--inspect", "--rounds", "1", "--watch", "--gather", "30"]
        return coordinator.ask("run", "submit", str(folder / "app"), *options, **access)


def test_a_silo_enrols_and_trains_through_a_proxy_that_alone_can_reach_the_coordinator(tmp_path):
    write_app(tmp_path / "app")
    with coordinator_in(tmp_path, "--hostname", "127.0.0.1", "--hostname", NAME) as coordinator:
        proxy = SmallProxy(coordinator.port)
        with running(proxy):
            url = f"https://{NAME}:{coordinator.port}"
            through = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "localhost,127.0.0.1"}
            for silo in ("north", "south"):
                done = enroll(coordinator, tmp_path, silo, url, **through)
                assert done.returncode == 0, done.stderr
            asked = len(proxy.heads)
            assert train(coordinator, tmp_path, ("north", "south"), **through)["status"] == "finished"
            assert len(proxy.heads) > asked
            assert all(head.startswith(f"CONNECT {NAME}:{coordinator.port} ") for head in proxy.heads)


def test_no_proxy_leads_past_a_proxy_and_without_it_the_proxy_is_named(tmp_path):
    write_app(tmp_path / "app")
    with coordinator_in(tmp_path, "--hostname", "127.0.0.1") as coordinator:
        url = f"https://127.0.0.1:{coordinator.port}"
        done = enroll(coordinator, tmp_path, "north", url, HTTPS_PROXY=NOBODY)
        assert done.returncode == 4
        assert "127.0.0.1:1" in done.stderr
        past = {"HTTPS_PROXY": NOBODY, "NO_PROXY": "127.0.0.0/8"}
        for silo in ("north", "south"):
            done = enroll(coordinator, tmp_path, silo, url, **past)
            assert done.returncode == 0, done.stderr
        assert train(coordinator, tmp_path, ("north", "south"), **past)["status"] == "finished"


def test_a_coordinator_whose_certificate_an_authority_of_ones_own_signed_is_trusted_by_extra_ca(tmp_path):
    write_app(tmp_path / "app")
    own = ensure_server_certificate(tmp_path / "own", ["127.0.0.1"])
    settings = tmp_path / "coordinator.toml"
    settings.write_text(f'certificate = "{own.cert_path}"\nkey = "{own.key_path}"\nnames = ["127.0.0.1"]\n')
    with coordinator_in(tmp_path, "--config", str(settings)) as coordinator:
        url = f"https://127.0.0.1:{coordinator.port}"
        coordinator.ca_file = own.ca_path
        done = enroll(coordinator, tmp_path, "north", url, NO_PROXY="*")
        assert done.returncode == 4
        assert "--extra-ca" in done.stderr
        for silo in ("north", "south"):
            done = enroll(coordinator, tmp_path, silo, url, "--extra-ca", str(own.ca_path), NO_PROXY="*")
            assert done.returncode == 0, done.stderr
        assert train(coordinator, tmp_path, ("north", "south"), NO_PROXY="*")["status"] == "finished"
