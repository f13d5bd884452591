"""A silo's real agent, which kills itself where the plan says so, and comes back in a new process.

python -m tests.faults.agent_to_kill SILO_DIR FATE_DIR [once]

With `once` it stays away, until a test starts it again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.dying import Fate, live_again_and_again
from tests.faults.silo_kill_points import SILO_POINTS, name_of_message, name_of_save

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.launch.subprocess import SubprocessLauncher, SubprocessWorker
from septum.privacy.ledger import Charge
from septum.protocol.messages import Stage
from septum.silo import outgoing, root
from septum.silo.deployed import DeployedModels
from septum.silo.journal import Journal
from septum.silo.kept import KeptModels
from septum.silo.ledger import Ledger
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.private_run import PrivateRun
from septum.silo.run_files import RunFiles


def watch(fate: Fate) -> None:
    """Make points of what the agent's parts do; each name is made from the call's arguments, and the run's id."""

    def point(owner: Any, method: str, name: Callable[..., str], run: Callable[..., str]) -> None:
        plain = getattr(owner, method)

        def watched(*arguments: Any, **named: Any) -> Any:
            about = [run(*arguments), *(place_of(one) for one in arguments)]
            with fate.passing([name(*arguments)], [one for one in about if one]):
                return plain(*arguments, **named)

        setattr(owner, method, watched)

    def of_files(files: RunFiles, *_: object) -> str:
        return files.folder.name

    def of_call(_: object, run: str, *__: object) -> str:
        return run

    point(RunFiles, "make", lambda *_: "make the run's folders", of_files)
    point(RunFiles, "save", lambda _, state: name_of_save(state), of_files)
    point(RunFiles, "tidy", lambda *_: "tidy", of_files)
    point(RunFiles, "model", lambda *_: "clear models", of_files)
    point(RunFiles, "remove", lambda *_: "remove the run", of_files)
    point(HttpsChannel, "poll", lambda *_: "poll", lambda *_: "")
    point(HttpsChannel, "exchange", lambda _, __, message: name_of_message(message), of_call)
    point(HttpsChannel, "send_blob", lambda *_: "send a blob", of_call)
    point(HttpsChannel, "fetch_blob", lambda *_: "fetch a blob", of_call)
    point(SubprocessLauncher, "start", lambda *_: "start a worker", lambda _, spec, __: spec.run)
    point(
        SubprocessWorker, "perform", lambda _, task, __: f"work {task.stage.value}", lambda worker, *_: worker._spec.run
    )
    point(Journal, "release", lambda *_: "note a release", lambda _, __, ___, place, ____: place.run)
    point(KeptModels, "keep", lambda *_: "keep a model", lambda _, about, __: about.run)
    point(DeployedModels, "save", lambda *_: "note how far a deployed model is", lambda *_: "")
    point(HttpsChannel, "fetch_deployed", lambda *_: "fetch a deployed model", lambda *_: "")
    point(HttpsChannel, "tell_deployed", lambda *_: "tell of a deployment", lambda *_: "")
    point(Ledger, "release", lambda *_: "charge a release", lambda _, charge, __: run_of(charge))
    point(Ledger, "reserve", lambda *_: "reserve steps", lambda _, charge, __: run_of(charge))
    point(Ledger, "settle", lambda *_: "settle steps", lambda *_: "")
    point(PrivateRun, "_save", lambda *_: "save the account", lambda part, _: part._run)
    point(PrivateReceipts, "add", lambda *_: "note what a run cost", lambda _, receipt: receipt.run)
    point(outgoing, "take_over", lambda *_: "take over a payload", lambda source, *_: source.parents[1].name)


def run_of(charge: Charge) -> str:
    """The run that a charge is for, as its purpose says: `run RUN: what`."""
    return charge.purpose.partition(":")[0].removeprefix("run ")


def place_of(said: object) -> str:
    """The stage and round that a message is about, as `train 3`; empty for what is about none."""
    stage = getattr(said, "stage", None)
    return f"{stage.value} {getattr(said, 'round', 0)}" if isinstance(stage, Stage) else ""


def main(arguments: Sequence[str]) -> int:
    silo_dir, folder = map(Path, arguments[:2])
    fate = Fate(folder, SILO_POINTS)
    watch(fate)
    if arguments[2:] == ["once"]:
        root.start(silo_dir)
        return 0
    return live_again_and_again(fate, partial(root.start, silo_dir))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
