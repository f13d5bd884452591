"""What can be made of an honest message on its way? It is refused and changes nothing, or asks nothing worse.

Each example takes the JSON of an honest message, changes it in one or two places (a bit of some bytes, a number, a
list, a field left out, two values swapped, a value of another message), decodes it and gives it to a silo's masked part
or to the coordinator's combining, both with real keys. Only errors of septum's own tree may come of it.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.silo.masked_parts import BASE, FOUR, WHERE, Parts

from septum.errors import SeptumError
from septum.protocol.codec import TO_COORDINATOR, TO_SILO, decode, encode
from septum.protocol.messages import (
    Agree,
    Agreed,
    Barrier,
    Instruction,
    Keys,
    MakeKeys,
    Masked,
    Revealed,
    ShareKeys,
    Shares,
    SiloMessage,
    Stage,
    Train,
    Unmask,
)
from septum.silo.journal import FILE_NAME, Journal
from septum.silo.masking import MaskedPart

NEXT = (Stage.TRAIN, 2, 1)
Json = object

# --- mutations -----------------------------------------------------------------------------------------------------


def places(body: Json, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where something can be changed."""
    if path:
        yield path
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in items:
        yield from places(value, (*path, name))


def at(body: Json, path: tuple[object, ...]) -> Json:
    for name in path:
        body = body[name]  # type: ignore[index]
    return body


def put(body: Json, path: tuple[object, ...], value: Json) -> None:
    at(body, path[:-1])[path[-1]] = value  # type: ignore[index]


def changed(value: Json, draw: st.DrawFn) -> Json:
    match value:
        case bool() | None:
            return draw(st.sampled_from([True, False, None, 0, ""]))
        case int() | float():
            return draw(st.sampled_from([value + 1, value - 1, -value, 0, 2**63, 2**64, 0.5, str(value)]))
        case str():
            return text_changed(value, draw)
        case list():
            less = [value[:gone] + value[gone + 1 :] for gone in range(len(value))]
            return draw(st.sampled_from([*less, value + value[:1], value[::-1], [], [*value, "zurich"]]))
        case _:
            return draw(st.sampled_from([{}, dict(list(value.items())[:-1]), [], None]))


def text_changed(value: str, draw: st.DrawFn) -> str:
    """A bit of the bytes that it stands for, if it does; else of its letters."""
    try:
        data = bytearray(base64.b64decode(value, validate=True))
    except ValueError:
        data = bytearray()
    if len(data) < 16:
        return draw(st.sampled_from([value[:-1], value + "x", value.upper(), "", "north", "\0"]))
    how = draw(st.sampled_from(["bit", "cut", "longer", "zeros"]))
    if how == "bit":
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    data = {"cut": data[:-1], "longer": data + b"\0", "zeros": bytearray(len(data))}.get(how, data)
    return base64.b64encode(data).decode()


@st.composite
def mutated(draw: st.DrawFn, data: bytes, others: tuple[bytes, ...]) -> bytes:
    body = json.loads(data)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([one for one in places(body) if one[0] not in ("septum-protocol", "kind")]))
        how = draw(st.sampled_from(["change", "change", "swap", "drop", "other"]))
        if how == "swap":
            other = draw(
                st.sampled_from([one for one in places(body) if one[: len(path)] != path[: len(one)]] or [path])
            )
            first, second = copy.deepcopy(at(body, path)), copy.deepcopy(at(body, other))
            if path[: len(other)] != other and other[: len(path)] != path:
                put(body, path, second)
                put(body, other, first)
        elif how == "drop" and isinstance(at(body, path[:-1]), dict):
            del at(body, path[:-1])[path[-1]]  # type: ignore[attr-defined]
        elif how == "other":
            donor = json.loads(draw(st.sampled_from(others)))
            put(body, path, at(donor, draw(st.sampled_from(list(places(donor))))))
        else:
            put(body, path, changed(at(body, path), draw))
    return json.dumps(body).encode()


# --- an honest attempt, and all that was said in it ------------------------------------------------------------------


class Honest:
    """Four silos' attempt: `asked` of north in each step, `said` by each silo, and north as it was before each step."""

    def __init__(self) -> None:
        self.parts = Parts(Path(mkdtemp()))
        self.before: dict[str, dict] = {}
        keys = self._step("keys", lambda: self.parts.advertise())
        adverts = {silo: one.advert for silo, one in keys.items()}
        shares = self._step("shares", lambda: self.parts.share(keys))
        self.parts.work(shares, ahead=NEXT)
        results = {silo: self.parts.protect(silo) for silo in FOUR}
        ahead = ShareKeys(*NEXT, {silo: one.ahead.advert for silo, one in results.items()})
        signed = self._step("agree", lambda: {s: self.parts.parts[s].answer(Agree(*WHERE, FOUR, ahead)) for s in FOUR})
        signatures = {silo: one.signature for silo, one in signed.items()}
        reveals = self._step("unmask", lambda: self.parts.unmask(signed))
        self.asked: dict[str, Barrier] = {
            "keys": MakeKeys(*WHERE),
            "shares": ShareKeys(*WHERE, adverts),
            "agree": Agree(*WHERE, FOUR, ahead),
            "unmask": Unmask(*WHERE, signatures),
        }
        self.said = {"keys": keys, "shares": shares, "work": results, "agree": signed, "unmask": reveals}

    def _step(self, name: str, take):
        self.before[name] = {place: copy.copy(one) for place, one in self.parts.parts["north"]._attempts.items()}
        return take()

    def north(self, step: str, folder: Path) -> MaskedPart:
        """North before a step, with an empty journal."""
        tools = replace(self.parts.tools("north"), journal=Journal(folder, "north", unix=lambda: 7.0))
        part = MaskedPart(tools, self.parts.run, "north", self.parts.plan)
        part._attempts = {place: copy.copy(one) for place, one in self.before[step].items()}
        return part


@cache
def honest() -> Honest:
    return Honest()


def known(part: MaskedPart) -> dict:
    return {place: (one.state, one.roster, one.base, one.result) for place, one in part._attempts.items()}


# --- the silo ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["keys", "shares", "agree", "unmask"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_silo_refuses_a_changed_request_and_stays_as_it_was_or_the_request_is_an_honest_one(step, data):
    story = honest()
    others = tuple(encode(one) for one in story.asked.values())
    wire = data.draw(mutated(encode(story.asked[step]), others))
    try:
        asked = decode(Instruction, wire, TO_SILO)
    except SeptumError:
        return
    if not isinstance(asked, Barrier):
        return
    with TemporaryDirectory() as folder:
        north = story.north(step, Path(folder))
        before = known(north)
        try:
            answer = north.answer(asked)
        except SeptumError:
            assert known(north) == before
            assert not (Path(folder) / FILE_NAME).exists()
            if step != "keys":
                north.answer(story.asked[step])  # nothing was used up
            return
    no_worse(asked, answer)


def no_worse(asked: Barrier, answer: object) -> None:
    """What was answered is what an honest coordinator may ask, too, and tells no more than it is to tell."""
    story = honest()
    match asked, answer:
        case MakeKeys(), Keys():
            assert (answer.stage, answer.round, answer.attempt) == (asked.stage, asked.round, asked.attempt)
        case ShareKeys(adverts=adverts), Shares(sealed=sealed):
            told = story.asked["shares"].adverts
            ahead = story.asked["agree"].ahead.adverts
            assert adverts.items() <= told.items() or adverts.items() <= ahead.items()
            assert len(adverts) >= 3
            assert sealed.keys() == adverts.keys() - {"north"}
        case Agree(survivors=survivors), Agreed():
            assert set(survivors) <= set(FOUR)
            assert "north" in survivors
            assert len(set(survivors)) == len(survivors) >= 3
        case Unmask(signatures=signatures), Revealed(reveal=reveal):
            right = story.asked["unmask"].signatures.items()
            assert len(signatures.items() & right) >= 3
            assert (reveal.seeds.keys(), reveal.keys.keys()) == (set(FOUR), set())
        case _:
            raise AssertionError(f"{asked} was answered by {answer}")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_work_is_masked_with_the_keys_and_shares_of_its_attempt_or_not_at_all(data):
    story = honest()
    sealed = {other: one.sealed["north"] for other, one in story.said["shares"].items() if other != "north"}
    wire = data.draw(mutated(encode(Train(1, 1, BASE, sealed, MakeKeys(*NEXT))), (encode(story.asked["shares"]),)))
    try:
        work = decode(Instruction, wire, TO_SILO)
    except SeptumError:
        return
    if not isinstance(work, Train):
        return
    with TemporaryDirectory() as folder:
        north = story.north("agree", Path(folder))
        place = next(place for place in north._attempts if place.round == 1)
        state = north._attempts[place].state
        north._attempts[place] = replace(north._attempts[place], state=replace(state, masked=None), result=None)
        north.asked(work)
        parts = copy.copy(story.parts)
        parts.parts = {"north": north}
        try:
            parts.protect("north")
        except SeptumError:
            assert north._attempts[place].state.masked is None
            return
    assert work.sealed.items() <= sealed.items()
    assert len(work.sealed) >= 2


# --- the coordinator -------------------------------------------------------------------------------------------------


@cache
def model() -> bytes:
    story = honest()
    with TemporaryDirectory() as folder:
        return story.parts.combined(story.said["keys"], story.said["work"], story.said["unmask"], Path(folder))[1]


@pytest.mark.parametrize("answering", [FOUR, FOUR[:3]])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_of_a_changed_reveal_the_coordinator_makes_the_right_model_or_none(answering, data):
    """With three of four shares a wrong one is noise, which the rows of all silos show."""
    story = honest()
    reveals = {silo: story.said["unmask"][silo] for silo in answering}
    others = tuple(encode(one) for one in story.said["unmask"].values())
    wire = data.draw(mutated(encode(reveals["east"]), others))
    try:
        said = decode(SiloMessage, wire, TO_COORDINATOR)
    except SeptumError:
        return
    if not isinstance(said, Revealed):
        return
    with TemporaryDirectory() as folder:
        try:
            made = story.parts.combined(story.said["keys"], story.said["work"], {**reveals, "east": said}, Path(folder))
        except SeptumError:
            return
    assert made[1] == model()


@pytest.mark.parametrize("step", ["keys", "work"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_keys_and_results_end_in_a_model_or_an_error_of_septums_own(step, data):
    """A silo may mask what it likes, so another model may come of it: a poisoned one at most."""
    story = honest()
    said = dict(story.said[step])
    wire = data.draw(mutated(encode(said["east"]), tuple(encode(one) for one in story.said["keys"].values())))
    try:
        changed_one = decode(SiloMessage, wire, TO_COORDINATOR)
    except SeptumError:
        return
    if not isinstance(changed_one, Keys | Masked):
        return
    given_ = {**story.said, step: {**said, "east": changed_one}}
    if type(changed_one) is not type(said["east"]):
        return
    with TemporaryDirectory() as folder:
        try:
            story.parts.combined(given_["keys"], given_["work"], given_["unmask"], Path(folder))
        except SeptumError:
            return
