"""What if septum is upgraded while an agent runs, so that its next worker is of another version?"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.silo.small_app import spec_for, worker_process

from septum.adapters.launch.frames import (
    FRAMES,
    TO_AGENT,
    TO_WORKER,
    Failed,
    FromWorker,
    Ready,
    Start,
    ToWorker,
    receive,
    send,
)
from septum.adapters.launch.process import WorkerProcess
from septum.adapters.launch.subprocess import ENTRY, SubprocessWorker
from septum.errors import VersionError, WorkerError
from septum.ports.launcher import WorkerLimits
from septum.protocol.versions import Wire

LATER = Wire("septum-frames", FRAMES.version + 1, advice=FRAMES.advice)
A_LATER_WORKER = """
import socket, sys
from septum.adapters.launch.frames import FRAMES, Failed, send
from septum.protocol.versions import Wire
control = socket.socket(fileno=int(sys.argv[1]))
control.recv(4)
send(control, Failed("", "", ""), Wire("septum-frames", FRAMES.version + 1))
control.recv(1)
"""


def test_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        start = Start.of(spec_for(tmp_path), WorkerLimits())
        send(ours, start)
        assert receive(theirs, ToWorker, TO_WORKER) == start


def test_a_frame_of_another_version_is_refused_in_either_direction() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for wire in (LATER, Wire("septum-frames", FRAMES.version - 1)):
            send(ours, Ready(), wire)
            with pytest.raises(
                VersionError, match=rf"the worker speaks septum-frames {wire.version}, the agent {FRAMES.version} only"
            ):
                receive(theirs, FromWorker, TO_AGENT)


@pytest.mark.processes
def test_a_worker_that_does_not_speak_the_agents_frames_says_so_and_ends(tmp_path: Path) -> None:
    process, control = worker_process(["-m", ENTRY])
    with control, process:
        send(control, Start.of(spec_for(tmp_path), WorkerLimits()), LATER)
        said = receive(control, FromWorker, TO_AGENT, timeout_s=60)
        assert process.wait(60) == 0
    assert isinstance(said, Failed)
    assert said.message == f"the agent speaks septum-frames {LATER.version}, the worker {FRAMES.version} only"
    assert "start the agent again" in said.hint


@pytest.mark.processes
def test_an_agent_tells_its_operator_to_start_it_again_after_an_upgrade(tmp_path: Path) -> None:
    process, control = worker_process(["-c", A_LATER_WORKER])
    worker = SubprocessWorker(spec_for(tmp_path), WorkerLimits(), WorkerProcess(process), control)
    with pytest.raises(WorkerError) as refused:
        worker.begin()
    assert f"the worker speaks septum-frames {LATER.version}, the agent {FRAMES.version} only" in refused.value.message
    assert "septum was upgraded while the agent ran; start the agent again" in refused.value.hint
    assert not worker.alive
