"""Fault 20: a coordinator that lies to a silo's real agent, over TLS. The agent refuses, and its own log says what."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.channel.servers import SmallCoordinator, SmallServer, running
from tests.faults.counting import until
from tests.silo.agent_process import AgentProcess
from tests.silo.small_app import write_app, write_data

from septum.adapters.identity.keys import load_private_key, public_bytes
from septum.adapters.identity.roster_keys import make_roster, public_text
from septum.adapters.identity.token import make_token, read_token, token_hash
from septum.errors import ProtocolError
from septum.protocol import payload, tensors
from septum.protocol.codec import encode
from septum.protocol.contents import WEIGHT
from septum.protocol.masked import sums
from septum.protocol.messages import (
    Agreed,
    Blob,
    End,
    Failure,
    Instruction,
    Invitation,
    Join,
    Keys,
    Leave,
    Masked,
    Outcome,
    Poll,
    PollAnswer,
    Refuse,
    Report,
    Revealed,
    Shares,
    SiloMessage,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Masking, Plan, digest_of
from septum.protocol.roster import write_roster
from septum.protocol.sources import source_of
from septum.sdk.package import digest_of as app_digest_of
from septum.silo.config import AppSettings
from septum.silo.enroll import enroll
from septum.silo.journal import Release, read
from septum.silo.roster import Rosters
from septum.testing.lies import LIES, Conversation, Talk, without_one

pytestmark = pytest.mark.faults

SILO = "north"
FOUR = ("east", "north", "south", "west")
TRAIN_ROWS = 6


class Liar(SmallCoordinator):
    """Invites a silo to one run after another, and leads in each the conversation that a test gives it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._waiting: list[tuple[str, Plan, Conversation | None]] = []
        self._talking: dict[str, Conversation | None] = {}
        self._news = threading.Condition()
        self.over: set[str] = set()
        self.said: dict[str, list[SiloMessage]] = {}
        self.problem = ""

    def invite(self, run: str, plan: Plan, conversation: Conversation | None = None) -> None:
        with self._news:
            self.said[run] = []
            self._waiting.append((run, plan, conversation))
            self._news.notify_all()

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        del silo, message
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._over, 5.0)
            if not self._waiting:
                return Wait()
            run, plan, self._talking[run] = self._waiting.pop(0)
            return Invitation(run, plan)

    def end(self) -> None:
        super().end()
        with self._news:
            self._news.notify_all()

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        del silo
        self.said[run].append(message)
        conversation = self._talking.get(run)
        try:
            if conversation is not None and not isinstance(message, Refuse | Leave):
                return next(conversation) if isinstance(message, Join) else conversation.send(message)
        except StopIteration:
            pass
        except ProtocolError as error:
            self.problem = f"{run}: {error.message}"
        self._talking[run] = None
        self.over.add(run)
        return End(Outcome.STOPPED, "that was all")


@dataclass(slots=True)
class Place:
    """An agent with the rules that a new silo has, the liar that it is enrolled at, and the others' keys."""

    service: Liar
    server: SmallServer
    agent: AgentProcess
    silo_dir: Path
    plan: Plan
    identities: dict[str, Ed25519PrivateKey | bytes]
    runs: int = 0

    def talk(self, base: Blob | None = None) -> Talk:
        """Of a run of its own, by default about a model of its own."""
        self.runs += 1
        model = tensors.encode(payload.model_tensors({"w": np.full((1, 1), self.runs, np.float32)}, {}))
        return Talk(SILO, self.plan, f"r-{self.runs}", self.identities, base or blob_of(model))

    def leads(self, talk: Talk, conversation: Conversation | None, plan: Plan | None = None) -> Sequence[SiloMessage]:
        """Lead a conversation to its end; what the silo said."""
        self.service.invite(talk.run, plan or self.plan, conversation)
        until(lambda: talk.run in self.service.over or bool(self.service.problem), f"{talk.run}: {self.agent.text}")
        assert self.service.problem == ""
        return self.service.said[talk.run]

    def logged(self, run: str, event: str, times: int = 1) -> list[dict[str, object]]:
        """The agent's lines of this event, once there are so many: they come by another way than its answers."""

        def found() -> list[dict[str, object]]:
            return [line for line in self.agent.lines if (line["event"], line.get("run_id")) == (event, run)]

        until(lambda: len(found()) >= times, f"{event} of {run}")
        return found()

    def releases(self, run: str) -> list[tuple[str, ...]]:
        return [entry.silos for entry in read(self.silo_dir) if isinstance(entry, Release) and entry.run == run]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("liar")
    (folder / "blobs").mkdir()
    service = Liar(folder / "blobs")
    server = SmallServer(service, folder / "tls")
    app = AppSettings(write_app(folder / "app"), write_data(folder / "data.csv"))
    plan = Plan("p", AppRef("small", "1", app_digest_of(app.path)), {}, FOUR, rounds=2, quorum=3, masking=Masking())
    token = make_token(SILO, os.urandom(32), server.certificate.digest)
    server.invited.add(token_hash(read_token(token).secret))
    with running(server):
        silo_dir = folder / "silo"
        enroll(silo_dir, url=server.url(), token=token, apps={"small": app})
        keys = {name: Ed25519PrivateKey.generate() for name in FOUR if name != SILO}
        own = load_private_key(silo_dir / "silo.key")
        texts = {name: public_text(key) for name, key in {**keys, SILO: own}.items()}
        signed = make_roster("f", {"admin": Ed25519PrivateKey.generate()}, texts)
        Rosters(silo_dir).approve(signed.roster.digest, write_roster(signed))
        agent = AgentProcess(silo_dir)
        try:
            yield Place(service, server, agent, silo_dir, plan, {**keys, SILO: public_bytes(own)})
        finally:
            service.end()
            agent.end()
            server.hang_up()


def nothing_leaked(said: Sequence[SiloMessage]) -> None:
    """No bare numbers, and in an attempt one signature and the shares of one kind at most."""
    assert not [message for message in said if isinstance(message, Report)]
    for message in (message for message in said if isinstance(message, Masked)):
        assert message.payload.inline is not None
        assert sums([source_of(message.payload.inline)], masker=None).numbers[WEIGHT] != TRAIN_ROWS
    assert len({message.signature for message in said if isinstance(message, Agreed)}) <= 1
    assert not [message for message in said if isinstance(message, Revealed) and message.reveal.keys]


def test_an_honest_coordinator_gets_all_that_there_is_to_get(place):
    """Or the tests below would pass with a silo that answers nothing."""
    talk = place.talk()
    said = place.leads(talk, talk.unmasked())
    assert [type(message) for message in said] == [Join, Keys, Shares, Masked, Agreed, Revealed]
    assert sorted(said[-1].reveal.seeds) == list(FOUR)
    assert place.releases(talk.run) == [FOUR]
    nothing_leaked(said)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_gets_a_refusal_alone_and_is_in_the_silos_own_log(place, name):
    lie, talk = LIES[name], place.talk()
    said = place.leads(talk, lie.tell(talk))
    assert [type(answer) for _, answer in talk.lies] == [Failure, Failure]
    lines = place.logged(talk.run, lie.event)
    assert lines
    assert all(lie.reason in str(line["error"]) for line in lines)
    if lie.event == "not_exchanged":
        asked = talk.lies[0][0]
        assert {line["asked"] for line in lines} == {digest_of(encode(asked))}
        assert {(line["step"], line["round"], line["attempt"]) for line in lines} == {
            (type(asked).__name__, 1, asked.attempt)
        }
    assert place.releases(talk.run) in ([], [FOUR])
    nothing_leaked(said)


def test_a_second_sum_about_a_model_without_one_silo_is_refused_in_another_run(place):
    first = place.talk()
    place.leads(first, first.unmasked())
    second = place.talk(base=first.base)
    said = place.leads(second, without_one(second))
    assert [type(answer) for _, answer in second.lies] == [Failure, Failure]
    (line, _) = place.logged(second.run, "not_exchanged", times=2)
    assert "it would tell what west sent" in str(line["error"])
    assert line["hint"] == f"septum silo journal list --dir {place.silo_dir}"
    assert (place.releases(first.run), place.releases(second.run)) == ([FOUR], [])
    assert not [message for message in said if isinstance(message, Agreed | Revealed)]


def test_the_same_sum_about_a_model_that_was_never_summed_is_signed(place):
    talk = place.talk()
    place.leads(talk, without_one(talk))
    assert {type(answer) for _, answer in talk.lies} == {Agreed}
    assert place.releases(talk.run) == [("east", "north", "south")]


def test_a_run_without_masks_is_refused_before_anything_is_read(place):
    talk = place.talk()
    plain = replace(place.plan, masking=None)
    (said,) = place.leads(talk, talk.lie(talk.training(talk.base)), plain)
    assert isinstance(said, Refuse)
    assert said.rule == "policy.require_masking"
    (line,) = place.logged(talk.run, "consent_denied")
    assert line["rule"] == "policy.require_masking"


@pytest.mark.parametrize("relayed", ["nothing", "a newer one of its own"])
def test_a_silo_that_is_not_in_the_pinned_roster_is_no_company_whatever_roster_the_coordinator_relays(place, relayed):
    talk = place.talk()
    sybil = replace(place.plan, silos=("east", "mallory", "north", "south"))
    if relayed != "nothing":
        keys = {name: public_text(Ed25519PrivateKey.generate()) for name in sybil.silos}
        forged = make_roster("f", {"admin": Ed25519PrivateKey.generate()}, keys)
        place.server.roster = write_roster(forged)
    pinned = Rosters(place.silo_dir).current()
    (said,) = place.leads(talk, talk.lie(talk.training(talk.base)), sybil)
    place.server.roster = b""
    assert isinstance(said, Refuse)
    assert (said.rule, "mallory" in said.reason) == ("roster", True)
    (line,) = place.logged(talk.run, "consent_denied")
    assert line["rule"] == "roster"
    refused = [line for line in place.agent.lines if line["event"] == "roster_not_fetched"]
    assert bool(refused) == (relayed != "nothing")
    assert Rosters(place.silo_dir).current() == pinned
