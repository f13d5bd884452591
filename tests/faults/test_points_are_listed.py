"""Is every commit and every effect in the list of kill points? Read from the ports, the facts and the source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

from tests.faults import silo_kill_points
from tests.faults.kill_points import COORDINATOR_POINTS, READERS, STAGED, WRITERS, Story
from tests.faults.people_promises import PROMISES
from tests.faults.silo_kill_points import SILO_POINTS
from tests.faults.test_kill_points import STORIES

import septum
from septum.coordinator.combining import Combiner
from septum.ports.accounts import SiloAccounts
from septum.ports.apps import AppRegistry
from septum.ports.audit import AuditLog, Recording
from septum.ports.blobs import BlobStore
from septum.ports.channel import Channel
from septum.ports.credentials import CredentialStore
from septum.ports.feed import FeedStore, Telling
from septum.ports.groups import GroupStore
from septum.ports.launcher import Launcher, Worker
from septum.ports.orders import Orders
from septum.ports.people import PeopleStore
from septum.ports.projects import ProjectStore
from septum.ports.registered import ModelRegistry
from septum.ports.registry import SiloRegistry
from septum.ports.run_keys import RunKeyStore
from septum.ports.sessions import SessionStore
from septum.ports.store import RunStore
from septum.ports.telemetry import LogStore, SystemStore
from septum.protocol.facts import Fact
from septum.protocol.messages import SiloMessage, Stage
from septum.protocol.run_state import Combine, Discard, Effect, Note
from septum.protocol.silo import SiloPhase
from septum.silo.deployed import DeployedModels
from septum.silo.journal import Journal
from septum.silo.kept import KeptModels
from septum.silo.ledger import Ledger
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.run_files import RunFiles

PORTS = (
    RunStore,
    SiloRegistry,
    SiloAccounts,
    AppRegistry,
    PeopleStore,
    CredentialStore,
    SessionStore,
    GroupStore,
    ProjectStore,
    FeedStore,
    AuditLog,
    ModelRegistry,
    RunKeyStore,
    BlobStore,
    LogStore,
    SystemStore,
)
SOURCE = Path(septum.__file__).parent


def test_every_method_of_a_port_either_writes_and_is_a_point_or_only_reads():
    methods = {f"{port.__name__}.{name}" for port in PORTS for name in vars(port) if not name.startswith("_")}
    methods |= {f"FeedStore.{name}" for name in vars(Telling) if not name.startswith("_")}
    methods |= {f"AuditLog.{name}" for name in vars(Recording) if not name.startswith("_")}
    listed = {name for name in WRITERS if name.split(".")[0] in {port.__name__ for port in PORTS}} | READERS
    assert methods == listed


def test_every_kind_of_fact_and_of_effect_is_a_commit_of_its_own():
    stages = [stage.value for stage in Stage]
    kinds = [kind.__name__ for kind in get_args(Fact)]
    facts = {f"{kind} {stage}" for kind in kinds if kind in STAGED for stage in stages} | set(kinds) - STAGED
    facts.remove("RunCreated")  # by RunStore.create, and by nothing else
    assert set(get_args(Effect)) == {Combine, Discard, Note}
    outbox = {*(f"outbox + Combine {stage}" for stage in stages), "outbox + Discard", "outbox - done"}
    masked = {"a step of a masked attempt"}  # in which nothing is a fact
    assert {point for point in COORDINATOR_POINTS if point.startswith("commit: ")} == {
        f"commit: {name}" for name in facts | outbox | masked
    }


def test_every_stage_is_combined_at_a_point():
    assert {f"combine {stage.value}" for stage in Stage} == set(WRITERS["Combiner.combine"])
    assert [name for name in vars(Combiner) if callable(getattr(Combiner, name)) and name[0] != "_"] == ["combine"]


def test_every_point_names_a_write_and_every_write_has_a_point():
    named = [point for points in WRITERS.values() for point in points]
    assert sorted(named) == sorted(COORDINATOR_POINTS)


def test_every_point_has_a_story():
    assert set(COORDINATOR_POINTS.values()) == set(Story) == set(STORIES)
    assert set(PROMISES) == {point for point, story in COORDINATOR_POINTS.items() if story is Story.PEOPLING}


def test_every_transaction_of_the_database_is_behind_a_listed_method():
    """Whoever opens one otherwise has to name it, and to be killed there."""
    openers = {"Database.write", "Database._take_over"}  # the latter is `open the store`
    openers |= {"SqliteFile.writing"}  # on which both stand
    openers |= {"SqliteLogs._prune_some"}  # of `LogStore.prune`
    openers |= {"Stores.seal_secrets"}  # of a start: one transaction, and the next start does it again
    openers |= {"Stores.check"}  # writes what is there already: a kill in it takes nothing
    adapters = {
        "RunStore": "SqlRunStore",
        "SiloRegistry": "SqlRegistry",
        "SiloAccounts": "SqlAccounts",
        "AppRegistry": "SqlApps",
        "PeopleStore": "SqlPeople",
        "CredentialStore": "SqlCredentials",
        "SessionStore": "SqlSessions",
        "GroupStore": "SqlGroups",
        "ProjectStore": "SqlProjects",
        "FeedStore": "SqlFeed",
        "AuditLog": "SqlAudit",
        "ModelRegistry": "SqlModelRegistry",
        "RunKeyStore": "SqlRunKeys",
        "LogStore": "SqliteLogs",
        "SystemStore": "SqliteSystem",
    }
    split = [name.partition(".") for name in WRITERS]
    listed = {f"{adapters.get(owner, owner)}{dot}{method}" for owner, dot, method in split}
    found = {
        name
        for path in [
            *SOURCE.glob("adapters/store/*.py"),
            *SOURCE.glob("adapters/telemetry/*.py"),
            *SOURCE.glob("coordinator/**/*.py"),
        ]
        for name in transactions(ast.parse(path.read_text()))
    }
    assert found - openers <= listed
    assert {"SqlRunStore.commit", "SqlRegistry.flush", "SqlApps.add", "Database._take_over"} <= found


def transactions(tree: ast.Module) -> set[str]:
    """The functions, as CLASS.NAME, that begin a transaction for writing."""
    found = set()
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef | ast.Module):
            for function in owner.body:
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _begins(function):
                    found.add(f"{owner.name}.{function.name}" if isinstance(owner, ast.ClassDef) else function.name)
    return found


def _begins(function: ast.AST) -> bool:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    called = {(ast.unparse(call.value), call.attr) for call in calls if isinstance(call, ast.Attribute)}
    return any(
        (attribute == "write" and of.endswith(("database", "_file")))
        or (attribute == "begin" and of.endswith("_writer"))
        or (attribute == "writing" and of.endswith("_backend"))
        for of, attribute in called
    )


def test_whatever_an_agent_persists_sends_and_has_done_is_a_point():
    owners = (RunFiles, Journal, KeptModels, DeployedModels, Ledger, PrivateReceipts, Channel, Orders, Launcher, Worker)
    methods = {f"{owner.__name__}.{name}" for owner in owners for name in vars(owner) if not name.startswith("_")}
    listed = {*silo_kill_points.WRITERS, *silo_kill_points.READERS} - {"outgoing.take_over", "PrivateRun._save"}
    assert methods == listed
    named = [point for points in silo_kill_points.WRITERS.values() for point in points]
    assert sorted(named) == sorted(SILO_POINTS)


def test_every_message_and_every_work_of_a_silo_is_a_point():
    stages = [stage.value for stage in Stage]
    kinds = {kind.__name__ for kind in get_args(SiloMessage)} - {"Report", "Masked"}
    said = {f"say {kind}" for kind in kinds} | {
        f"say {kind} {stage}" for kind in ("Report", "Masked") for stage in stages
    }
    assert {point for point in SILO_POINTS if point.startswith("say ")} == said
    assert {point for point in SILO_POINTS if point.startswith("work ")} == {f"work {stage}" for stage in stages}
    phases = {phase.value for phase in SiloPhase}
    assert {point.removeprefix("save: ").split(",")[0] for point in silo_kill_points.WRITERS["RunFiles.save"]} == phases
