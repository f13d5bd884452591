"""How fast does septum combine updates? `python -m benchmarks.aggregate --silos 4 --parameters 25000000 --json`.

Every strategy over real files, block by block, as the coordinator does it (protocol/combine.py), with its default
settings; one that needs more silos is left out (`left_out`). `gb_per_s` counts the bytes that are read (updates, base,
optimizer state; where a Gram matrix is made of the updates first, those that are summed are read twice) until the last
chunk of the new model is there; the chunks, and those of a new optimizer state, go nowhere. `weighted_mean` is the mean
alone: no base, no new model; `gram_matrix` the first of the two passes alone. `stored_gb_per_s` has the new model
digested and written into a blob store besides; its fsync is told apart (`fsync_s`), for it is the disk's. The floor is
one thread that reads the same bytes and does nothing (floors/reading.py), in turn with the rules. Best of the
repetitions: noise only ever slows down.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.floors import reading
from benchmarks.processes import peak_bytes, reset_peak, resident_bytes
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.file_source import file_source
from septum.algorithms.gram import gram_matrix
from septum.algorithms.strategy import Strategy, strategy, strategy_names, too_few
from septum.algorithms.weighted_mean import mean_summands
from septum.protocol.blocks import WIDEST, Region, block_width, summed, update_blocks
from septum.protocol.combine import OPTIMIZER, Weighted, float_region, next_model
from septum.protocol.contents import UPDATE
from septum.protocol.layout import write_header
from septum.protocol.sources import Source, layout_of

MEAN = "weighted_mean"
GRAM = "gram_matrix"
LAYER_FLOATS = 4_000_000
AREA = "models"


@dataclass(frozen=True, slots=True)
class Files:
    """What is combined: one update a silo, the base model, and a state for each number of state vectors."""

    updates: tuple[Path, ...]
    base: Path
    states: dict[int, Path]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """One pass: bytes that were read, wall and processor seconds, and by how many bytes the memory grew."""

    read_bytes: int
    wall_s: float
    cpu_s: float
    growth_bytes: int

    @property
    def gb_per_s(self) -> float:
        """What was read, 10^9 bytes a second."""
        return self.read_bytes / self.wall_s / 1e9


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--parameters", type=int, default=25_000_000)
    options.add_argument("--repeats", type=int, default=9)
    given = options.parse_args()
    figures, rules = measure(given.silos, given.parameters, given.repeats)
    report.say(figures, table(figures, rules), as_json=given.json)


Rules = dict[str, dict[str, report.Figure]]


def measure(silos: int, parameters: int, repeats: int) -> tuple[report.Figures, Rules]:
    """All figures, and those of the rules once more for the table."""
    facts = report.machine()
    names = [name for name in strategy_names() if not too_few(strategy(name), silos)]
    floors: dict[str, list[float]] = {}
    passes: dict[str, list[Taken]] = {}
    stored: dict[str, list[Taken]] = {}
    fsyncs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="septum-aggregate-") as folder:
        files = _made_elsewhere(Path(folder), silos, parameters)
        store = DirectoryBlobs(Path(folder) / "blobs")
        for _ in range(repeats):
            for name, program in reading.PROGRAMS.items():
                floors.setdefault(name, []).append(reading.gb_per_s(program, (*files.updates, files.base), 4 * WIDEST))
            passes.setdefault(MEAN, []).append(_timed(lambda opened: _mean_alone(files, opened)))
            passes.setdefault(GRAM, []).append(_timed(lambda opened: _gram_alone(files, opened)))
            for name in names:
                rule = strategy(name)
                passes.setdefault(name, []).append(_timed(partial(_drained, files, rule)))
                stored.setdefault(name, []).append(_timed(partial(_stored, files, rule, store)))
            fsyncs.append(_fsync_s(files, store))
    floor_program = max(floors, key=lambda name: max(floors[name]))
    floor = max(floors[floor_program])
    rules = {name: rule_figures(taken, stored.get(name, ()), floor) for name, taken in passes.items()}
    figures: report.Figures = {
        "benchmark": "aggregate",
        "silos": silos,
        "parameters": parameters,
        "repeats": repeats,
        "floor_gb_per_s": report.rounded(floor),
        "floor_program": floor_program,
        "floors_gb_per_s": {name: report.rounded(max(values)) for name, values in floors.items()},
        "rules": rules,
        "left_out": [name for name in strategy_names() if name not in names],
        "fsync_s": report.rounded(min(fsyncs)),
        "load_average_after": report.rounded(os.getloadavg()[0]),
        "machine": facts,
    }
    return figures, rules


def rule_figures(passes: Sequence[Taken], stored: Sequence[Taken], floor: float) -> dict[str, report.Figure]:
    """One rule's figures from its repetitions."""
    best = max(passes, key=lambda one: one.gb_per_s)
    figures: dict[str, report.Figure] = {
        "gb_per_s": report.rounded(best.gb_per_s),
        "ratio": report.ratio(best.gb_per_s, floor),
        "cpu_s_a_gb": report.rounded(min(one.cpu_s / one.read_bytes * 1e9 for one in passes)),
        "growth_mib": report.rounded(max(one.growth_bytes for one in passes) / 2**20),
    }
    if stored:
        kept = max(stored, key=lambda one: one.gb_per_s)
        figures["stored_gb_per_s"] = report.rounded(kept.gb_per_s)
        figures["stored_growth_mib"] = report.rounded(max(one.growth_bytes for one in stored) / 2**20)
    return figures


def _made_elsewhere(folder: Path, silos: int, parameters: int) -> Files:
    """The files, made by another process: what it took to make them is not in this one's memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(make_files, folder, silos, parameters).result()


def make_files(folder: Path, silos: int, parameters: int) -> Files:
    """Updates, a base model and optimizer states of random numbers."""
    rng = np.random.default_rng(0)
    updates = tuple(_file(folder / f"update-{silo:03}", UPDATE, parameters, rng) for silo in range(silos))
    base = _file(folder / "base", "", parameters, rng)
    widths = {len(strategy(name).state_names) for name in strategy_names()} - {0}
    states = {width: _state(folder / f"state-{width}", parameters, width, rng) for width in widths}
    return Files(updates, base, states, tuple(int(rows) for rows in rng.integers(10, 1000, silos)))


def _file(path: Path, prefix: str, parameters: int, rng: np.random.Generator) -> Path:
    sizes = [min(LAYER_FLOATS, parameters - start) for start in range(0, parameters, LAYER_FLOATS)]
    with path.open("wb") as file:
        file.write(write_header([(f"{prefix}layer{n:04}", "F32", (size,)) for n, size in enumerate(sizes)]))
        for size in sizes:
            file.write(rng.random(size, np.float32).data)
    return path


def _state(path: Path, parameters: int, width: int, rng: np.random.Generator) -> Path:
    with path.open("wb") as file:
        file.write(write_header([(OPTIMIZER, "F32", (parameters, width))]))
        for start in range(0, parameters, LAYER_FLOATS):
            file.write(rng.random((min(LAYER_FLOATS, parameters - start), width), np.float32).data)
    return path


def _state_of(files: Files, rule: Strategy) -> tuple[Path, ...]:
    return (files.states[len(rule.state_names)],) if rule.state_names else ()


class _Opened:
    """Files that are open while a pass lasts, and how many bytes of them were read."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.read_bytes = 0

    def __call__(self, path: Path) -> Source:
        """Open one, as the coordinator does."""
        source = self._stack.enter_context(file_source(path))

        def read(offset: int, buffer: memoryview) -> None:
            self.read_bytes += len(buffer)
            source.read(offset, buffer)

        return Source(source.size_bytes, read)


def _timed(work: Callable[[_Opened], None]) -> Taken:
    """One pass of `work`, which opens the files that it reads."""
    before = resident_bytes(os.getpid())
    reset_peak(os.getpid())
    cpu, began = time.process_time(), time.perf_counter()
    with ExitStack() as stack:
        opened = _Opened(stack)
        work(opened)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Taken(opened.read_bytes, wall, cpu, max(0, peak_bytes(os.getpid()) - before))


def _mean_alone(files: Files, opened: _Opened) -> None:
    for _ in summed(_regions(files, opened), mean_summands(files.weights), WIDEST):
        pass


def _gram_alone(files: Files, opened: _Opened) -> None:
    regions = _regions(files, opened)
    gram_matrix(update_blocks(regions, block_width(len(regions))), len(regions))


def _regions(files: Files, opened: _Opened) -> list[Region]:
    """Where the numbers of each update lie."""
    sources = [opened(path) for path in files.updates]
    return [Region(source, *float_region(layout_of(source), UPDATE)) for source in sources]


def _chunks(files: Files, rule: Strategy, opened: _Opened) -> Iterator[bytes]:
    updates = [Weighted(opened(path), rows) for path, rows in zip(files.updates, files.weights, strict=True)]
    state = next((opened(path) for path in _state_of(files, rule)), None)
    return next_model(rule, opened(files.base), state, updates, _nowhere)


def _nowhere(chunk: bytes) -> None:
    del chunk


def _drained(files: Files, rule: Strategy, opened: _Opened) -> None:
    for _ in _chunks(files, rule, opened):
        pass


def _stored(files: Files, rule: Strategy, store: DirectoryBlobs, opened: _Opened) -> None:
    store.put(AREA, _chunks(files, rule, opened), durable=False)


def _fsync_s(files: Files, store: DirectoryBlobs) -> float:
    """What it takes to bring a new model that was just written to the disk."""
    store.drop(AREA)
    with ExitStack() as stack:
        chunks = _chunks(files, strategy(strategy_names()[0]), _Opened(stack))
        path = store.stored_file(AREA, store.put(AREA, chunks, durable=False))
    with path.open("rb") as file:
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def table(figures: report.Figures, rules: Rules) -> list[tuple[str, str]]:
    """The figures for people."""
    shown = ("silos", "parameters", "floor_gb_per_s", "floor_program", "left_out", "fsync_s", "machine")
    return [(name, str(figures[name])) for name in shown] + [(name, str(found)) for name, found in rules.items()]


if __name__ == "__main__":
    main()
