"""Where can the coordinator be killed? A named list of every commit and every effect, and the story that gets there.

A commit has a name for each thing that it says: each kind of fact, and what it does to the outbox. The other names are
those of the ports' methods that write. A point that is not in this list ends the coordinator under test with its name,
and `test_points_are_listed` compares the list with the ports, the facts and the database's own writers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from septum.coordinator.areas import SILO_MODELS
from septum.ports.store import Transition
from septum.protocol.facts import Fact, ModelMade
from septum.protocol.run_state import Combine, Discard


class Story(Enum):
    """What happens to the run in which the coordinator is killed."""

    PLAIN = "small tensors, nothing goes wrong"
    LARGE = "large tensors, and a server optimizer with a state"
    PRUNING = "models of a run that has ended are removed; one of them was given a name"
    SHREDDING = "a run that has ended is shredded"
    KEEPING = "the silos' own models of each round are kept, and downloaded in the end"
    SLOW = "combining takes so long that its effect is committed first"
    PAUSED = "an operator pauses and resumes it"
    STOPPED = "an operator stops and resumes it"
    LEFT = "a silo's agent is ended and started again"
    FAILING = "one silo's training fails once"
    REFUSED = "every silo refuses it"
    QUEUED = "it waits for room in its silos, is stopped and resumed meanwhile, and begins when another run ends"
    OVERFLOWING = "one round's updates cannot be summed"
    PAYLOAD_LOST = "a payload vanishes from the disk"
    MODEL_LOST = "the newest model vanishes from the disk"
    ENROLLING = "silos come and go; no run"
    ASKING = "statistics are asked, and nothing is trained"
    PUSHING = "a package is pushed, signed, given presets and removed, and one that is not sound; no run"
    PEOPLING = "people are invited, prove themselves, get roles and tokens, and lose them; no run"
    GROUPING = "groups of silos and projects are made, change and end; no run"
    COMING = "a silo comes, and the feed is told; no run"
    DEPLOYING = (
        "models of a run that has ended are registered, approved, deployed and retired; silos say how far they are"
    )
    RECORDING = "people are looked at, heads of the audit log are signed, and a silo countersigns one; no run"
    TELLING = "silos tell of a run's log, and the coordinator looks at its machine"


COORDINATOR_POINTS: Mapping[str, Story] = {
    "open the store": Story.PLAIN,
    "open the blobs": Story.PLAIN,
    "create a run": Story.PLAIN,
    "commit: SiloJoined": Story.PLAIN,
    "commit: StageOpened prepare": Story.PLAIN,
    "commit: StageOpened train": Story.PLAIN,
    "commit: StageOpened evaluate": Story.PLAIN,
    "commit: SiloReported prepare": Story.PLAIN,
    "commit: SiloReported train": Story.PLAIN,
    "commit: SiloReported evaluate": Story.PLAIN,
    "commit: StageClosed prepare": Story.PLAIN,
    "commit: StageClosed train": Story.PLAIN,
    "commit: StageClosed evaluate": Story.PLAIN,
    "commit: ModelMade": Story.PLAIN,
    "commit: ModelMeasured": Story.PLAIN,
    "commit: RunEnded": Story.PLAIN,
    "commit: SiloModelsKept": Story.KEEPING,
    "commit: StatisticsMade": Story.ASKING,
    "commit: a step of a masked attempt": Story.ASKING,
    "commit: SiloReturned": Story.LEFT,
    "commit: SiloLeft": Story.LEFT,
    "commit: SiloRefused": Story.REFUSED,
    "commit: SiloFailed": Story.FAILING,
    "commit: AttemptFailed": Story.FAILING,
    "commit: CombineRefused": Story.OVERFLOWING,
    "commit: RunPaused": Story.PAUSED,
    "commit: RunResumed": Story.STOPPED,
    "commit: RunQueued": Story.QUEUED,
    "commit: RunPrioritised": Story.QUEUED,
    "commit: RunDequeued": Story.QUEUED,
    "commit: PayloadsLost": Story.PAYLOAD_LOST,
    "commit: ModelLost": Story.MODEL_LOST,
    "commit: outbox + Combine prepare": Story.SLOW,
    "commit: outbox + Combine train": Story.SLOW,
    "commit: outbox + Combine evaluate": Story.SLOW,
    "commit: outbox + Discard": Story.LARGE,
    "commit: outbox - done": Story.LARGE,
    "combine prepare": Story.PLAIN,
    "combine train": Story.LARGE,
    "combine evaluate": Story.PLAIN,
    "put a model": Story.LARGE,
    "share what a silo sent": Story.KEEPING,
    "put a silo's own": Story.KEEPING,
    "append to an upload": Story.LARGE,
    "put a small payload": Story.SLOW,
    "put an optimizer state": Story.LARGE,
    "discard payloads": Story.LARGE,
    "discard an optimizer state": Story.LARGE,
    "drop payloads": Story.LARGE,
    "drop optimizer states": Story.LARGE,
    "invite a silo": Story.ENROLLING,
    "enrol a silo": Story.ENROLLING,
    "note what a silo says": Story.ENROLLING,
    "note whether a silo is paused": Story.ENROLLING,
    "revoke a silo": Story.ENROLLING,
    "note who was seen": Story.ENROLLING,
    "write down who was seen": Story.ENROLLING,
    "put a package": Story.PUSHING,
    "add a package": Story.PUSHING,
    "set a preset": Story.PUSHING,
    "take a preset back": Story.PUSHING,
    "remove a package": Story.PUSHING,
    "discard a package": Story.PUSHING,
    "add an organisation": Story.PEOPLING,
    "remove an organisation": Story.PEOPLING,
    "add a person": Story.PEOPLING,
    "give roles": Story.PEOPLING,
    "suspend a person": Story.PEOPLING,
    "choose a password": Story.PEOPLING,
    "reset a person": Story.PEOPLING,
    "ask for a second factor": Story.PEOPLING,
    "use a code": Story.PEOPLING,
    "use a recovery code": Story.PEOPLING,
    "tie an identity": Story.PEOPLING,
    "admit a person": Story.PEOPLING,
    "begin a session": Story.PEOPLING,
    "note that a session was used": Story.PEOPLING,
    "close a session": Story.PEOPLING,
    "make a token": Story.PEOPLING,
    "note that a token was used": Story.PEOPLING,
    "revoke a token": Story.PEOPLING,
    "make a group": Story.GROUPING,
    "take a silo into a group": Story.GROUPING,
    "take a silo out of a group": Story.GROUPING,
    "remove a group": Story.GROUPING,
    "make a project": Story.GROUPING,
    "close a project": Story.GROUPING,
    "tell who came or went": Story.COMING,
    "forget old changes": Story.COMING,
    "register a model": Story.DEPLOYING,
    "approve a model": Story.DEPLOYING,
    "deploy a model": Story.DEPLOYING,
    "retire a model": Story.DEPLOYING,
    "note how far a silo is with a model": Story.DEPLOYING,
    "record what has no write of its own": Story.RECORDING,
    "sign a head": Story.RECORDING,
    "keep a countersignature": Story.RECORDING,
    "discard models": Story.PRUNING,
    "discard silos' own": Story.PRUNING,
    "shred a run": Story.SHREDDING,
    "drop models": Story.SHREDDING,
    "drop silos' own": Story.SHREDDING,
    "note that a run's files are gone": Story.SHREDDING,
    "open the logs": Story.TELLING,
    "prune logs": Story.TELLING,
    "add lines of a log": Story.TELLING,
    "note the load of a machine": Story.TELLING,
}

STAGED = frozenset({"StageOpened", "StageClosed", "SiloReported"})  # facts that have a name for each stage

# The methods of the ports, and of what stands behind them, that write; each with the points that name its calls.
WRITERS: Mapping[str, Collection[str]] = {
    "RunStore.create": ("create a run",),
    "RunStore.commit": tuple(point for point in COORDINATOR_POINTS if point.startswith("commit: ")),
    "SiloRegistry.invite": ("invite a silo",),
    "SiloRegistry.enroll": ("enrol a silo",),
    "SiloRegistry.revoke": ("revoke a silo",),
    "SiloRegistry.seen": ("note who was seen",),
    "SqlRegistry.flush": ("write down who was seen",),
    "SiloAccounts.describe": ("note what a silo says",),
    "SiloAccounts.stand": ("note whether a silo is paused",),
    "AppRegistry.add": ("add a package",),
    "AppRegistry.set_preset": ("set a preset",),
    "AppRegistry.drop_preset": ("take a preset back",),
    "AppRegistry.remove": ("remove a package",),
    "PeopleStore.add_organisation": ("add an organisation",),
    "PeopleStore.remove_organisation": ("remove an organisation",),
    "PeopleStore.add": ("add a person",),
    "PeopleStore.set_grants": ("give roles",),
    "PeopleStore.suspend": ("suspend a person",),
    "CredentialStore.choose_password": ("choose a password",),
    "CredentialStore.reset": ("reset a person",),
    "CredentialStore.set_totp": ("ask for a second factor",),
    "CredentialStore.use_step": ("use a code",),
    "CredentialStore.use_recovery": ("use a recovery code",),
    "CredentialStore.know_as": ("tie an identity",),
    "CredentialStore.admit": ("admit a person",),
    "SessionStore.open": ("begin a session",),
    "SessionStore.touch": ("note that a session was used",),
    "SessionStore.close": ("close a session",),
    "SessionStore.add_token": ("make a token",),
    "SessionStore.touch_token": ("note that a token was used",),
    "SessionStore.revoke_token": ("revoke a token",),
    "GroupStore.add": ("make a group",),
    "GroupStore.put": ("take a silo into a group",),
    "GroupStore.drop": ("take a silo out of a group",),
    "GroupStore.remove": ("remove a group",),
    "ProjectStore.add": ("make a project",),
    "ProjectStore.close": ("close a project",),
    "FeedStore.add": ("tell who came or went",),
    "FeedStore.trim": ("forget old changes",),
    "AuditLog.append": ("record what has no write of its own",),
    "AuditLog.sign": ("sign a head",),
    "AuditLog.witness": ("keep a countersignature",),
    "ModelRegistry.register": ("register a model",),
    "ModelRegistry.approve": ("approve a model",),
    "ModelRegistry.deploy": ("deploy a model",),
    "ModelRegistry.retire": ("retire a model",),
    "ModelRegistry.tell": ("note how far a silo is with a model",),
    "RunKeyStore.shred": ("shred a run",),
    "RunKeyStore.files_gone": ("note that a run's files are gone",),
    "BlobStore.put": (
        "put a model",
        "put a small payload",
        "put an optimizer state",
        "put a package",
        "put a silo's own",
    ),
    "BlobStore.share": ("share what a silo sent",),
    "BlobStore.append": ("append to an upload",),
    "BlobStore.discard": (
        "discard payloads",
        "discard an optimizer state",
        "discard a package",
        "discard models",
        "discard silos' own",
    ),
    "BlobStore.drop": ("drop payloads", "drop optimizer states", "drop models", "drop silos' own"),
    "Combiner.combine": ("combine prepare", "combine train", "combine evaluate"),
    "open_store": ("open the store",),
    "open_blobs": ("open the blobs",),
    "LogStore.add": ("add lines of a log",),
    "LogStore.prune": ("prune logs",),
    "SystemStore.note": ("note the load of a machine",),
    "open_telemetry": ("open the logs",),
}

READERS = frozenset(
    {
        "RunStore.get",
        "RunStore.page",
        "RunStore.listed",
        "RunStore.project_of",
        "RunStore.runs_with_model",
        "RunStore.unfinished",
        "RunStore.journal",
        "RunStore.journal_json",
        "SiloRegistry.get",
        "SiloRegistry.all",
        "SiloAccounts.accounts",
        "AppRegistry.get",
        "AppRegistry.all",
        "PeopleStore.organisations",
        "PeopleStore.people",
        "PeopleStore.person",
        "CredentialStore.credentials",
        "CredentialStore.known_as",
        "SessionStore.session",
        "SessionStore.token",
        "SessionStore.tokens",
        "GroupStore.groups",
        "ProjectStore.projects",
        "FeedStore.telling",  # nothing by itself: it is part of the write within, which is a point
        "FeedStore.after",
        "FeedStore.page",
        "FeedStore.newest",
        "FeedStore.silos_online",
        "AuditLog.recording",  # as above
        "AuditLog.after",
        "AuditLog.page",
        "AuditLog.heads",
        "AuditLog.newest_head",
        "AuditLog.inclusion",
        "AuditLog.consistency",
        "AuditLog.witnesses",
        "AuditLog.check",
        "ModelRegistry.versions",
        "ModelRegistry.deployments",
        "ModelRegistry.states",
        "RunKeyStore.salt",
        "RunKeyStore.with_files",
        "BlobStore.get",
        "BlobStore.digests",
        "BlobStore.open",
        "BlobStore.size_bytes",
        "BlobStore.kept_bytes",
        "BlobStore.free_bytes",
        "BlobStore.used_bytes",
        "LogStore.page",
        "SystemStore.series",
    }
)


def names_of(transition: Transition) -> list[str]:
    """The points at which this commit stands: a name for each thing that it says of one run.

    One that says nothing but a new state has a name too, and it is not in the list.
    """
    said = [_name_of_fact(fact) for fact in transition.facts]
    added = [f"outbox + {_name_of_effect(effect)}" for effect in transition.effects]
    done = ["outbox - done"] if transition.performed else []
    names = [*said, *added, *done]
    if not names:  # keys, shares, signatures and reveals are in the state, and are no facts
        names = ["nothing but a state" if transition.run.exchange is None else "a step of a masked attempt"]
    return [f"commit: {name}" for name in dict.fromkeys(names)]


def name_of_put(area: str) -> str:
    """What a blob that is stored in this area is."""
    match area.partition("-")[0]:
        case "models":
            return "put a model"
        case "optimizer":
            return "put an optimizer state"
        case "spool":
            return "put a small payload"
        case "apps":
            return "put a package"
        case "silo":
            return "put a silo's own"
    return f"put into {area}"


def name_of_removal(area: str, *, whole: bool) -> str:
    """`whole`: the area goes."""
    match area.partition("-")[0]:
        case "spool":
            return "drop payloads" if whole else "discard payloads"
        case "optimizer":
            return "drop optimizer states" if whole else "discard an optimizer state"
        case "apps" if not whole:
            return "discard a package"
        case "models" if area != "models":
            return "drop models" if whole else "discard models"
        case "silo":
            return "drop silos' own" if whole else "discard silos' own"
    return f"{'drop' if whole else 'discard from'} {area}"


def run_in(area: str) -> tuple[str, ...]:
    """The run that an area of the blobs belongs to."""
    if area.startswith(SILO_MODELS):
        return (area.removeprefix(SILO_MODELS),)
    run = area.partition("-")[2]
    return (run,) if run else ()


def last_model(transition: Transition) -> int | None:
    """The round of the last model that a commit makes known."""
    rounds = [fact.round for fact in transition.facts if isinstance(fact, ModelMade)]
    return rounds[-1] if rounds else None


def _name_of_fact(fact: Fact) -> str:
    kind = type(fact).__name__
    return f"{kind} {fact.stage.value}" if kind in STAGED else kind  # type: ignore[union-attr]


def _name_of_effect(effect: Combine | Discard) -> str:
    return f"Combine {effect.stage.value}" if isinstance(effect, Combine) else "Discard"
