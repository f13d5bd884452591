"""A federation whose coordinator kills itself at the points that it is told, and how to ask it until it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.coordinator.oidc_provider import OidcProvider
from tests.e2e.runs import port_of
from tests.faults.counting import ROWS, Counting, counting_in, until
from tests.faults.counting import persist as keep_asking
from tests.faults.dying import Fate, Kill, Remove, When
from tests.faults.kill_points import COORDINATOR_POINTS, Story
from tests.faults.programs import Program
from tests.faults.truth import assert_nobody_lies

from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.plan import Plan
from septum.protocol.views import JournalView, RunStatus

COMES_BY_S = 20.0
BLOBS = ("put ", "append ", "discard models", "discard silos' own")  # points with a middle
T = TypeVar("T")


@dataclass(slots=True)
class Place:
    """A federation whose coordinator kills itself where it is told to, and comes back."""

    federation: Federation
    counting: Counting
    fate: Fate
    client: Client
    program: Program
    provider: OidcProvider
    digests: dict[tuple[object, ...], str] = field(default_factory=dict)

    def persist(self, call: Callable[[], T]) -> T:
        assert self.program.running, f"the coordinator under test ended: {self.program.said}"
        return keep_asking(call)

    def submit(self, name: str, plan: Plan) -> str:
        return self.persist(lambda: self.client.submit(plan, key=name)).id

    def facts(self, run: str) -> list[Fact]:
        found: list[JournalView] = []
        while page := self._page(run, found[-1].seq if found else 0):
            found += page
        return [entry.fact for entry in found]

    def _page(self, run: str, after: int) -> tuple[JournalView, ...]:
        return self.persist(lambda: self.client.journal(run, after=after))

    def until_ended(self, run: str) -> RunStatus:
        """By its journal, which is on disk: a view may be ahead of it."""
        until(lambda: isinstance(self.facts(run)[-1], facts.RunEnded), f"{run} ends: {self.program.said}")
        return self.persist(lambda: self.client.run(run)).status

    def until_fact(self, run: str, kind: type[Fact], **fields: object) -> None:
        def there() -> bool:
            found = [fact for fact in self.facts(run) if isinstance(fact, kind)]
            return any(all(getattr(fact, name) == v for name, v in fields.items()) for fact in found)

        until(there, f"{kind.__name__} {fields} in {run}")

    def assert_honest(self) -> None:
        """What is said of runs and silos is what really runs."""
        assert_nobody_lies(self.client, self.agents)

    @property
    def agents(self) -> dict[str, int]:
        return {silo: self.federation.pid(silo) for silo in ROWS}

    def count(self, run: str, kind: type[Fact]) -> int:
        return sum(isinstance(fact, kind) for fact in self.facts(run))

    def undisturbed(self, plan: Plan) -> str:
        key = (plan.rounds, plan.hyper["width"], plan.hyper["overflow"], plan.strategy.name)
        if key not in self.digests:
            self.digests[key] = self.counting.undisturbed(plan)
        return self.digests[key]


@contextmanager
def mortal_federation(folder: Path, store_url: str = "") -> Iterator[Place]:
    """Three silos, which live, and a coordinator that people prove themselves to by a provider too.

    `store_url`: of an empty PostgreSQL database; without one the coordinator has a SQLite file.
    """
    counting = counting_in(folder)
    store = f'[store]\nurl = "{store_url}"\n' if store_url else ""
    with counting.federation(folder / "federation") as federation:
        federation.operator_dir.mkdir(mode=0o700, parents=True)
        (federation.operator_dir / "coordinator.toml").write_text(store)
        federation.start()
        port = port_of(federation)
        federation.kill("coordinator")
        provider = OidcProvider(folder / "provider")
        settings = f"approve_own = true\n{provider.settings(federation.operator_dir)}\n{store}"
        (federation.operator_dir / "coordinator.toml").write_text(settings)
        fate = Fate(folder / "fate", COORDINATOR_POINTS)
        where = (str(federation.operator_dir), str(port), str(folder / "fate"))
        program = Program("tests.faults.coordinator_to_kill", *where, log=folder / "coordinator.log")
        try:
            with closing(Client(operator_access(federation.operator_dir))) as client:
                yield Place(federation, counting, fate, client, program, provider)
        finally:
            provider.close()
            program.stop()


def deaths(point: str, run: str = "") -> list[Kill | Remove]:
    """Die there before, in the middle of a blob, and after: each time the run comes by again."""
    whens = (When.BEFORE, When.WITHIN, When.AFTER) if point.startswith(BLOBS) else (When.BEFORE, When.AFTER)
    kills: list[Kill | Remove] = [Kill(point, when, run) for when in whens]
    if COORDINATOR_POINTS[point] is Story.LARGE and not point.startswith("drop "):
        kills = [Kill(point, whens[0], run, skip=1), *kills[1:]]  # in a later round, with an optimizer that has a state
    if point.startswith("open "):  # what only a start does, about no run
        return [Kill("commit: StageOpened train", When.AFTER, run), *(Kill(point, when) for when in whens)]
    return kills


def readies(place: Place) -> list:
    return [entry for entry in place.fate.entries() if entry.point == "ready"]
