"""Private parameters stay in their silo: nothing that reaches the coordinator holds one, and the simulator agrees.

Real agents over the in-memory channel; between processes over HTTPS, with kills, in tests/faults/test_private_kills.py.
"""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.in_memory import Place
from tests.private_runs import APP, FOLDER, ROWS, plan_for, records_in, simulated

from septum.adapters.launch.inline import InlineLauncher, InlineWorker
from septum.ports.channel import Channel
from septum.ports.launcher import Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol import payload, tensors
from septum.protocol.codec import encode
from septum.protocol.messages import Instruction, PollAnswer, SiloMessage
from septum.protocol.plan import Masking, Plan, Private, Start
from septum.sdk import harness
from septum.sdk.data import Shape
from septum.silo.kept import Chosen, KeptModels
from septum.silo.policy import Policy
from septum.simulate.run import read_silos

pytestmark = pytest.mark.processes  # a silo reads its rows in a process of its own
MASKED = Masking(max_update=1000.0)


class Wire:
    """All bytes that any silo gave to its channel: messages as they are sent, what they hold, and blobs."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def tap(self, channel: Channel) -> Channel:
        return TappedChannel(channel, self)

    def has(self, needle: bytes) -> bool:
        return any(needle in data for data in self.sent)


class TappedChannel:
    def __init__(self, channel: Channel, wire: Wire) -> None:
        self._channel = channel
        self._wire = wire

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        return self._channel.poll(serving)

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        self._wire.sent += [encode(message), *_bytes_in(message)]
        return self._channel.exchange(run, message)

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        self._wire.sent.append(path.read_bytes())
        self._channel.send_blob(run, digest, path)

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        self._channel.fetch_blob(run, digest, path, size_bytes=size_bytes)

    def close(self) -> None:
        self._channel.close()


def _bytes_in(value: object) -> Iterator[bytes]:
    """What a message carries in base64, as it is."""
    if isinstance(value, bytes):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _bytes_in(getattr(value, item.name))
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _bytes_in(member)


class Seen:
    """What each silo's trainings left there and what they sent, in order."""

    def __init__(self) -> None:
        self.heads: dict[str, list[np.ndarray]] = {silo: [] for silo in ROWS}
        self.updates: dict[str, list[np.ndarray]] = {silo: [] for silo in ROWS}


class WatchedLauncher(InlineLauncher):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> InlineWorker:  # noqa: ARG002  a process's
        return WatchedWorker(spec, self._seen)


class WatchedWorker(InlineWorker):
    def __init__(self, spec: WorkerSpec, seen: Seen) -> None:
        super().__init__(spec)
        self._heads, self._updates = seen.heads[spec.silo], seen.updates[spec.silo]

    def perform(self, task: Task, output: Path) -> TaskResult:
        result = super().perform(task, output)
        if result.has_state:
            carried = tensors.decode(task.carry.read_bytes())
            self._heads += [array.copy() for name, array in carried.items() if name.endswith("head.w")]
        made = tensors.decode(result.payload if isinstance(result.payload, bytes) else output.read_bytes())
        self._updates += [array.copy() for name, array in made.items() if name == "update.body.w"]
        return result


def on_disk(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def in_pieces(array: np.ndarray) -> list[bytes]:
    """Eight bytes each: two neighbouring float32 of the first eight."""
    return [array[start : start + 2].tobytes() for start in range(0, 8, 2)]


@pytest.mark.parametrize("width", [8, 40_000], ids=["small", "large"])
@pytest.mark.parametrize("masking", [None, MASKED], ids=["inspect", "masked"])
def test_no_byte_of_a_private_tensor_reaches_the_coordinator(tmp_path, masking, width):
    """Neither its values after a round nor how a round changed them, nor its name; the search finds what is shared."""
    wire, seen = Wire(), Seen()
    files = records_in(tmp_path / "records")
    place = Place(APP, FOLDER, files, tmp_path, channel=wire.tap, launcher=lambda: WatchedLauncher(seen))
    plan = plan_for(hyper={"width": width}, masking=masking)
    ended, model = place.run(plan)

    assert ended.status.value == "finished"
    at_the_coordinator = [*wire.sent, *on_disk(tmp_path / "coordinator")]

    def found(array: np.ndarray) -> bool:
        return any(piece in data for piece in in_pieces(array) for data in at_the_coordinator)

    assert found(tensors.decode(model)["body.w"])
    first = harness.initial(APP.app, APP.app.resolve(plan.hyper), Shape(("x",)), 7)
    assert found(first["body.w"])
    assert not found(first["head.w"])
    for silo in ROWS:
        assert len(seen.updates[silo]) == plan.rounds
        assert all(found(update) for update in seen.updates[silo]) == (masking is None)
        heads = [first["head.w"], *seen.heads[silo]]
        assert len(heads) == 1 + plan.rounds + 1  # and once more beside the last evaluation
        assert not any(found(head) for head in heads)
        assert not any(found(after - before) for before, after in pairwise(heads[:-1]))
    assert not any(b"head.w" in data for data in at_the_coordinator)
    assert [name for name in sorted(tensors.decode(model)) if not name.startswith("statistics.")] == ["body.w"]


@pytest.mark.parametrize(
    "plan",
    [
        plan_for(),
        plan_for(masking=MASKED),
        plan_for(hyper={"carries": False}),
        plan_for(private=Private(("head.*",), personalise=2)),
    ],
    ids=["plain", "masked", "nothing-else-carried", "personalised"],
)
def test_simulator_and_agents_end_in_the_same_shared_model_and_the_same_own_models(tmp_path, plan):
    files = records_in(tmp_path / "records")
    expected = simulated(plan, files)
    ended, model = Place(APP, FOLDER, files, tmp_path).run(plan)

    assert model == expected.model
    assert ended.metrics == expected.metrics
    assert sorted(expected.own) == sorted(ROWS)
    for silo in ROWS:
        (kept,) = KeptModels(tmp_path / silo).all()
        ours, theirs = tensors.decode(kept.path.read_bytes()), tensors.decode(expected.own[silo])
        assert {name: array.tobytes() for name, array in ours.items()} == {
            name: array.tobytes() for name, array in theirs.items()
        }
        assert (kept.shared, kept.own) == (("body.w",), ("head.w",))
        assert kept.about.metrics == expected.silos[silo]
    heads = {tensors.decode(own)["head.w"].tobytes() for own in expected.own.values()}
    assert len(heads) == len(ROWS)  # each has its own


def test_a_run_without_private_parameters_differs_because_the_head_is_averaged_there(tmp_path):
    """Otherwise the tests above would pass with a partition that does nothing."""
    files = records_in(tmp_path)
    private, averaged = simulated(plan_for(), files), simulated(plan_for(private=None), files)
    assert "head.w" in tensors.decode(averaged.model)
    assert "head.w" not in tensors.decode(private.model)
    assert tensors.decode(averaged.model)["body.w"].tobytes() != tensors.decode(private.model)["body.w"].tobytes()


def test_metrics_are_those_of_the_shared_model_with_each_silos_own_part(tmp_path):
    files = records_in(tmp_path)
    plan = plan_for(rounds=2)
    result = simulated(plan, files)
    rows = read_silos(APP, APP.app.resolve(plan.hyper), files)
    for silo, prepared in rows.items():
        parameters, statistics = payload.split_model(tensors.decode(result.own[silo]))
        own = harness.evaluate(APP.app, harness.with_statistics(APP.app, prepared, statistics), parameters)
        assert result.silos[silo].log_loss == own.log_loss_sum / own.rows
        assert result.silos[silo].accuracy == own.correct / own.rows


def test_what_is_kept_is_for_the_silos_user_alone_and_says_what_it_is(tmp_path):
    files = records_in(tmp_path / "records")
    plan = plan_for()
    ended, _ = Place(APP, FOLDER, files, tmp_path).run(plan)
    (kept,) = KeptModels(tmp_path / "north").all()
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    about = kept.about
    assert (about.run, about.app, about.version, about.round) == (ended.id, "private", "1.0.0", 3)
    assert (about.federation, about.private, about.chosen) == (ended.model, ("head.*",), Chosen.FEDERATION)


def test_a_run_that_continues_starts_from_what_was_kept_and_one_that_does_not_starts_afresh(tmp_path):
    files = records_in(tmp_path / "records")
    place = Place(APP, FOLDER, files, tmp_path)
    fresh = plan_for(rounds=1)
    going_on = plan_for(rounds=1, private=Private(("head.*",), Start.CONTINUE))
    first, _ = place.run(fresh, "first")
    before = own_heads(tmp_path, first.id)
    again, _ = place.run(fresh, "again")
    continued, _ = place.run(going_on, "continued")

    assert own_heads(tmp_path, again.id) == before
    for silo, head in own_heads(tmp_path, continued.id).items():
        noise = before[silo] - np.float32(0.9) * _first_head(fresh)
        expected = before[silo] * np.float32(0.9) + noise
        np.testing.assert_allclose(head, expected, rtol=1e-4, atol=1e-4)


def _first_head(plan: Plan) -> np.ndarray:
    return harness.initial(APP.app, APP.app.resolve(plan.hyper), Shape(("x",)), 7)["head.w"]


class Heads(dict):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and all(np.array_equal(self[silo], other[silo]) for silo in ROWS)

    __hash__ = None  # type: ignore[assignment]


def own_heads(folder: Path, run: str) -> Heads:
    return Heads(
        {silo: tensors.decode(KeptModels(folder / silo).get(run).path.read_bytes())["head.w"] for silo in ROWS}
    )


def test_a_run_that_continues_where_nothing_was_kept_starts_afresh(tmp_path):
    files = records_in(tmp_path / "records")
    fresh, continuing = plan_for(), plan_for(private=Private(("head.*",), Start.CONTINUE))
    _, model = Place(APP, FOLDER, files, tmp_path).run(continuing)
    assert model == simulated(fresh, files).model


def test_a_policy_that_keeps_no_models_has_none_and_the_run_ends_all_the_same(tmp_path):
    files = records_in(tmp_path / "records")
    ended, model = Place(APP, FOLDER, files, tmp_path, policy=Policy(require_masking=False, keep_models=False)).run(
        plan_for()
    )
    assert ended.status.value == "finished"
    assert model == simulated(plan_for(), files).model
    assert not (tmp_path / "north" / "models").exists()


@pytest.mark.parametrize("private", [None, Private(("body.*",)), Private(("body.*", "head.*"))])
def test_a_plan_that_says_otherwise_than_the_approved_manifest_is_refused(tmp_path, private):
    files = records_in(tmp_path / "records")
    wire = Wire()
    ended, _ = Place(APP, FOLDER, files, tmp_path, channel=wire.tap).run(plan_for(private=private, gather_s=1.0))
    assert ended.status.value == "failed"
    assert "apps.private.private" in str(ended.silos)
    assert not wire.has(b'"kind":"report"')
