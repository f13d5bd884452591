"""In a masked run the coordinator never has a silo's own numbers: in no database, file, log or page of its memory.

What each silo sends is known here, byte for byte: the app is run once more on the same rows. A plain run leaves those
bytes where this test looks, a masked one does not.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.processes import files_under
from tests.e2e.runs import OPEN, client_of
from tests.faults.counting import until

from septum.adapters.launch.station import Part, Station, Timer
from septum.cli.federation import Federation
from septum.client import Client
from septum.protocol import facts, tensors
from septum.protocol.masked import masked_pieces, scale_of
from septum.protocol.messages import Stage
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.sources import source_of
from septum.protocol.tensors import Tensors
from septum.protocol.views import RunStatus
from septum.sdk.package import load_app
from septum.silo.run_files import RunFiles
from septum.simulate.run import read_silos, simulate

pytestmark = pytest.mark.e2e
FOLDER = Path(__file__).parent / "known_app"
APP = load_app(FOLDER)
ROWS = {"east": 26, "north": 34, "south": 46}
LAST = "south"  # the others have reported while it waits
FIRST = tuple(silo for silo in ROWS if silo != LAST)


@dataclass(frozen=True)
class Place:
    federation: Federation
    client: Client
    records: Mapping[str, Path]
    gates: Path

    def plan(self, name: str, seed: int, masking: Masking | None) -> Plan:
        gates = {f"before_{work}": str(self.gates / f"{name}-{work}") for work in ("preparing", "training")}
        hyper = APP.app.hyper_values(APP.app.resolve({"waits": LAST, "rows": ROWS[LAST], **gates}))
        ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
        return Plan(name, ref, hyper, tuple(sorted(ROWS)), rounds=2, seed=seed, masking=masking)

    def open(self, name: str, work: str) -> None:
        (self.gates / f"{name}-{work}").touch()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    rng, records, gates = np.random.default_rng(1), {}, tmp_path / "gates"
    gates.mkdir()
    for silo, rows in ROWS.items():
        records[silo] = tmp_path / f"{silo}.csv"
        lines = [f"{rng.normal()!r},{row % 2}" for row in range(rows)]
        records[silo].write_text("x,y\n" + "\n".join(lines).replace("np.float64(", "").replace(")", "") + "\n")
    with Federation(tmp_path / "federation", FOLDER, APP.app.name, records, sandbox=1, policy=OPEN) as federation:
        federation.base.mkdir()
        federation.start()
        with client_of(federation) as client:
            yield Place(federation, client, records, gates)


# --- what is known -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What one silo sends in a stage: the plain result, and its weight in rows."""

    stage: Stage
    plain: bytes
    weight: int

    def open_patterns(self, silo: str) -> dict[str, list[bytes]]:
        """What of it would tell something, as it stands in a plain report, and in what is made of that."""
        content = tensors.decode(self.plain)
        found = {f"weight of {silo}": [b'"weight":%d}' % self.weight, b'"weight":%d,' % self.weight]}
        if self.stage is Stage.PREPARE:
            values = np.concatenate([content[name].reshape(-1) for name in sorted(content) if "statistics" in name])
            found[f"statistics of {silo}"] = [value.tobytes() for value in values if value != int(value)]
            return found
        rows, _, loss, auc = content["evaluation.sums"].tolist()
        texts = [repr(value).encode() for value in (loss / rows, auc) if len(repr(value)) > 12]  # no 0.5
        return found | {
            f"update of {silo}": windows(content["update.w"].tobytes()),
            f"evaluation of {silo}": [content["evaluation.sums"].tobytes()[:24], np.float64(loss).tobytes()],
            f"histogram of {silo}": [content["evaluation.bins"].tobytes()],
            f"metrics of {silo}": texts,
        }

    def quantised_patterns(self, silo: str, plan: Plan) -> dict[str, list[bytes]]:
        """The same as numbers of the rings, before they are masked."""
        hidden = bare(self, plan)
        content = tensors.decode(hidden)
        wide = [
            pair.tobytes()
            for name in content
            if content[name].dtype == np.uint64
            for pair in content[name].reshape(-1, 2)
        ]
        found = {f"sums of {silo}, quantised": [pair for pair in wide if pair[:8] != bytes(8)]}
        if self.stage is Stage.TRAIN:
            found[f"update of {silo}, quantised"] = windows(content["masked.update.w"].tobytes())
            counts = content["masked.evaluation.bins"].tobytes().strip(b"\0")
            found[f"histogram of {silo}, quantised"] = [counts]
        return found


def bare(known: Known, plan: Plan) -> bytes:
    hidden = replace(plan, masking=Masking())
    return b"".join(masked_pieces(known.stage, source_of(known.plain), known.weight, scale_of(hidden), None))


def windows(data: bytes) -> list[bytes]:
    """Four numbers each, from all over; and the same as they would stand in a text."""
    pieces = [data[at : at + 16] for at in range(0, len(data) - 16, len(data) // 2 // 4 * 4)]
    return pieces + [b64encode(data[at : at + 15])[:20] for at in (0, 1, 2)]  # a text has one of these


def known_of(place: Place, plan: Plan, model: Tensors | None) -> dict[str, Known]:
    """What each silo sends when it prepares, or in round 1 when it trains from `model`."""
    quiet = replace(plan, hyper={**plan.hyper, "before_preparing": "", "before_training": ""})
    hyper = APP.app.resolve(quiet.hyper)
    found = {}
    for silo, prepared in read_silos(APP, hyper, place.records).items():
        station = Station(APP.app, hyper, prepared, Part(silo, plan.seed))
        timer, stage = Timer(), Stage.PREPARE if model is None else Stage.TRAIN
        made = station.prepare(timer, initial=False) if model is None else station.train(timer, 1, model)
        found[silo] = Known(stage, tensors.encode(made.leaving), made.weight)
    return found


# --- where it is looked for ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What the coordinator has: its directory with database, WAL and blobs, its log and all that it has open by path;
    and the pages of its memory that are its own, where this may be read."""

    files: dict[str, bytes]
    memory: dict[str, bytes]


def look_at(place: Place) -> Look:
    federation = place.federation
    pid = federation.pid("coordinator")
    paths = files_under(federation.operator_dir)
    paths += [federation.log("coordinator"), *Path(f"/proc/{pid}/fd").iterdir()]
    files = {}
    for path in paths:
        with suppress(OSError):  # it may have gone meanwhile
            if path.is_file():
                files[str(path)] = path.read_bytes()
    return Look(files, {f"memory {at}": data for at, data in enumerate(memory_of(pid))})


def memory_of(pid: int) -> Iterator[bytes]:
    with suppress(PermissionError), Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode, _, _, inode, *_ = line.split()
            if mode.startswith("rw") and inode == "0":
                start, end = (int(at, 16) for at in span.split("-"))
                with suppress(OSError, ValueError):
                    memory.seek(start)
                    pages = np.frombuffer(memory.read(end - start), np.uint64).reshape(-1, 512)
                    yield pages[pages.any(axis=1)].tobytes()


def seen(patterns: Mapping[str, list[bytes]], where: Mapping[str, bytes]) -> dict[str, str]:
    """What was found, and where."""
    return {
        what: name
        for what, pieces in patterns.items()
        for name, data in where.items()
        if any(piece in data for piece in pieces)
    }


@dataclass(frozen=True)
class Story:
    """A run; what the coordinator had while one silo was waited for, twice, and at the end; and what silos had then."""

    plan: Plan
    run: str
    preparing: Look
    training: Look
    ended: Look
    held: dict[str, bytes]
    model: str


def lived(place: Place, plan: Plan) -> Story:
    """Live a run through, and look at the coordinator whenever all but one have reported, and at the end."""
    run = place.client.submit(plan, key=plan.name).id

    def reported(stage: Stage) -> bool:
        said = [entry.fact for entry in place.client.journal(run)]
        found = {fact.silo for fact in said if isinstance(fact, facts.SiloReported) and fact.stage is stage}
        return found == set(FIRST)

    until(lambda: reported(Stage.PREPARE), "two silos have prepared")
    preparing = look_at(place)
    place.open(plan.name, "preparing")
    until(lambda: reported(Stage.TRAIN), "two silos have trained")
    training, held = look_at(place), {}
    for silo in FIRST:
        state = RunFiles(place.federation.site(silo).folder / "state" / "runs" / run).load()
        assert state is not None
        assert state.held is not None
        held[silo] = state.held.payload.inline or b""
    place.open(plan.name, "training")
    until(lambda: place.client.run(run).status is RunStatus.FINISHED, "the run ends")
    return Story(plan, run, preparing, training, look_at(place), held, place.client.run(run).model or "")


def model_0(place: Place, story: Story) -> Tensors:
    said = [entry.fact for entry in place.client.journal(story.run)]
    made = next(fact for fact in said if isinstance(fact, facts.ModelMade))
    name = made.model.digest.partition(":")[2]
    (path,) = (path for path in files_under(place.federation.operator_dir) if path.name == name)
    return tensors.decode(path.read_bytes())


def simulated(place: Place, plan: Plan) -> str:
    quiet = replace(plan, hyper={**plan.hyper, "before_preparing": "", "before_training": ""})
    return simulate(APP, quiet, read_silos(APP, APP.app.resolve(quiet.hyper), place.records)).model_digest


# --- the promise ---------------------------------------------------------------------------------------------------


def test_a_plain_run_leaves_every_silos_numbers_at_the_coordinator_and_a_masked_run_leaves_none(place):
    masked = lived(place, place.plan("masked", 1, Masking()))  # first, so that nothing of the plain one is around
    plain = lived(place, place.plan("plain", 2, None))
    for story in (plain, masked):
        assert story.model == simulated(place, story.plan)
    all_is_found_of(place, plain)
    nothing_is_found_of(place, masked)


def all_is_found_of(place: Place, story: Story) -> None:
    """So the patterns are right, and this is where to look."""
    prepared, trained = known_of(place, story.plan, None), known_of(place, story.plan, model_0(place, story))
    for silo in FIRST:
        assert story.held[silo] == trained[silo].plain
        for known, then in ((prepared[silo], story.preparing), (trained[silo], story.training)):
            patterns = known.open_patterns(silo)
            metrics = patterns.pop(f"metrics of {silo}", [])  # of which the journal tells once all have reported
            assert seen(patterns, then.files).keys() == patterns.keys()
            assert not metrics or seen({"metrics": metrics}, story.ended.files)
        if story.training.memory:
            update = {what: pieces for what, pieces in trained[silo].open_patterns(silo).items() if "update" in what}
            assert seen(update, story.training.memory).keys() == update.keys()


def nothing_is_found_of(place: Place, story: Story) -> None:
    prepared, trained = known_of(place, story.plan, None), known_of(place, story.plan, model_0(place, story))
    later = everything_in(story.training, story.ended)
    early = everything_in(story.preparing, story.ended)
    for silo in ROWS:
        assert silo not in FIRST or story.held[silo] == trained[silo].plain
        for known, where in ((prepared[silo], early), (trained[silo], later)):
            quantised = known.quantised_patterns(silo, story.plan)
            assert seen(quantised, {"as it would be": bare(known, story.plan)}).keys() == quantised.keys()
            assert seen(quantised | known.open_patterns(silo), where) == {}


def everything_in(*looks: Look) -> dict[str, bytes]:
    """Each different content once."""
    different = {data: name for look in looks for name, data in (look.files | look.memory).items()}
    return {f"{name} ({number})": data for number, (data, name) in enumerate(different.items())}
