"""A silo's session in a masked run: what it says, what it keeps to itself, and what is left on its disk."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.silo.masked_parts import WHERE, Parts, masked_plan
from tests.silo.scripted import Answer, ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import granted
from tests.silo.test_session import COUNTING, Bench, model

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import ConnectionFailedError, ProtocolError
from septum.protocol import tensors
from septum.protocol.messages import (
    Agree,
    Agreed,
    Blob,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Keys,
    MakeKeys,
    Masked,
    Outcome,
    Revealed,
    ShareKeys,
    Shares,
    Stage,
    Train,
    Unmask,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, digest_of
from septum.protocol.silo import SiloRun
from septum.secagg.context import threshold
from septum.silo.journal import FILE_NAME
from septum.silo.log import JsonFormatter
from septum.silo.masking_tools import MaskingTools
from septum.silo.session import Session

PEERS = ("south", "west")
SILOS = ("north", *PEERS)
KINDS = [Join, Keys, Shares, Masked, Agreed, Revealed]


class MaskedBench(Bench):
    """The silo north with its app in a masked run, and two others that take part by hand."""

    def __init__(self, folder: Path, train: str = COUNTING, **settings: object) -> None:
        super().__init__(folder, train)
        hidden = masked_plan(SILOS, quorum=threshold(3))
        app = AppRef("small", "1", self.app.digest)
        self.plan = replace(hidden, app=app, hyper={"lr": 0.5}, masking=replace(hidden.masking, **settings))
        self.others = Parts(folder / "agents", self.plan)
        self.send_error_texts = True

    def play(self, *script: Answer, **_: object) -> ScriptedChannel:
        self.channel = ScriptedChannel(ScriptedStop(), *script)
        self.channel.blobs = self.blobs
        state = self.files.load() or SiloRun("r1", "north", self.plan)
        tools = replace(
            tools_for(self.channel, InlineLauncher()),
            masking=self.others.tools("north"),
            send_error_texts=self.send_error_texts,
        )
        Session(tools, self.files, state, lambda: granted(self.app)).serve()
        return self.channel

    def attempt(self, number: int, base: Blob, *, steps: int = 5, round_: int = 1) -> list[Answer]:
        """The first steps of an attempt at a round, as the coordinator asks for them."""
        where = (Stage.TRAIN, round_, number)
        said: dict[str, dict[str, object]] = {}

        def keys() -> Instruction:
            said["keys"] = dict(self.others.advertise(*PEERS, where=where))
            return ShareKeys(
                *where, {silo: one.advert for silo, one in {**said["keys"], "north": self.last(Keys)}.items()}
            )

        def shares() -> Instruction:
            asked = keys_asked()
            said["shares"] = {silo: self.others.parts[silo].answer(asked) for silo in PEERS}
            return Train(round_, number, base, {silo: one.sealed["north"] for silo, one in said["shares"].items()})

        def keys_asked() -> ShareKeys:
            adverts = {silo: one.advert for silo, one in {**said["keys"], "north": self.last(Keys)}.items()}
            return ShareKeys(*where, adverts)

        def unmask() -> Instruction:
            every = {**said["shares"], "north": self.last(Shares)}
            signed = {"north": self.last(Agreed).signature}
            for silo in PEERS:
                sealed = {other: one.sealed[silo] for other, one in every.items() if other != silo}
                self.others.parts[silo].asked(Train(round_, number, base, sealed))
                plain = tensors.encode(self.plain_like())
                result = Masked(*where, base.digest, blob_of(plain))
                self.others.parts[silo].protect(result, plain, 6, self.others.folder / f"{silo}.masked")
                signed[silo] = self.others.parts[silo].answer(Agree(*where, SILOS)).signature
            return Unmask(*where, signed)

        return [MakeKeys(*where), keys, shares, Agree(*where, SILOS), unmask][:steps]

    def plain_like(self) -> dict[str, np.ndarray]:
        """What the others trained: of the same layout."""
        state = self.files.load()
        assert state is not None
        assert state.held is not None
        data = state.held.payload.inline or self.files.held(state.held.job.name).read_bytes()
        return dict(tensors.decode(data))

    def last(self, kind: type) -> object:
        return next(message for message in reversed(self.channel.said) if isinstance(message, kind))

    @property
    def kept(self) -> set[str]:
        return {path.name for path in (self.files.folder / "held").iterdir()}


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """The lines of the silo's own log."""
    return "\n".join(map(JsonFormatter().format, caplog.records))


def kinds(channel: ScriptedChannel) -> list[type]:
    return [type(message) for message in channel.said]


def test_a_silo_goes_through_the_five_steps_and_its_result_leaves_masked(tmp_path):
    silo = MaskedBench(tmp_path)
    channel = silo.play(*silo.attempt(1, blob_of(model())), Wait())
    assert kinds(channel)[:6] == KINDS
    data = channel.said[3].payload.inline
    assert set(tensors.decode(data)) == {
        "masked.evaluation.sums",
        "masked.weight",
        "masked.evaluation.bins",
        "masked.update.w",
    }
    plain = silo.plain_like()["update.w"].tobytes()
    assert plain == np.float32(1).tobytes()
    assert np.float64(6).tobytes() not in data  # its rows
    assert not hasattr(channel.said[3], "weight")
    assert silo.trained == 1


def test_what_it_signed_and_revealed_for_is_in_its_log_under_a_name_that_the_other_silos_have_too(tmp_path, caplog):
    caplog.set_level("INFO")
    silo = MaskedBench(tmp_path)
    silo.play(*silo.attempt(1, blob_of(model())), Wait())
    lines = [json.loads(line) for line in logged(caplog).splitlines()]
    (signed,) = [line for line in lines if line["event"] == "sum_signed"]
    (revealed,) = [line for line in lines if line["event"] == "shares_revealed"]
    theirs = {silo.others.parts[peer]._at(Stage.TRAIN, 1, 1).state.sum for peer in PEERS}
    assert {signed["sum"], revealed["sum"]} == theirs
    assert (signed["silos"], revealed["signed_by"]) == (list(SILOS), list(SILOS))
    assert {line[name] for line in (signed, revealed) for name in ("stage", "round", "attempt")} == {"train", 1}


def test_what_is_masked_is_no_longer_than_the_plan_lets_it_be(tmp_path):
    silo = MaskedBench(tmp_path)
    silo.plan = replace(silo.plan, clip_norm=0.5)
    silo.others = Parts(tmp_path / "agents", silo.plan)
    channel = silo.play(*silo.attempt(1, blob_of(model())), Wait())
    assert kinds(channel)[:6] == KINDS
    assert 0.499 < silo.plain_like()["update.w"].item() <= 0.5  # of 1.0


def forms(secret: bytes) -> list[bytes]:
    """As it could be written somewhere."""
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()]


def test_no_secret_of_an_attempt_is_in_any_file_of_the_silo_or_in_its_log(tmp_path, caplog, monkeypatch):
    """Also not of one that is refused at each step: an error's text is in the log as well."""
    caplog.set_level("DEBUG")
    silo = MaskedBench(tmp_path)
    tools, drawn = silo.others.tools, []

    def noted(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    def spied(name: str) -> MaskingTools:
        made = tools(name)
        return replace(made, primitives=replace(made.primitives, random=noted))

    monkeypatch.setattr(silo.others, "tools", spied)
    base = blob_of(model())
    honest = silo.attempt(1, base)
    where = (Stage.TRAIN, 1, 2)
    refused = [ShareKeys(*where, {}), Agree(*where, ()), Unmask(*where, {"south": b"no"}), ShareKeys(*WHERE, {})]
    channel = silo.play(*honest, *silo.attempt(2, base, steps=4)[:1], *refused, Wait())
    assert kinds(channel)[:6] == KINDS
    assert kinds(channel).count(Failure) == len(refused)
    secrets = [one[start : start + 32] for one in drawn for start in range(0, len(one) - 31, 33)]
    assert len(secrets) >= 2 * (
        3 + 2 * (threshold(3) - 1)
    )  # three secrets, and the polynomials of two; in two attempts
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert "sum_signed" in logged(caplog)
    found = [
        one for one in secrets for form in forms(one) for text in (*written, logged(caplog).encode()) if form in text
    ]
    assert found == []


def test_a_retry_with_new_keys_masks_the_held_result_without_training_again(tmp_path):
    silo = MaskedBench(tmp_path)
    base = blob_of(model())
    channel = silo.play(*silo.attempt(1, base, steps=3), *silo.attempt(2, base, steps=3))
    first, second = (message for message in channel.said if isinstance(message, Masked))
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.payload.inline[-4:] != second.payload.inline[-4:]
    assert silo.trained == 1


def test_an_agent_that_was_killed_says_that_it_has_no_keys_and_trains_not_again(tmp_path):
    silo = MaskedBench(tmp_path)
    base = blob_of(model())
    silo.play(*silo.attempt(1, base, steps=3))
    channel = silo.play(Train(1, 1, base), *silo.attempt(2, base, steps=3))
    assert kinds(channel)[:5] == [Join, Failure, Keys, Shares, Masked]
    assert "no keys for train round 1 attempt 1: its agent was started again" in channel.said[1].reason
    assert silo.trained == 1


def test_a_result_that_was_not_heard_is_said_again_in_the_same_bytes(tmp_path):
    silo = MaskedBench(tmp_path)
    base = blob_of(model())
    first = silo.attempt(1, base, steps=3)
    sealed: list[Instruction] = []
    again = first[2]
    first[2] = lambda: sealed.append(again()) or sealed[0]
    channel = silo.play(*first, ConnectionFailedError("cut"), lambda: sealed[0])
    masked = [message for message in channel.said if isinstance(message, Masked)]
    assert len(masked) == 2
    assert masked[0].payload == masked[1].payload
    assert masked[0] == masked[1]


# --- what stays at home --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_", [False, True])
def test_why_a_result_could_not_be_masked_stays_at_home_unless_the_policy_sends_the_texts_of_errors(
    tmp_path, open_, caplog
):
    silo = MaskedBench(tmp_path, max_weight=5)  # and it has six rows
    silo.send_error_texts = open_
    channel = silo.play(*silo.attempt(1, blob_of(model()), steps=3), Wait())
    assert kinds(channel)[:4] == [Join, Keys, Shares, Failure]
    failure = channel.said[3]
    assert (failure.stage, failure.round, failure.attempt) == (Stage.TRAIN, 1, 1)
    told = "a weight of 6 rows; the plan's cap is 5"
    kept = "the result could not be masked in this silo, which keeps the reason to itself"
    assert failure.reason == (told if open_ else kept)
    assert failure.details == ""
    assert told in logged(caplog)  # for the steward


@pytest.mark.parametrize("open_", [False, True])
def test_a_damaged_journal_is_no_signature_and_its_place_stays_at_home(tmp_path, open_, caplog):
    silo = MaskedBench(tmp_path)
    silo.send_error_texts = open_
    path = silo.others.folder / "north" / FILE_NAME
    path.parent.mkdir(parents=True)
    keys, share, work, agree = silo.attempt(1, blob_of(model()), steps=4)

    def damaged() -> Instruction:
        path.write_bytes(b"nonsense\n")
        return agree

    channel = silo.play(keys, share, work, damaged, Wait())
    assert kinds(channel)[:5] == [Join, Keys, Shares, Masked, Failure]
    assert (str(path) in channel.said[4].reason) == open_
    assert open_ or channel.said[4].reason.endswith("keeps the reason to itself")
    assert f"sed -n 1p {path}" in logged(caplog)
    assert not [message for message in channel.said if isinstance(message, Agreed)]


def test_what_the_coordinator_did_wrong_is_told(tmp_path):
    silo = MaskedBench(tmp_path)
    silo.send_error_texts = False
    script = silo.attempt(1, blob_of(model()), steps=3)
    channel = silo.play(*script, Agree(Stage.TRAIN, 1, 1, PEERS), Wait())
    assert "2 silos of 3, and 'north' sums over 3 at least" in channel.said[4].reason


def test_the_signature_leaves_after_the_journal_has_it(tmp_path):
    """Seen where it leaves: the coordinator is told with the release on the disk."""
    silo = MaskedBench(tmp_path)
    journal = silo.others.folder / "north" / FILE_NAME
    seen: dict[str, bool] = {}

    class Watching(ScriptedChannel):
        def exchange(self, run, message):
            seen[type(message).__name__] = journal.exists()
            return super().exchange(run, message)

    channel = Watching(ScriptedStop(), *silo.attempt(1, blob_of(model()), steps=4))
    silo.channel = channel
    tools = replace(tools_for(channel, InlineLauncher()), masking=silo.others.tools("north"))
    Session(tools, silo.files, SiloRun("r1", "north", silo.plan), lambda: granted(silo.app)).serve()
    assert seen == {"Join": False, "Keys": False, "Shares": False, "Masked": False, "Agreed": True}


def test_a_silo_without_masking_tools_and_a_plain_run_make_no_keys(tmp_path):
    silo = Bench(tmp_path)
    channel = silo.play(MakeKeys(Stage.TRAIN, 1, 1), Wait())
    assert kinds(channel)[:2] == [Join, Failure]
    assert channel.said[1].reason == "this silo takes no part in masked runs"


# --- files ---------------------------------------------------------------------------------------------------------

WIDE = "with open(COUNT, 'a') as f: f.write('x')\nreturn {'w': p['w'] + np.float32(0.001)}"


class WideBench(MaskedBench):
    """Models of some size, of which the app uses one parameter."""

    def __init__(self, folder: Path, width: int) -> None:
        super().__init__(folder, WIDE)
        self.width = width

    def base(self, value: float) -> Blob:
        data = model(value, self.width)
        self.blobs[digest_of(data)] = data
        return Blob(digest_of(data), len(data))


@pytest.mark.parametrize("width", [10_000, 30_000])
def test_of_a_large_masked_result_nothing_is_left_once_the_next_round_is_worked_on(tmp_path, width):
    """With 10,000 parameters the plain result is in the session's file, and the masked one has a file of its own."""
    silo = WideBench(tmp_path, width)
    one, two = silo.base(0.0), silo.base(1.0)
    channel = silo.play(*silo.attempt(1, one), *silo.attempt(1, two, steps=3, round_=2))
    sent = [message for message in channel.said if isinstance(message, Masked)]
    assert [message.payload.inline for message in sent] == [None, None]
    assert channel.calls.count("send_blob") == 2
    plain = {"train-2"} if width == 30_000 else set()
    assert silo.kept == {"train-2.masked", *plain}
    silo.play(Train(2, 1, two), End(Outcome.FINISHED))
    assert not silo.files.folder.exists()


def test_what_was_masked_for_a_dead_agent_goes_with_the_next_round(tmp_path):
    silo = WideBench(tmp_path, 10_000)
    one, two = silo.base(0.0), silo.base(1.0)
    silo.play(*silo.attempt(1, one, steps=3))
    assert silo.kept == {"train-1.masked"}
    silo.play(Train(2, 1, two))
    assert silo.kept == set()


def test_a_held_result_whose_file_was_lost_is_trained_anew(tmp_path):
    silo = WideBench(tmp_path, 30_000)
    base = silo.base(0.0)
    retry = silo.attempt(2, base, steps=3)
    keys = retry[0]

    def lose() -> Instruction:
        silo.files.held("train-1").unlink()
        return keys

    channel = silo.play(*silo.attempt(1, base, steps=3), lose, *retry[1:], Wait(), *silo.attempt(3, base, steps=3))
    masked = [message.attempt for message in channel.said if isinstance(message, Masked)]
    assert masked == [1, 3]
    (failure,) = [message for message in channel.said if isinstance(message, Failure)]
    assert failure.attempt == 2
    assert "the kept result of train-1 cannot be read" in failure.reason
    assert silo.trained == 2


def test_a_silo_that_was_refused_a_result_masks_no_other_one_with_the_same_keys(tmp_path):
    """Training need not give the same bits twice: here it counts its calls."""
    counts = "with open(COUNT, 'a') as f: f.write('x')\nreturn {'w': p['w'] + np.float32(os.path.getsize(COUNT) / 100)}"
    silo = MaskedBench(tmp_path, counts)
    base = blob_of(model())
    script = silo.attempt(1, base, steps=3)
    asked: list[Instruction] = []
    work = script[2]
    script[2] = lambda: asked.append(work()) or asked[0]
    channel = silo.play(*script, ProtocolError("no"), Evaluate(1, 2, base), Wait(), lambda: asked[0], Wait())
    assert silo.trained == 2
    assert len({message.payload.digest for message in channel.said if isinstance(message, Masked)}) == 1
    failures = [message.reason for message in channel.said if isinstance(message, Failure)]
    assert any("another result under the same keys" in reason for reason in failures)
