"""A coordinator that wants more than a silo gives: does the silo's own policy hold against it?

`HostileCoordinator` is a Channel. It invites a silo to runs that break its rules, one after another, and does not take
no for an answer: a silo that refuses is asked to prepare, to train and to evaluate all the same, and is invited again.
What the silo gives is kept. Models it hands out over another line, if it is given one: that of a server, say, which
sends the silo to fetch them at the `addresses_past` its rules.

    hostile = HostileCoordinator([Invitation("r1", replace(plan, quorum=1))])
    agent = Agent("north", admission.admit, folder, Capacity(4), tools_with(hostile))
    agent.serve()                        # ends when the coordinator has tried everything
    assert hostile.refused_by("r1") == "policy.min_cohort"  # and it neither joined nor reported
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from septum.errors import NotFoundError
from septum.ports.channel import Channel
from septum.protocol.messages import (
    Blob,
    End,
    Evaluate,
    Instruction,
    Invitation,
    Outcome,
    PollAnswer,
    Prepare,
    Refuse,
    SiloMessage,
    Train,
    Wait,
    blob_of,
)

MODEL = blob_of(b"no model at all")
DEMANDS: tuple[Instruction, ...] = (
    Prepare(1, initial=True),
    Train(1, 1, MODEL),
    Evaluate(1, 1, MODEL),
    Train(2**31, 1, MODEL),
    Wait(),
)


def addresses_past(allowed: str, wanted: str) -> tuple[str, ...]:
    """Locations by which a silo may be sent to `wanted`, while its rules name `allowed` alone; each `HOST:PORT`.

    The last ones lead to `allowed` itself, in ways in which nobody may go there.
    """
    host, _, port = allowed.partition(":")
    return (
        f"https://{wanted}/model",
        f"https://{wanted}/{allowed}/model",
        f"https://{wanted}#@{allowed}/model",
        f"https://{wanted}?@{allowed}/model",
        f"https://{wanted}\\@{allowed}/model",
        f"https://{allowed}@{wanted}/model",
        f"https://{host}%2f@{wanted}/model",
        f"https://{host}.{wanted}/model",
        f"https://x{allowed}/model",
        f"https://{host}/model",
        f"//{allowed}/model",
        "/model",
        "",
        f"http://{allowed}/model",
        f"https://silo:secret@{allowed}/model",
        f"https://{host}.:{port}/model",
    )


class HostileCoordinator:
    """A Channel to a coordinator that keeps to no rule. `done` is called once it has tried everything.

    `models`: the line on which models are fetched; without it there is none to fetch, and all are in its messages.
    """

    def __init__(
        self, invitations: Sequence[Invitation], done: Callable[[], None], models: Channel | None = None
    ) -> None:
        self._invitations = [again for one in invitations for again in (one, one)]
        self._done = done
        self._models = models
        self._demands = DEMANDS if models is None else tuple(_without_bytes(one) for one in DEMANDS)
        self._lock = threading.Lock()
        self._demanded: dict[str, int] = {}
        self._over = threading.Event()
        self.given: list[tuple[str, SiloMessage | Blob]] = []

    def refused_by(self, run: str) -> str:
        """The rule by which the silo refused a run whenever it spoke of it; empty if it ever gave anything else."""
        spoken = [message for name, message in self.given if name == run]
        rules = {message.rule if isinstance(message, Refuse) else "" for message in spoken}
        return rules.pop() if len(rules) == 1 else ""

    # --- the Channel ----------------------------------------------------------------------------------------------

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        """The next invitation, as soon as the run of the one before is over."""
        with self._lock:
            waiting = next((one for one in self._invitations if one.run not in serving), None)
            if waiting is not None:
                self._invitations.remove(waiting)
                self._demanded[waiting.run] = 0
                return waiting
            if not self._invitations and not serving:
                self._done()
        self._over.wait(0.01)
        return Wait()

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        """Whatever the silo says, it is asked for more."""
        with self._lock:
            self.given.append((run, message))
            count = self._demanded.get(run, 0)
            self._demanded[run] = count + 1
        if count < len(self._demands):
            return self._demands[count]
        return End(Outcome.STOPPED, "that was all")

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        """Take it."""
        with self._lock:
            self.given.append((run, Blob(digest, path.stat().st_size)))

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        """From the line for models."""
        if self._models is None:
            raise NotFoundError(f"run {run} has no blob {digest}")
        self._models.fetch_blob(run, digest, path, size_bytes=size_bytes)

    def close(self) -> None:
        """End what is held."""
        self._over.set()


def _without_bytes(demand: Instruction) -> Instruction:
    """The same, of a model that has to be fetched."""
    match demand:
        case Train() | Evaluate():
            return replace(demand, model=demand.model.without_bytes())
        case _:
            return demand
