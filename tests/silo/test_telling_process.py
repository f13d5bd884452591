"""What a real agent and its worker let leave while they work: as much as the silo's policy says, and no more."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.adapters.channel.servers import running
from tests.silo.agent_process import AgentProcess
from tests.silo.small_app import allowing, write_app
from tests.silo.test_root import Site, until

from septum.protocol.log_lines import LogLevel, LogOrigin
from septum.protocol.messages import Report
from septum.protocol.plan import AppRef, Plan
from septum.sdk.package import digest_of
from septum.silo.enroll import enroll

pytestmark = [pytest.mark.processes, pytest.mark.served]

TRAIN = """
import warnings
print("a record of this silo: 63,1,145")
warnings.warn("few rows")
os.write(1, b"x" * 5_000_000 + b"\\n")
for number in range(20_000):
    print("flood", number)
return {'w': p['w'] + np.float32(h.lr) * np.float32(len(data))}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    write_app(made.app.path, TRAIN)
    manifest = made.app.path / "septum.toml"
    manifest.write_text(manifest.read_text().replace("open = [", "open = ['logs', "))
    app = AppRef("small", "1", digest_of(made.app.path))
    made.service.plan = Plan("p", app, {}, ("north", "south"), rounds=1)
    with running(made.server):
        yield made
        made.service.end()
        made.server.hang_up()


@pytest.fixture
def start(site: Site) -> Iterator[Callable[[str], AgentProcess]]:
    made: list[AgentProcess] = []

    def start_one(logs: str) -> AgentProcess:
        enroll(site.dir, url=site.server.url(), token=site.token(), apps={"small": site.app}, policy=allowing())
        config = site.dir / "silo.toml"
        rules = f'logs = "{logs}"\nsystem_every_s = 1\n'
        config.write_text(config.read_text().replace('logs = "agent"\nsystem_every_s = 10\n', rules))
        made.append(AgentProcess(site.dir))
        return made[-1]

    yield start_one
    for one in made:
        one.end(signal.SIGKILL)


def told(site: Site, origin: LogOrigin) -> list[str]:
    return [line.text for _, batch in site.server.logs for line in batch.lines if line.origin is origin]


@pytest.mark.parametrize("logs", ["agent", "app"])
def test_what_leaves_of_a_run_and_of_the_machine(site: Site, start: Callable[[str], AgentProcess], logs: str) -> None:
    agent = start(logs)
    until(lambda: bool(site.said(Report)))
    until(lambda: "worker_started" in told(site, LogOrigin.AGENT))
    until(lambda: len(site.server.loads) >= 2)
    by_agent = told(site, LogOrigin.AGENT)
    assert {run for run, _ in site.server.logs} == {"r-1"}
    assert by_agent[:3] == ["consent_granted app=small", "joined", "working stage=train round=1 attempt=1"]
    key = (site.dir / "silo.key").read_text().splitlines()[1]
    for text in by_agent:
        for secret in (key, str(site.dir), str(site.app.data), "rows", "dataset", "sha256", "blake3"):
            assert secret not in text
    if logs == "agent":
        assert told(site, LogOrigin.APP) == []
    else:
        until(lambda: any("few rows" in text for text in told(site, LogOrigin.APP)))
        until(lambda: any(text.startswith("flood") for text in told(site, LogOrigin.APP)))
        by_app = told(site, LogOrigin.APP)
        assert "a record of this silo: 63,1,145" in by_app
        (long,) = [text for text in by_app if text.startswith("xxx")]
        assert long.endswith("of 5000000 are told)")
        assert len(by_app) < 1_000  # of 20,000
        levels = {line.level for _, batch in site.server.logs for line in batch.lines if "few rows" in line.text}
        assert LogLevel.WARNING in levels
    assert site.server.loads[-1].memory_mb > 0
    assert agent.end() == 0


def test_where_the_policy_says_so_nothing_leaves(site: Site, start: Callable[[str], AgentProcess]) -> None:
    agent = start("none")
    until(lambda: bool(site.said(Report)))
    until(lambda: len(site.server.loads) >= 2)  # some seconds in which a line could have left
    assert site.server.logs == []
    assert agent.end() == 0
