"""Where can a silo's agent be killed? A named list of all that it persists, sends and has done.

A point that is not in this list ends the agent under test with its name; `test_points_are_listed` compares the list
with the ports, the messages and the run's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from septum.protocol.messages import Masked, Report, SiloMessage
from septum.protocol.silo import SiloRun


class SiloStory(Enum):
    """What happens to the run in which the agent is killed."""

    SMALL = "small tensors, and a state that the app carries from round to round"
    LARGE = "the same with large tensors"
    FAILING = "this silo's training fails once"
    REFUSED = "this silo refuses the run"
    ENDING = "this silo's agent is asked to end"
    MASKED = "small tensors, masked"
    PRIVATE = "parameters that are each silo's own (test_private_kills.py)"
    DEPLOYING = "a model is deployed to this silo"
    PRIVACY = "differential privacy (test_dp_kills.py)"


BOTH = (SiloStory.SMALL, SiloStory.LARGE)

SILO_POINTS: Mapping[str, tuple[SiloStory, ...]] = {
    "make the run's folders": (SiloStory.SMALL,),
    "save: invited": (),  # it is not saved before its consent is known
    "save: active": BOTH,
    "save: active, result of prepare": BOTH,
    "save: active, result of train": (*BOTH, SiloStory.PRIVATE),
    "save: active, result of evaluate": (*BOTH, SiloStory.PRIVATE),
    "save: active, failure": (SiloStory.FAILING,),
    "save: refused": (SiloStory.REFUSED,),
    "save: ended": (*BOTH, SiloStory.PRIVATE),
    "tidy": (*BOTH, SiloStory.PRIVATE),
    "clear models": (SiloStory.LARGE,),
    "remove the run": BOTH,
    "poll": (SiloStory.SMALL,),
    "say Join": (SiloStory.SMALL,),
    "say Await": (),  # only after a request that was held for 25 s
    "say Report prepare": BOTH,
    "say Report train": BOTH,
    "say Report evaluate": BOTH,
    "say Failure": (SiloStory.FAILING,),
    "say Keys": (SiloStory.MASKED,),
    "say Shares": (SiloStory.MASKED,),
    "say Masked prepare": (SiloStory.MASKED,),
    "say Masked train": (SiloStory.MASKED,),
    "say Masked evaluate": (SiloStory.MASKED,),
    "note a release": (SiloStory.MASKED,),
    "say Agreed": (SiloStory.MASKED,),
    "say Revealed": (SiloStory.MASKED,),
    "say Refuse": (SiloStory.REFUSED,),
    "say Leave": (SiloStory.ENDING,),
    "send a blob": (SiloStory.LARGE,),
    "fetch a blob": (SiloStory.LARGE,),
    "start a worker": (SiloStory.SMALL,),
    "work prepare": (SiloStory.SMALL,),
    "work train": (*BOTH, SiloStory.PRIVATE),
    "work evaluate": (SiloStory.SMALL, SiloStory.PRIVATE),
    "take over a payload": (SiloStory.LARGE,),
    "keep a model": (SiloStory.PRIVATE,),
    "note how far a deployed model is": (SiloStory.DEPLOYING,),
    "fetch a deployed model": (SiloStory.DEPLOYING,),
    "tell of a deployment": (SiloStory.DEPLOYING,),
    "charge a release": (SiloStory.PRIVACY,),
    "reserve steps": (SiloStory.PRIVACY,),
    "save the account": (SiloStory.PRIVACY,),
    "settle steps": (SiloStory.PRIVACY,),
    "note what a run cost": (SiloStory.PRIVACY,),
}

COSTS_A_TRAINING = frozenset({"work train", "take over a payload", "save: active, result of train"})
"""Here what was trained is not on disk yet, or is not known to be."""

EACH_ROUND = frozenset({"tidy", "clear models", "send a blob", "fetch a blob", "say Report train"}) | COSTS_A_TRAINING
"""What comes by in each round: killed there in the third, when the app carries a state."""

WRITERS: Mapping[str, tuple[str, ...]] = {
    "RunFiles.make": ("make the run's folders",),
    "RunFiles.save": tuple(point for point in SILO_POINTS if point.startswith("save: ")),
    "RunFiles.tidy": ("tidy",),
    "RunFiles.model": ("clear models",),
    "RunFiles.remove": ("remove the run",),
    "Channel.poll": ("poll",),
    "Channel.exchange": tuple(point for point in SILO_POINTS if point.startswith("say ")),
    "Channel.send_blob": ("send a blob",),
    "Channel.fetch_blob": ("fetch a blob",),
    "Launcher.start": ("start a worker",),
    "Worker.perform": tuple(point for point in SILO_POINTS if point.startswith("work ")),
    "Journal.release": ("note a release",),
    "outgoing.take_over": ("take over a payload",),
    "KeptModels.keep": ("keep a model",),
    "DeployedModels.save": ("note how far a deployed model is",),
    "Orders.fetch_deployed": ("fetch a deployed model",),
    "Orders.tell_deployed": ("tell of a deployment",),
    "Ledger.release": ("charge a release",),
    "Ledger.reserve": ("reserve steps",),
    "PrivateRun._save": ("save the account",),
    "Ledger.settle": ("settle steps",),
    "PrivateReceipts.add": ("note what a run cost",),
}

READERS = frozenset(
    {
        "Journal.all",
        "Journal.check",
        "KeptModels.all",
        "KeptModels.get",
        "KeptModels.has",
        "KeptModels.newest",
        "DeployedModels.state",
        "DeployedModels.words",
        "DeployedModels.say",  # by commands, not by the agent
        "DeployedModels.said_at",
        "DeployedModels.active",
        "DeployedModels.path",
        "DeployedModels.checked",
        "DeployedModels.make",
        "DeployedModels.sweep",  # of what `state` no longer names: the next look does it again
        "Orders.deployments",
        "Ledger.read",
        "PrivateReceipts.all",
        "RunFiles.load",
        "RunFiles.held",
        "RunFiles.masked",
        "RunFiles.output",
        "RunFiles.settle",
        "RunFiles.rows",
        "RunFiles.privacy",
        "RunFiles.noisy",  # each write of a query with noise: tests/silo/test_private_query.py
        "RunFiles.start",
        "RunFiles.table",
        "RunFiles.carried",
        "Channel.close",
        "Worker.alive",
        "Worker.level",
        "Worker.pid",
        "Worker.close",
    }
)


def name_of_save(state: SiloRun) -> str:
    """What the state that is saved says."""
    if state.phase.value != "active":
        return f"save: {state.phase.value}"
    if state.failure is not None:
        return "save: active, failure"
    return f"save: active, result of {state.held.job.stage.value}" if state.held else "save: active"


def name_of_message(message: SiloMessage) -> str:
    """What is said to the coordinator."""
    stage = f" {message.stage.value}" if isinstance(message, Report | Masked) else ""
    return f"say {type(message).__name__}{stage}"
