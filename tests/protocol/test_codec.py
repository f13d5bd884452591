"""Does the codec let every message through unchanged, and nothing else?"""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.driving import APP, plan_of
from tests.protocol.values import WIRE, plans, values_of

from septum.errors import MessageError, VersionError
from septum.protocol.codec import (
    MAX_MESSAGE_BYTES,
    decode,
    dumps,
    encode,
    from_json,
    kind_of,
    loads,
    to_json,
    to_tagged_json,
    union_from_json,
)
from septum.protocol.facts import Fact
from septum.protocol.messages import (
    INLINE_LIMIT_BYTES,
    MAX_DETAILS_CHARS,
    MAX_DURATIONS,
    MAX_NAME_CHARS,
    MAX_REASON_CHARS,
    MAX_WEIGHT,
    Blob,
    Enroll,
    Failure,
    Invitation,
    Leave,
    Poll,
    Prepare,
    Refuse,
    Report,
    SiloMessage,
    Stage,
    Train,
    blob_of,
    enrolment_proof,
)
from septum.protocol.plan import MAX_PLAN_BYTES, EarlyStopping, Plan, StrategyRef
from septum.protocol.run_state import Effect, Event

some = settings(max_examples=15)
REPORT = Report(Stage.TRAIN, 3, 1, blob_of(b"base").digest, blob_of(b"update"), 42, {"train": 1.5})


def _changed(message: object, **changes: object) -> bytes:
    """The bytes of a message, with these fields changed or added, or removed where the value is `...`."""
    body = json.loads(encode(message)) | changes
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


# --- what is sent arrives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", get_args(WIRE), ids=lambda cls: cls.__name__)
def test_every_message_survives_the_wire(cls):
    @some
    @given(values_of(cls))
    def survives(message):
        assert decode(WIRE, encode(message)) == message

    survives()


@pytest.mark.parametrize("cls", get_args(WIRE), ids=lambda cls: cls.__name__)
def test_a_message_that_was_received_has_the_bytes_with_which_it_was_sent(cls):
    @some
    @given(values_of(cls))
    def keeps_its_bytes(message):
        assert encode(decode(WIRE, encode(message))) == encode(message)

    keeps_its_bytes()


@pytest.mark.parametrize(
    ("union", "cls"),
    [(union, cls) for union in (Event, Effect, Fact) for cls in get_args(union)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_event_effect_and_fact_survives_the_store(union, cls):
    @some
    @given(values_of(cls))
    def survives(value):
        assert union_from_json(union, loads(dumps(to_tagged_json(value)))) == value

    survives()


@settings(max_examples=50)
@given(plans)
def test_a_plan_has_the_same_digest_for_who_sends_and_who_receives_it(plan):
    assert from_json(Plan, loads(dumps(to_json(plan)))).digest == plan.digest


def test_whole_numbers_in_float_fields_do_not_change_the_bytes():
    whole = plan_of(gather_s=60, clip_norm=1, strategy=StrategyRef("fedavgm", {"momentum": 1}))
    same = plan_of(gather_s=60.0, clip_norm=1.0, strategy=StrategyRef("fedavgm", {"momentum": 1.0}))

    assert whole.digest == same.digest


def test_a_hyper_parameter_keeps_its_type():
    plan = Plan("heart", APP, {"on": True, "epochs": 1, "lr": 1.0, "name": "1"}, ("a",), 1)

    received = decode(Invitation, encode(Invitation("run-1", plan))).plan

    assert {name: type(value) for name, value in received.hyper.items()} == {
        "on": bool,
        "epochs": int,
        "lr": float,
        "name": str,
    }


def test_encoding_is_canonical():
    assert encode(Report(Stage.PREPARE, 0, 1, "", blob_of(b""), 1, {"b": 1.0, "a": 2.0})) == (
        b'{"attempt":1,"base":"","durations_s":{"a":2.0,"b":1.0},"kind":"report","payload":{"digest":'
        b'"blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","inline":"","size_bytes":0},'
        b'"round":0,"septum-protocol":1,"stage":"prepare","weight":1}'
    )


def test_a_field_with_a_default_may_be_left_out():
    assert decode(Poll, b'{"septum-protocol":1,"kind":"poll"}') == Poll()


# --- what is not a message -----------------------------------------------------------------------------------------


def test_an_unknown_field_is_named_with_the_nearest_known_one():
    with pytest.raises(MessageError, match=r"^report: unknown field 'weigth'; did you mean 'weight'"):
        decode(SiloMessage, _changed(REPORT, weigth=1))


def test_an_unknown_field_deep_inside_is_named_too():
    with pytest.raises(MessageError, match=r"^report\.payload: unknown field 'sizebytes'; did you mean 'size_bytes'"):
        decode(SiloMessage, _changed(REPORT, payload={"sizebytes": 1}))


def test_a_missing_field_is_named():
    with pytest.raises(MessageError, match=r"^report: the field 'weight' is missing"):
        decode(SiloMessage, _changed(REPORT, weight=...))


@pytest.mark.parametrize(
    ("field_name", "value", "problem"),
    [
        ("round", "3", "report.round: expected int, got '3'"),
        ("round", True, "report.round: expected int, got True"),
        ("round", 3.0, "report.round: expected int, got 3.0"),
        ("round", None, "report.round: expected int, got null"),
        ("base", 7, "report.base: expected str, got 7"),
        ("stage", "trian", "report.stage: 'trian' is none of prepare, train, evaluate"),
        ("stage", [], "report.stage: a list is none of prepare, train, evaluate"),
        ("payload", [], "report.payload: expected an object, got a list"),
        ("durations_s", [], "report.durations_s: expected an object, got a list"),
        ("durations_s", {"train": "1"}, "report.durations_s.train: expected float, got '1'"),
        ("durations_s", {"train": False}, "report.durations_s.train: expected float, got False"),
        ("durations_s", {"train": 10**400}, "report.durations_s.train: an integer of 1329 bits is no float"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_named_with_its_place(field_name, value, problem):
    with pytest.raises(MessageError) as caught:
        decode(SiloMessage, _changed(REPORT, **{field_name: value}))

    assert caught.value.message == problem


def test_an_item_of_a_list_is_named_by_its_place():
    with pytest.raises(MessageError, match=r"^poll\.serving\[1\]: expected str, got 2"):
        decode(Poll, b'{"septum-protocol":1,"kind":"poll","serving":["run-1",2]}')


def test_a_list_where_one_of_several_types_is_expected_names_them_all():
    body = to_json(plan_of()) | {"hyper": {"lr": []}}

    with pytest.raises(MessageError, match=r"^plan\.hyper\.lr: expected bool or int or float or str, got a list"):
        from_json(Plan, body)


def test_a_number_is_no_boolean():
    with pytest.raises(MessageError, match=r"^prepare\.initial: expected bool, got 1"):
        decode(Prepare, _changed(Prepare(1, initial=True), initial=1))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_refused(number):
    with pytest.raises(MessageError, match="is not a finite number"):
        decode(SiloMessage, encode(REPORT).replace(b"1.5", number.encode()))
    with pytest.raises(MessageError, match="is not a finite number"):
        loads(number.encode())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_cannot_be_sent(number):
    with pytest.raises(MessageError, match="not finite"):
        encode(Report(Stage.PREPARE, 0, 1, "", blob_of(b""), 1, {"train": number}))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_where_it_did_not_come_as_text(number):
    with pytest.raises(MessageError, match=r"early_stopping\.min_delta: \w+ is not finite"):
        from_json(EarlyStopping, {"min_delta": number})


@pytest.mark.parametrize("depth", [10, 200, 900, 980, 30_000])
@pytest.mark.parametrize("shape", ["lists", "objects"])
def test_deep_nesting_is_refused(depth, shape):
    deep = b"[" * depth + b"]" * depth if shape == "lists" else b'{"a":' * depth + b"1" + b"}" * depth

    with pytest.raises(MessageError):
        decode(SiloMessage, b'{"septum-protocol":1,"kind":"leave","reason":' + deep + b"}")


def test_a_message_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(MessageError, match=f"a message of {MAX_MESSAGE_BYTES + 1} bytes is over the limit"):
        decode(SiloMessage, b"{" + b" " * MAX_MESSAGE_BYTES)


@pytest.mark.parametrize("version", [2, 0, -1, 10**400])
def test_another_version_of_the_protocol_is_refused_with_what_to_do(version):
    with pytest.raises(VersionError, match=r"speaks septum-protocol .* 1 only") as caught:
        decode(SiloMessage, _changed(REPORT, **{"septum-protocol": version}))

    assert "upgrade" in caught.value.hint
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("repotr", "unknown kind 'repotr'; did you mean 'report'?"), (7, "unknown kind 7"), (..., "unknown kind null")],
    ids=str,
)
def test_an_unknown_kind_is_named_with_the_nearest_known_one(kind, problem):
    with pytest.raises(MessageError) as caught:
        decode(SiloMessage, _changed(REPORT, kind=kind))

    assert caught.value.message.startswith(f"message: {problem}")


def test_a_message_of_the_other_direction_is_an_unknown_kind():
    with pytest.raises(MessageError, match="unknown kind 'train'"):
        decode(SiloMessage, encode(Train(1, 1, blob_of(b"model"))))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"nul", b"\xff\xfe{\x00}\x00", b"{'a':1}", b'{"a":1}x', '{"a":1}'.encode("utf-16"), b"\xef\xbb\xbf{}"],
    ids=repr,
)
def test_bytes_that_are_not_json_in_utf_8_are_refused(data):
    with pytest.raises(MessageError, match="this is not JSON"):
        decode(SiloMessage, data)


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"report"'], ids=repr)
def test_json_that_is_no_object_is_refused(data):
    with pytest.raises(MessageError, match="a message is a JSON object"):
        decode(SiloMessage, data)


def test_a_field_that_is_there_twice_is_refused():
    with pytest.raises(MessageError, match="the field 'reason' is there twice"):
        decode(SiloMessage, b'{"septum-protocol":1,"kind":"leave","reason":"a","reason":"b"}')


def test_a_repeated_field_is_found_in_one_pass_over_a_message_of_very_many() -> None:
    names = [str(number) for number in range(24_000)]
    body = "{" + ",".join(f'"{name}":0' for name in [*names, names[-1]]) + "}"
    assert len(body) < MAX_MESSAGE_BYTES
    began = time.process_time()
    with pytest.raises(MessageError, match="'23999' is there twice"):
        loads(body.encode())
    assert time.process_time() - began < 1.0  # counting each name took 5 s


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(MessageError, match=r"leave\.reason: .* is not Unicode text"):
        decode(SiloMessage, rb'{"septum-protocol":1,"kind":"leave","reason":"\ud800"}')
    with pytest.raises(MessageError, match="is not Unicode text"):
        decode(SiloMessage, _changed(REPORT, durations_s={"\ud800": 1.0}))


@pytest.mark.parametrize("inline", ["?", "QQ", "QUJD\n", "é"])
def test_bytes_that_are_not_base64_are_refused(inline):
    with pytest.raises(MessageError, match=r"report\.payload\.inline: this is not base64"):
        decode(SiloMessage, _changed(REPORT, payload={"digest": "x", "size_bytes": 1, "inline": inline}))


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
def test_no_bytes_make_the_codec_fail_otherwise_than_with_a_message_error(data):
    with pytest.raises(MessageError):
        decode(SiloMessage, data)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["stage", "round", "base", "payload", "weight", "durations_s", "kind", "more"]), _values)
def test_a_report_with_any_one_field_replaced_is_a_report_or_a_message_error(name, value):
    with contextlib.suppress(MessageError):
        assert isinstance(decode(SiloMessage, _changed(REPORT, **{name: value})), Report)


def test_errors_stay_short_whatever_was_sent():
    long = "x" * 200_000
    for data in (
        _changed(REPORT, **{long: 1}),
        _changed(REPORT, kind=long),
        _changed(REPORT, durations_s={long: "no"}),
        _changed(REPORT, stage=long),
        _changed(REPORT, **{"septum-protocol": long}),
        _changed(REPORT, base=long),
        _changed(REPORT, weight=10**4000),
    ):
        with pytest.raises(MessageError) as caught:
            decode(SiloMessage, data)
        assert len(caught.value.message) < 400


def test_a_plan_that_cannot_be_is_a_message_error_on_the_wire():
    body = json.loads(encode(Invitation("run-1", plan_of())))
    body["plan"]["quorum"] = 9

    with pytest.raises(MessageError, match=r"invitation\.plan: plan: quorum must be between 1 and 3, not 9"):
        decode(Invitation, json.dumps(body).encode())


# --- limits of messages --------------------------------------------------------------------------------------------


def _big_plan(chars: int) -> Plan:
    return Plan("heart", APP, {"text": "x" * chars}, ("a",), 1)


def test_the_largest_messages_fit_into_the_limit():
    wide = "\N{HOSPITAL}"  # twelve bytes in JSON
    payload = blob_of(b"\xff" * INLINE_LIMIT_BYTES)
    durations = {f"{number:02d}" + wide * (MAX_NAME_CHARS - 2): 1e-300 for number in range(MAX_DURATIONS)}
    largest = [
        Report(Stage.TRAIN, 100_000, 10_000, payload.digest, payload, MAX_WEIGHT, durations),
        Failure(Stage.TRAIN, 100_000, 10_000, wide * MAX_REASON_CHARS, wide * MAX_DETAILS_CHARS),
        Refuse(wide * MAX_NAME_CHARS, wide * MAX_REASON_CHARS),
        Train(100_000, 10_000, payload),
        Invitation("run-1", _big_plan(MAX_PLAN_BYTES - 1000)),
    ]

    for message in largest:
        assert decode(WIRE, encode(message)) == message


@pytest.mark.parametrize(
    "make",
    [
        lambda: Leave("x" * (MAX_REASON_CHARS + 1)),
        lambda: Refuse("apps", "x" * (MAX_REASON_CHARS + 1)),
        lambda: Refuse("x" * (MAX_NAME_CHARS + 1), ""),
        lambda: Failure(Stage.TRAIN, 1, 1, "x" * (MAX_REASON_CHARS + 1)),
        lambda: Failure(Stage.TRAIN, 1, 1, "", "x" * (MAX_DETAILS_CHARS + 1)),
        lambda: Report(Stage.TRAIN, 1, 1, "", blob_of(b""), 0),
        lambda: Report(Stage.PREPARE, 0, 1, "", blob_of(b""), 0),
        lambda: Report(Stage.EVALUATE, 1, 1, "", blob_of(b""), -1),
        lambda: Report(Stage.TRAIN, 1, 1, "", blob_of(b""), MAX_WEIGHT + 1),
        lambda: Report(Stage.TRAIN, 1, 1, "the model", blob_of(b""), 1),
        lambda: Report(Stage.TRAIN, 1, 1, "", blob_of(b""), 1, {str(n): 1.0 for n in range(MAX_DURATIONS + 1)}),
        lambda: Report(Stage.TRAIN, 1, 1, "", blob_of(b""), 1, {"x" * (MAX_NAME_CHARS + 1): 1.0}),
        lambda: Blob("sha256:" + "0" * 64, 0),
        lambda: Blob("blake3:" + "0" * 63, 0),
        lambda: Blob("blake3:" + "0" * 64 + "\n", 0),
        lambda: Blob("blake3:" + "A" * 64, 0),
        lambda: Blob(blob_of(b"abc").digest, -1),
        lambda: Blob(blob_of(b"abc").digest, 2, b"abc"),
        lambda: Blob(blob_of(b"abc").digest, 3, b"abd"),
        lambda: Blob(blob_of(b"x" * 70_000).digest, 70_000, b"x" * 70_000),
    ],
)
def test_a_message_outside_its_limits_cannot_exist(make):
    with pytest.raises(MessageError):
        make()


def test_payloads_up_to_64_kib_travel_inside_the_message_and_larger_ones_do_not():
    assert blob_of(b"x" * INLINE_LIMIT_BYTES).inline is not None
    assert blob_of(b"x" * (INLINE_LIMIT_BYTES + 1)).inline is None


def test_an_inline_payload_does_not_show_in_a_log():
    assert "secret" not in repr(blob_of(b"secret"))


def test_the_proof_of_an_enrolment_binds_the_name_the_token_and_the_key():
    proofs = {enrolment_proof(silo, token, key) for silo in "ab" for token in "ab" for key in (b"a", b"b")}

    assert len(proofs) == 8


def test_a_token_does_not_show_in_a_log():
    assert "secret" not in repr(Enroll("cleveland", "secret", b"", b""))


# --- what the codec itself is made for -----------------------------------------------------------------------------


def test_kinds_of_a_union_are_told_apart():
    kinds = [kind_of(cls) for cls in get_args(WIRE)]

    assert len(set(kinds)) == len(kinds)


def test_a_value_without_a_json_form_is_an_error_and_not_guessed():
    @dataclass(frozen=True)
    class Odd:
        thing: object = field(default_factory=object)

    with pytest.raises(MessageError, match="object has no JSON form"):
        to_json(Odd())
    with pytest.raises(MessageError, match="a message is a dataclass, not int"):
        encode(3)
