"""A coordinator that lies in a masked attempt, to a silo's session in this process: what does it get, what is logged?

The lies are those of `septum.testing.lies`. Over TLS, to a real agent with its roster and folder, they are told in
tests/faults/test_lying_coordinator.py; here a lie takes a few milliseconds, and what came of it goes into the table.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.attacks.rows import Row, Verdict
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted, write_app, write_data

from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.launch.inline import InlineLauncher
from septum.protocol import payload, tensors
from septum.protocol.codec import decode, encode
from septum.protocol.contents import WEIGHT
from septum.protocol.masked import sums
from septum.protocol.messages import (
    Agreed,
    End,
    Failure,
    Instruction,
    Join,
    Masked,
    Outcome,
    Report,
    Revealed,
    SiloMessage,
    blob_of,
)
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.silo import SiloRun
from septum.protocol.sources import source_of
from septum.silo.journal import Journal, Release, read
from septum.silo.log import JsonFormatter
from septum.silo.masking_tools import MaskingTools
from septum.silo.run_files import RunFiles
from septum.silo.session import Session
from septum.testing.lies import LIES, Conversation, Talk

SILO, FOUR, RUN, TRAIN_ROWS = "north", ("east", "north", "south", "west"), "r1", 6
TEST = "test_lying"


@dataclass(frozen=True)
class Told:
    """What came of a conversation.

    said      by the silo, all of it
    lies      what the coordinator asked that it must not, and what the silo answered
    log       the lines of the silo's own log about the run
    releases  the lists of survivors in its journal
    """

    said: tuple[SiloMessage, ...]
    lies: tuple[tuple[Instruction, SiloMessage], ...]
    log: tuple[dict[str, object], ...]
    releases: tuple[tuple[str, ...], ...]

    @property
    def refused(self) -> bool:
        """Whether every lie was answered with a failure."""
        return bool(self.lies) and all(isinstance(answer, Failure) for _, answer in self.lies)

    @property
    def leaked(self) -> list[str]:
        """What left that must not: bare numbers, a second signature, a key share of a silo that is in the sum."""
        found = ["a plain report" for message in self.said if isinstance(message, Report)]
        for message in self.said:
            if isinstance(message, Masked):
                bare = sums([source_of(message.payload.inline or b"")], masker=None).numbers[WEIGHT] == TRAIN_ROWS
                found += ["a bare weight"] * bool(bare)
            if isinstance(message, Revealed) and message.reveal.keys:
                found.append("a key share")
        if len({message.signature for message in self.said if isinstance(message, Agreed)}) > 1:
            found.append("two signatures")
        return found


class Leading:
    """A Channel to a coordinator that leads one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation: Conversation | None = conversation
        self.said: list[SiloMessage] = []

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        assert run == RUN
        self.said.append(decode(SiloMessage, encode(message)))
        if self._conversation is not None:
            try:
                if isinstance(message, Join):
                    return next(self._conversation)
                return self._conversation.send(message)
            except StopIteration:
                self._conversation = None
        return End(Outcome.STOPPED, "that was all")


def led(folder: Path, tell: Callable[[Talk], Conversation]) -> Told:
    """Let a silo's session with its app, data, keys and journal be led by a conversation."""
    keys = {silo: Ed25519PrivateKey.generate() for silo in FOUR}
    public = {silo: public_bytes(key) for silo, key in keys.items()}
    app = approved(write_app(folder / "app"), write_data(folder / "data.csv"))
    plan = Plan("p", AppRef("small", "1", app.digest), {}, FOUR, rounds=2, quorum=3, masking=Masking())
    base = blob_of(tensors.encode(payload.model_tensors({"w": np.ones((1, 1), np.float32)}, {})))
    talk = Talk(SILO, plan, RUN, {**keys, SILO: public[SILO]}, base)
    channel = Leading(tell(talk))
    masking = MaskingTools(
        keys=lambda silos: {one: public[one] for one in silos},
        sign=keys[SILO].sign,
        primitives=openssl(),
        journal=Journal(folder, SILO),
        min_cohort=3,
    )
    tools = replace(tools_for(ScriptedChannel(ScriptedStop()), InlineLauncher()), channel=channel, masking=masking)
    with _log() as lines:
        Session(tools, RunFiles(folder / "runs" / RUN), SiloRun(RUN, SILO, plan), lambda: granted(app)).serve()
    releases = tuple(entry.silos for entry in read(folder) if isinstance(entry, Release))
    return Told(tuple(channel.said), tuple(talk.lies), tuple(lines), releases)


@contextmanager
def _log() -> Iterator[list[dict[str, object]]]:
    """The lines that septum's own formatter would write meanwhile."""
    lines: list[dict[str, object]] = []
    formatter, logger = JsonFormatter(), logging.getLogger("septum.silo")

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(formatter.format(record)))

    handler, level = Keep(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@cache
def told(name: str) -> Told:
    """What came of one of the lies."""
    with tempfile.TemporaryDirectory() as folder:
        return led(Path(folder), LIES[name].tell)


def rows() -> list[Row]:
    found = []
    for name, lie in LIES.items():
        told_ = told(name)
        kept = told_.refused and not told_.leaked
        asked = type(told_.lies[0][0]).__name__
        figure = f"in the silo's log: {lie.event}, “{lie.reason}”"
        found.append(
            Row(
                name,
                f"it asks one silo of four: {asked}",
                Verdict.REFUSED if kept else Verdict.SUCCEEDS,
                figure if kept else "",
                TEST,
            )
        )
    return found
