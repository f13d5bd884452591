"""Are the bytes that others know the same? Of silos and workers in both directions; of tools and disks as they read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
from tests.golden.record import API_1, FRAMES_4, STORED_1, WIRE_1
from tests.golden.samples import FRAME_SAMPLES, SAMPLES, STORED_SAMPLES, VIEW_SAMPLES
from tests.protocol.values import WIRE

from septum.adapters.launch.frames import FRAMES, FromWorker, ToWorker
from septum.protocol import deploying, description, log_lines, messages, system, views
from septum.protocol.codec import PROTOCOL_VERSION, decode, encode, from_json, kind_of, loads, to_json, union_from_json
from septum.protocol.facts import Fact
from septum.protocol.registered import DeploymentView, ModelVersionView
from septum.protocol.run_state import Combine, Discard
from septum.protocol.silo import SiloRun

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


def test_no_message_crosses_the_wire_that_is_not_in_the_list_of_kinds():
    """A dataclass in messages.py is a message or a part of one; a new message belongs in tests/protocol/values.py."""
    parts = {
        messages.Blob,
        description.OfferedDataset,
        deploying.DeploymentOrder,
        log_lines.LogLine,
        system.Readings,
        system.SystemSample,
    }
    shown = {log_lines.LogView, log_lines.LogFilter, system.SystemPoint, system.SystemSeries}  # to people
    modules = (messages, description, deploying, log_lines, system)
    declared = {
        cls
        for module in modules
        for cls in vars(module).values()
        if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
    }

    assert declared - parts - shown == set(get_args(WIRE))
    assert WIRE_1.name == f"wire-{PROTOCOL_VERSION}"


# --- frames between an agent and its worker: both are of one version, so a change is a new version -----------------


@pytest.mark.parametrize("frame", FRAME_SAMPLES, ids=lambda frame: kind_of(type(frame)))
def test_a_frame_has_the_bytes_of_its_version(frame):
    golden = (FRAMES_4 / f"{kind_of(type(frame))}.json").read_bytes()

    assert encode(frame, FRAMES) == golden, "another frame is another version: raise FRAMES.version"
    assert decode(ToWorker | FromWorker, golden, wire=FRAMES) == frame


def test_every_kind_of_frame_has_its_golden_bytes():
    kinds = sorted(kind_of(cls) for cls in (*get_args(ToWorker), *get_args(FromWorker)))

    assert names_in(FRAMES_4) == kinds
    assert FRAMES_4.name == f"frames-{FRAMES.version}"


# --- the public API and what is stored: read for ever; a field that came later has its default in it ---------------


@pytest.mark.parametrize("view", VIEW_SAMPLES, ids=lambda view: kind_of(type(view)))
def test_what_the_api_once_answered_it_still_answers(view):
    golden = loads((API_1 / f"{kind_of(type(view))}.json").read_bytes())

    assert from_json(type(view), golden) == view
    assert {name: value for name, value in to_json(view).items() if name in golden} == golden


def test_every_view_has_its_golden_answer():
    declared = [
        cls for cls in vars(views).values() if dataclasses.is_dataclass(cls) and cls.__module__ == views.__name__
    ]
    registered = [ModelVersionView, DeploymentView]

    assert names_in(API_1) == sorted(kind_of(cls) for cls in [*declared, *registered])


@pytest.mark.parametrize("value", STORED_SAMPLES, ids=lambda value: kind_of(type(value)))
def test_what_was_once_stored_is_still_read(value):
    golden = loads((STORED_1 / f"{kind_of(type(value))}.json").read_bytes())

    assert union_from_json(STORED, golden) == value


STORED = Fact | Combine | Discard | SiloRun


def test_everything_that_is_stored_has_its_golden_bytes():
    assert names_in(STORED_1) == sorted(kind_of(cls) for cls in get_args(STORED))


def names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json"))
