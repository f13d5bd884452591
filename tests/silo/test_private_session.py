"""What an app does cannot bring a private parameter out under a name: its process is real, and bypasses the harness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.silo.scripted import Answer, ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted, write_app, write_data

from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.ports.launcher import Launcher, Level
from septum.protocol import payload, tensors
from septum.protocol.messages import Blob, Evaluate, Failure, Prepare, Report, Train, blob_of
from septum.protocol.plan import AppRef, Plan, Private
from septum.protocol.silo import SiloRun
from septum.silo.run_files import RunFiles
from septum.silo.session import Session

pytestmark = pytest.mark.processes

TRAIN = """
return {"w": p["w"] + p["head"], "head": p["head"] * 2 + np.float32(ctx.round)}
"""
# The harness calls these in the worker; an app in the same process can replace them.
ADDS = """
from septum.protocol import payload as _payload
_plain = _payload.update_tensors
_payload.update_tensors = lambda update, evaluation: {**_plain(update, evaluation), NAME: np.ones((1, 1), np.float32)}
"""
WIDENS = """
from septum.protocol import payload as _payload
_plain = _payload.update_tensors
_payload.update_tensors = lambda update, evaluation: {
    **_plain(update, evaluation), "update.w": np.concatenate([update["w"], np.ones((1, 1), np.float32)])
}
"""
SHOWS_AT_FIRST = """
from septum.protocol import payload as _payload
_plain = _payload.prepared_tensors
_payload.prepared_tensors = lambda sums, model: {**_plain(sums, model), "initial.head": np.ones((1, 1), np.float32)}
"""


def model(**extra: np.ndarray) -> Blob:
    parameters = {"w": np.zeros((1, 1), np.float32), **extra}
    return blob_of(tensors.encode(payload.model_tensors(parameters, {})))


class Bench:
    """The small app with a private head, in one silo."""

    def __init__(self, folder: Path, extra: str = "", train: str = TRAIN, patterns: str = '["head"]') -> None:
        app_dir = write_app(folder / "app", train, extra)
        code = (app_dir / "app.py").read_text()
        made = '{"w": np.zeros((1, len(shape)), np.float32), "head": np.full((1, 1), 0.5, np.float32)}'
        code = code.replace("{'w': np.zeros((1, len(shape)), np.float32)}", made)
        code = code.replace('{"w": np.zeros((1, len(shape)), np.float32)}', made)
        assert "head" in code
        (app_dir / "app.py").write_text(code)
        manifest = app_dir / "septum.toml"
        manifest.write_text(f"{manifest.read_text()}\n[private]\nparameters = {patterns}\n")
        self.app = approved(app_dir, write_data(folder / "data.csv"))
        ref = AppRef("small", "1", self.app.digest)
        self.plan = Plan("p", ref, {}, ("north", "south"), rounds=3, seed=7, private=Private(self.app.private))
        self.files = RunFiles(folder / "runs" / "r1")

    def play(self, *script: Answer, launcher: Launcher | None = None) -> ScriptedChannel:
        channel = ScriptedChannel(ScriptedStop(), *script)
        state = self.files.load() or SiloRun("r1", "north", self.plan)
        tools = tools_for(channel, launcher or InlineLauncher())
        Session(tools, self.files, state, lambda: granted(self.app)).serve()
        return channel


def heads(channel: ScriptedChannel) -> list[float]:
    """What each training added to w, which is the head that it began with."""
    reports = [said for said in channel.said if isinstance(said, Report)]
    return [float(tensors.decode(one.payload.inline or b"")["update.w"][0, 0]) for one in reports if one.round]


def failures(channel: ScriptedChannel) -> list[str]:
    return [said.reason for said in channel.said if isinstance(said, Failure)]


PROCESS = SubprocessLauncher(Level.PROCESS)


@pytest.mark.parametrize("name", ["update.head", "update.w2", "head", "evaluation.head"])
def test_a_tensor_that_the_shared_model_does_not_have_does_not_leave_whatever_its_name(tmp_path, name):
    channel = Bench(tmp_path, ADDS.replace("NAME", repr(name))).play(Train(1, 1, model()), launcher=PROCESS)
    (reason,) = failures(channel)
    assert f"tensor {name!r} was not asked for" in reason
    assert not [said for said in channel.said if isinstance(said, Report)]


def test_a_shared_tensor_with_more_room_than_the_model_has_does_not_leave(tmp_path):
    (reason,) = failures(Bench(tmp_path, WIDENS).play(Train(1, 1, model()), launcher=PROCESS))
    assert "tensor 'update.w' has shape [2, 1], expected [1, 1]" in reason


def test_the_initial_model_leaves_without_its_private_part_and_with_it_not_at_all(tmp_path):
    honest = Bench(tmp_path / "honest").play(Prepare(1, initial=True))
    (report,) = [said for said in honest.said if isinstance(said, Report)]
    assert list(tensors.decode(report.payload.inline or b"")) == ["initial.w"]
    (reason,) = failures(Bench(tmp_path / "other", SHOWS_AT_FIRST).play(Prepare(1, initial=True), launcher=PROCESS))
    assert "'initial.head' is private by the app's manifest and stays in the silo: head" in reason


@pytest.mark.parametrize("work", [lambda base: Train(1, 1, base), lambda base: Evaluate(3, 1, base)])
def test_a_model_that_comes_with_a_private_tensor_is_refused(tmp_path, work):
    """A coordinator that had one would have it of some silo; and the updates of it would be asked for."""
    channel = Bench(tmp_path).play(work(model(head=np.ones((1, 1), np.float32))))
    assert "'head'" in failures(channel)[0]
    assert "private" in failures(channel)[0]
    assert not [said for said in channel.said if isinstance(said, Report)]


def test_private_parameters_go_on_from_round_to_round_and_a_repeated_attempt_begins_where_the_first_did(tmp_path):
    """0.5, then twice that and the round: 2, then 6. By hand."""
    bench = Bench(tmp_path)
    first, second = model(), model()
    channel = bench.play(Train(1, 1, first), Train(1, 2, first), Train(2, 1, second), Train(3, 1, second))
    assert heads(channel) == [0.5, 0.5, 2.0, 6.0]


def test_a_killed_agent_or_worker_changes_nothing(tmp_path):
    bench = Bench(tmp_path)
    one = bench.play(Train(1, 1, model()))
    two = bench.play(Train(2, 1, model()))  # another session, another worker
    three = bench.play(Train(3, 1, model()), launcher=PROCESS)
    assert heads(one) + heads(two) + heads(three) == [0.5, 2.0, 6.0]


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        ('["haed"]', "the private pattern 'haed' matches no tensor; did you mean 'head'?"),
        ('["*"]', "nothing is left to share"),
    ],
)
def test_patterns_that_fit_no_tensor_or_all_of_them_are_told_before_the_first_round(tmp_path, patterns, told):
    channel = Bench(tmp_path, patterns=patterns).play(Prepare(1, initial=False))
    assert told in failures(channel)[0]
