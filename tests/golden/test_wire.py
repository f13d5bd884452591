"""Are the bytes of septum-protocol 1 still the same, in both directions?"""

from __future__ import annotations

from typing import get_args

import pytest
from tests.golden.record import WIRE_1
from tests.golden.samples import SAMPLES
from tests.protocol.values import WIRE

from septum.protocol.codec import decode, encode, kind_of

samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: kind_of(type(sample)))


@samples
def test_a_message_is_sent_with_the_bytes_of_protocol_1(sample):
    assert encode(sample) == (WIRE_1 / f"{kind_of(type(sample))}.json").read_bytes()


@samples
def test_the_bytes_of_protocol_1_are_understood(sample):
    assert decode(WIRE, (WIRE_1 / f"{kind_of(type(sample))}.json").read_bytes()) == sample


def test_every_kind_of_message_has_its_golden_bytes():
    kinds = sorted(kind_of(cls) for cls in get_args(WIRE))

    assert sorted(kind_of(type(sample)) for sample in SAMPLES) == kinds
    assert sorted(path.stem for path in WIRE_1.glob("*.json")) == kinds
