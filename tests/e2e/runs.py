"""The example's runs over real processes: how a test plans one, follows its journal, and knows what it must end at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.client import Client, operator_access
from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.plan import AppRef, Plan
from septum.protocol.views import JournalView, RunView
from septum.sdk.package import LoadedApp, load_app
from septum.simulate.run import read_silos, simulate

FOLDER = example("heart_disease")
APP = load_app(FOLDER)
FILES = silo_files(FOLDER / "data")
OPEN = {
    "require_masking": False,
    "allow_silo_models": True,
    "min_cohort": 2,
}  # a policy that lets plain runs in, also of two silos, whatever is kept of them


def a_plan(rounds: int, **changed: object) -> Plan:
    hyper = APP.app.hyper_values(APP.app.resolve({"rounds": rounds}))
    ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
    plan = Plan(
        "test",
        ref,
        hyper,
        tuple(sorted(FILES)),
        rounds=rounds,
        seed=42,
        gather_s=60,
        deadline_s=60,
    )
    return replace(plan, **changed)


def undisturbed(plan: Plan, app: LoadedApp = APP) -> str:
    """The digest that the run has when nothing goes wrong."""
    return simulate(app, plan, read_silos(app, app.app.resolve(plan.hyper), FILES)).model_digest


@contextmanager
def client_of(federation: Federation) -> Iterator[Client]:
    with Client(operator_access(federation.operator_dir)) as client:
        yield client


class Journal:
    """A run's journal, read on as far as a test needs."""

    def __init__(self, client: Client, run: RunView) -> None:
        self._entries = client.watch(run.id)
        self.seen: list[JournalView] = []

    def until(self, kind: type[Fact], **fields: object) -> Fact:
        for entry in self._entries:
            self.seen.append(entry)
            if isinstance(entry.fact, kind) and all(getattr(entry.fact, name) == v for name, v in fields.items()):
                return entry.fact
        raise AssertionError(f"the run ended without {kind.__name__} {fields}: {self.facts[-3:]}")

    @property
    def facts(self) -> list[Fact]:
        return [entry.fact for entry in self.seen]

    def models_made(self) -> list[int]:
        return [fact.round for fact in self.facts if isinstance(fact, facts.ModelMade)]


def port_of(federation: Federation) -> int:
    port = urlsplit(operator_access(federation.operator_dir).url).port
    assert port is not None
    return port
