"""Who follows a run's log across a kill of the coordinator misses no line and gets none twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.e2e.runs import Journal, client_of, port_of
from tests.faults.counting import ROWS, UNCLOSED, counting_in, until

from septum.cli.federation import COORDINATOR, Federation
from septum.protocol import facts
from septum.protocol.log_lines import LogView
from septum.protocol.messages import Stage

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]


def test_a_follower_gets_each_line_once_across_a_kill_and_the_silos_tell_what_they_could_not(tmp_path: Path) -> None:
    counting = counting_in(tmp_path)
    gate = counting.gate("followed")
    with counting.federation(tmp_path / "federation") as federation:
        federation.base.mkdir()
        federation.start()
        port = port_of(federation)
        with client_of(federation) as client:
            run = client.submit(counting.plan("followed", 3, {"gate": str(gate)}), key="followed")
            seen: list[LogView] = []
            follower = threading.Thread(target=lambda: _follow(federation, run.id, seen))
            follower.start()
            journal = Journal(client, run)
            journal.until(facts.StageOpened, stage=Stage.TRAIN)
            until(lambda: any("stage=train" in line.text for line in tuple(seen)), "silos have told of their training")
            before = len(seen)
            federation.kill(COORDINATOR)
            gate.touch()
            federation.start_coordinator(port)
            journal.until(facts.RunEnded)
            follower.join(60)
            assert not follower.is_alive()
            kept = client.logs.page(run.id, limit=1000)
        assert before > 0
        assert [line.seq for line in seen] == [line.seq for line in kept]
        for silo in ROWS:
            texts = [line.text for line in seen if line.silo == silo]
            assert texts.count("run_ended outcome=finished") == 1
            assert texts.count("joined") >= 1
            assert "disconnected" in texts
            assert not [text for text in texts if "missing" in text]


def _follow(federation: Federation, run_id: str, seen: list[LogView]) -> None:
    with client_of(federation) as client:
        for line in client.logs.follow(run_id):
            seen.append(line)  # at once: the test looks at it meanwhile
