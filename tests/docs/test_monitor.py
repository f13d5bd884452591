"""The page about monitoring shows commands, settings and metrics that exist."""

import re
from pathlib import Path

from septum.cli.reference import commands
from septum.coordinator import metrics
from septum.coordinator.config import load_config
from septum.coordinator.probes import LIVES, METRICS, READY
from septum.protocol.rights import Right
from septum.silo import health

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md").read_text()


def test_every_command_on_the_page_exists():
    known = {path for path, _ in commands()}
    shown = re.findall(r"^\$ (septum [^\n]*)|`(septum [a-z]+ [a-z]+)", PAGE, re.MULTILINE)
    found = [one or other for one, other in shown]
    assert len(found) >= 4
    assert [line for line in found if not any(line == path or line.startswith(f"{path} ") for path in known)] == []


def test_every_metric_on_the_page_exists():
    known = {metric.name for metric in (*metrics.METRICS, *health.METRICS)}
    assert set(re.findall(r"`((?:septum|process)_[a-z_]+)", PAGE)) - known == set()


def test_paths_settings_and_the_right_are_those_that_there_are(tmp_path):
    for path in (LIVES, READY, METRICS):
        assert f"`GET {path}`" in PAGE
    assert f"`{Right.METRICS_READ.value}`" in PAGE
    block = re.search(r"```toml\n# coordinator.toml\n(.*?)```", PAGE, re.DOTALL).group(1)
    (tmp_path / "coordinator.toml").write_text(block)
    assert load_config(tmp_path).metrics_port == 9464
