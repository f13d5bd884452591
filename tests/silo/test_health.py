"""The agent's own file: how it is, for whoever watches over the silo's machine."""

from __future__ import annotations

import stat
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from septum.errors import ConfigError
from septum.silo.config import SiloConfig, read_config, write_config
from septum.silo.health import METRICS, READY_S, Health
from septum.silo.log import Log


def values(path):
    text = path.read_text()
    return {
        (sample.name, *(v for k, v in sample.labels.items() if k == "level")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_it_says_when_the_coordinator_answered_and_what_is_done(tmp_path):
    clock, heard = Clock(), []
    health = Health(tmp_path / "agent.prom", clock)
    log = Log(silo="north").heard_by(health.hearing(lambda *line: heard.append(line)))
    health.write(0)
    assert values(tmp_path / "agent.prom")["septum_agent_ready",] == 0
    health.answered()
    log.info("reported")
    log.bind(run_id="r-1").error("work_failed", error="x")
    clock.now += READY_S
    health.write(2)
    found = values(tmp_path / "agent.prom")
    assert found["septum_agent_ready",] == 1
    assert found["septum_agent_answered_time_seconds",] == 1000.0
    assert found["septum_agent_alive_time_seconds",] == 1000.0 + READY_S
    assert (found["septum_agent_runs",], found["septum_agent_reports_total",]) == (2, 1)
    assert [found["septum_agent_log_lines_total", level] for level in ("info", "warning", "error")] == [1, 0, 1]
    assert len(heard) == 2  # what leaves still leaves
    clock.now += 1
    health.write(0)
    assert values(tmp_path / "agent.prom")["septum_agent_ready",] == 0
    assert "r-1" not in (tmp_path / "agent.prom").read_text()
    assert stat.S_IMODE((tmp_path / "agent.prom").stat().st_mode) == 0o644


def test_the_file_goes_with_the_agent(tmp_path):
    health, stop, seen = Health(tmp_path / "agent.prom"), threading.Event(), threading.Event()

    def runs():
        seen.set()
        return 1

    health.start(runs, stop, Log())
    assert seen.wait(10)
    (thread,) = [one for one in threading.enumerate() if one.name == "health"]
    stop.set()
    thread.join(10)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_once_and_ends_nothing(tmp_path):
    heard, told = [], threading.Event()
    health, stop = Health(tmp_path / "gone" / "agent.prom"), threading.Event()
    health.start(lambda: 0, stop, Log().heard_by(lambda *line: (heard.append(line[1]), told.set())))
    assert told.wait(10)
    stop.set()
    assert heard == ["metrics_not_written"]


def test_the_file_is_asked_for_in_silo_toml(tmp_path):
    config = SiloConfig("north", "https://h:1", metrics_file=tmp_path / "agent.prom")
    write_config(tmp_path / "silo.toml", config)
    assert read_config(tmp_path / "silo.toml") == config
    text = (tmp_path / "silo.toml").read_text().replace("agent.prom", "nowhere/agent.prom")
    (tmp_path / "silo.toml").write_text(text)
    with pytest.raises(ConfigError, match="its folder is not there"):
        read_config(tmp_path / "silo.toml")


def test_every_metric_of_the_agent_is_documented():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md").read_text()
    for metric in METRICS:
        assert f"`{metric.name}`" in text, metric.name
