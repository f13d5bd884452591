"""What do a coordinator's directory, its diary and the silos' logs say of the runs that went through a schedule?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from blake3 import blake3
from tests.faults.counting import APP
from tests.faults.dying import Entry
from tests.faults.history import Commit, History, Owner, RunRecord, Word

from septum.coordinator.areas import models_area
from septum.protocol import tensors
from septum.protocol.messages import Blob, Stage
from septum.sdk import harness
from septum.simulate.run import read_silos

TOLERANCE = 1e-3  # sums of a few hundred float32 in another order


def history_of(
    runs: Sequence[RunRecord],
    logs: Mapping[str, Path],
    diary: Sequence[Entry],
    blobs: Path,
    records: Mapping[str, Path],
) -> History:
    """All of it, for the checker."""
    words = [word for silo, log in sorted(logs.items()) for word in words_in(silo, log)]
    owners = [Owner(entry.at, int(str(entry.extra["epoch"]))) for entry in diary if entry.point == "owner"]
    return History(runs, words, list(commits_in(diary)), owners, whole_in(blobs), made_in(blobs, records))


def words_in(silo: str, log: Path) -> Iterator[Word]:
    """What a silo was told, and how its reports were answered."""
    for line in log.read_text().splitlines():
        if '"event": "working"' in line or '"event": "reported"' in line:
            said = json.loads(line)
            place = (Stage(said["stage"]), said["round"], said["attempt"])
            yield Word(
                datetime.fromisoformat(said["at"]).timestamp(), silo, said["run_id"], place, said.get("answer", "")
            )


def commits_in(diary: Sequence[Entry]) -> Iterator[Commit]:
    """Each run's part of each commit, begun and done."""
    for entry in diary:
        if entry.point == "commit":
            said: list[list[object]] = entry.extra["said"]  # type: ignore[assignment]
            for run, version, _ in said:
                epoch = int(str(entry.extra["epoch"]))
                yield Commit(entry.at, epoch, str(run), int(str(version)), done=entry.when == "done")


def whole_in(blobs: Path) -> Callable[[str, Blob], bool]:
    """Whether a model is there with its bytes."""

    def is_whole(run_id: str, blob: Blob) -> bool:
        path = path_of(blobs, run_id, blob)
        if not path.exists() or path.stat().st_size != blob.size_bytes:
            return False
        return f"blake3:{blake3(path.read_bytes()).hexdigest()}" == blob.digest

    return is_whole


def made_in(blobs: Path, records: Mapping[str, Path]) -> Callable[[RunRecord, Blob, Blob, int, Sequence[str]], bool]:
    """Whether these silos' updates, trained anew, lead from one model to the next.

    Only where that is a plain mean: with a server optimizer, or with a carried state, the final digest tells.
    """

    def follows(run: RunRecord, before: Blob, after: Blob, round_: int, silos: Sequence[str]) -> bool:
        plan = run.plan
        if plan.strategy.name != "fedavg" or plan.hyper["carries"]:
            return True
        hyper = APP.app.resolve({**plan.hyper, "trail": "", "gate": "", "fails": ""})
        prepared = read_silos(APP, hyper, {silo: records[silo] for silo in silos})
        base, made = (weights_in(path_of(blobs, run.id, blob)) for blob in (before, after))
        done = {
            silo: harness.train(APP.app, hyper, prepared[silo], {"w": base}, harness.Task(round_, plan.seed, silo))
            for silo in silos
        }
        weights = [done[silo].weight for silo in silos]
        mean = np.average([done[silo].update["w"] for silo in silos], axis=0, weights=weights)
        return bool(np.allclose(base + mean, made, atol=TOLERANCE * (1 + round_)))

    return follows


def weights_in(path: Path) -> np.ndarray:
    """A model's parameters."""
    return np.array(tensors.decode(path.read_bytes())["w"])


def path_of(blobs: Path, run_id: str, blob: Blob) -> Path:
    """Where the directory has it."""
    name = blob.digest.partition(":")[2]
    return blobs / models_area(run_id) / name[:2] / name
