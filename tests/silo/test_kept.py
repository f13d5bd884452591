"""Which kept model a run continues from, and what is never kept: a tensor that a worker made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.cli.test_silo_model import about
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import granted
from tests.silo.test_private_session import PROCESS, Bench, model

from septum.errors import TensorError
from septum.protocol import tensors
from septum.protocol.messages import End, Evaluate, Outcome, Report, Train
from septum.protocol.silo import SiloRun
from septum.silo.kept import KeptModels, layout_digest, read
from septum.silo.log import Log
from septum.silo.outgoing import layout_in
from septum.silo.session import Session
from septum.silo.tensor_file import pieces_of

CONTENT = tensors.encode({"body": np.ones(2, np.float32), "head.w": np.ones(1, np.float32)})
ABOUT = about("r-1")
KEY = (ABOUT.app, ABOUT.dataset, ABOUT.layout, ABOUT.private)
LOG = Log(silo="north")


def keep(models: KeptModels, *kept: object, content: bytes = CONTENT) -> None:
    for one in kept:
        models.keep(one, pieces_of(content, lambda name: name))  # type: ignore[arg-type]


def test_the_newest_that_fits_is_continued_from_whatever_the_runs_are_called(tmp_path):
    models = KeptModels(tmp_path)
    assert models.newest(*KEY, LOG) is None
    keep(models, about("z-old", 1.0), about("a-new", 3.0), about("m-between", 2.0))
    newest = models.newest(*KEY, LOG)
    assert newest is not None
    assert newest.about.run == "a-new"


@pytest.mark.parametrize(
    "changed", [{"app": "other"}, {"dataset": "other"}, {"layout": "blake3:" + "d" * 64}, {"private": ("head.?",)}]
)
def test_a_model_of_another_app_dataset_layout_or_partition_is_not_continued_from(tmp_path, changed):
    models = KeptModels(tmp_path)
    keep(models, about("r-1", 1.0), about("r-2", 2.0, **changed))
    newest = models.newest(*KEY, LOG)
    assert newest is not None
    assert newest.about.run == "r-1"


def test_a_newer_version_of_the_app_goes_on_from_an_older_ones(tmp_path):
    models = KeptModels(tmp_path)
    keep(models, about("r-1", version="0.9.0", app_digest="sha256:" + "f" * 64))
    assert models.newest(*KEY, LOG) is not None


def test_a_model_without_a_private_tensor_and_a_file_that_is_damaged_are_passed_over(tmp_path):
    models = KeptModels(tmp_path)
    keep(models, about("r-1", 1.0))
    keep(models, about("r-2", 2.0), content=tensors.encode({"body": np.ones(2, np.float32)}))
    keep(models, about("r-3", 3.0))
    path = models.get("r-3").path
    path.write_bytes(path.read_bytes()[:-1])
    newest = models.newest(*KEY, LOG)
    assert newest is not None
    assert newest.about.run == "r-1"
    with pytest.raises(TensorError, match=r"r-3\.safetensors is no kept model"):
        read(path)


def test_layouts_are_told_apart_by_names_and_shapes_and_not_by_statistics(tmp_path):
    def digest(**arrays: np.ndarray) -> str:
        return layout_digest(layout_in(tensors.encode(arrays)))

    one = digest(w=np.ones(2, np.float32))
    assert digest(**{"w": np.zeros(2, np.float32), "statistics.m.sum": np.zeros(3)}) == one
    assert len({one, digest(w=np.ones(3, np.float32)), digest(v=np.ones(2, np.float32))}) == 3


# --- what a worker gives as the silo's own -------------------------------------------------------------------------

OWN = """
from septum.adapters.launch import station as _station
_plain = _station.Station.evaluate
def _evaluate(self, timer, model, state={}):
    made = _plain(self, timer, model, state)
    return _station.Made(made.leaving, made.weight, {**made.state, NAME: np.ones(SHAPE, np.float32)})
_station.Station.evaluate = _evaluate
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "shape", "is_kept"),
    [
        ("own.w", (1, 1), True),
        ("own.w", (2, 1), False),
        ("own.records", (9,), False),
        ("own.statistics.m.sum", (1,), False),
        ("elsewhere", (9,), True),
    ],
)
def test_the_kept_file_has_the_models_tensors_and_no_other_and_the_run_ends_all_the_same(
    tmp_path, name, shape, is_kept
):
    bench = Bench(tmp_path, OWN.replace("NAME", repr(name)).replace("SHAPE", repr(shape)))
    base = model()
    script = (Train(1, 1, base), Evaluate(3, 1, base), End(Outcome.FINISHED))
    channel = ScriptedChannel(ScriptedStop(), *script)
    models = KeptModels(tmp_path)
    tools = replace(tools_for(channel, PROCESS), kept=models)
    Session(tools, bench.files, SiloRun("r1", "north", bench.plan), lambda: granted(bench.app)).serve()

    assert len([said for said in channel.said if isinstance(said, Report)]) == 2
    assert not bench.files.folder.exists()
    assert models.has("r1") is is_kept
    if is_kept:
        assert sorted(tensors.decode(models.get("r1").path.read_bytes())) == ["head", "w"]


@pytest.mark.parametrize("ending", [Outcome.FAILED, Outcome.STOPPED])
def test_a_run_that_did_not_finish_leaves_no_model(tmp_path, ending):
    bench = Bench(tmp_path)
    channel = ScriptedChannel(ScriptedStop(), Train(1, 1, model()), Evaluate(3, 1, model()), End(ending))
    models = KeptModels(tmp_path)
    tools = replace(tools_for(channel), kept=models)
    Session(tools, bench.files, SiloRun("r1", "north", bench.plan), lambda: granted(bench.app)).serve()
    assert not models.has("r1")
