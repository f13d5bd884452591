"""Runs are stored as event files that TensorBoard's own reader reads, also after a record was cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contracts.test_experiment_trackers import events_of

from septum.adapters.tracking.event_file import EventFile, number
from septum.adapters.tracking.registry import TRACKERS
from septum.adapters.tracking.tensorboard_sink import FILE
from septum.errors import ConfigError, StorageError
from septum.ports.tracker import RoundMeasured, RunEnded, RunStarted, SiloMeasured, TrackerSettings
from septum.protocol.messages import Outcome
from septum.testing.contracts.samples import METRICS, new_run

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorBoard warns of what is its own

PLAN = new_run("r-1").plan


def made(data_dir, **values):
    return TRACKERS["tensorboard"](TrackerSettings(data_dir, {"prefix": "fed", **values}))


def accumulated(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # heavy

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_curves_parameters_and_tags_are_read_by_tensorboard(tmp_path):
    for _ in range(2):  # after a restart it hears them again
        tracker = made(tmp_path)
        tracker.tell(RunStarted("r-1", 1.7e9, PLAN))
        for round_ in range(3):
            tracker.tell(RoundMeasured("r-1", 1.7e9 + round_, round_, replace(METRICS, roc_auc=0.5 + round_ / 8)))
    tracker.tell(RunEnded("r-1", 1.7e9 + 9, Outcome.FINISHED, "", "blake3:" + "0" * 64))
    folder = tmp_path / "tensorboard" / "fed-server" / "fed-server-r-1"
    found = accumulated(folder)
    curve = [(one.step, one.value, one.wall_time) for one in found.Scalars("Test:AUC")]
    assert curve == [(step, 0.5 + step / 8, 1.7e9 + step) for step in range(3)]
    assert {*found.Tags()["scalars"]} == {"Test:AUC", "Test:Loss"}
    said = {tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in found.Tags()["tensors"]}
    texts = {tag.partition("/")[0]: text for tag, text in said.items()}
    assert "| learning-rate | 0.001 |" in texts["parameters"]
    assert f"| septum.plan_digest | {PLAN.digest} |" in texts["parameters"]
    assert "| outcome | finished |" in texts["outcome"]


def test_what_follows_a_record_that_was_cut_off_is_read(tmp_path):
    path = tmp_path / FILE
    EventFile(path).append([number(1.0, 1, "Test:AUC", 0.5)])
    whole = path.read_bytes()
    EventFile(path).append([number(2.0, 2, "Test:AUC", 0.75)])
    for cut in (path.read_bytes()[:-1], whole + b"\x09", whole + bytes(11)):
        path.write_bytes(cut)
        EventFile(path).append([number(3.0, 3, "Test:AUC", 1.0)])
        assert [(event.step, value.simple_value) for event, value in events_of(path)] == [(1, 0.5), (3, 1.0)]


def test_each_silo_has_a_file_of_its_own(tmp_path):
    tracker = made(tmp_path, folder="runs")
    tracker.tell_silos(
        [SiloMeasured("r-1", 5.0, silo, rank, 1, train_loss=rank / 4) for rank, silo in enumerate("ab", 1)]
    )
    for rank in (1, 2):
        path = tmp_path / "runs" / f"fed-client-{rank}" / f"fed-client-{rank}-r-1" / FILE
        assert [(value.tag, value.simple_value) for _, value in events_of(path)] == [("Training:Loss", rank / 4)]


def test_what_cannot_be_written_or_set_is_said(tmp_path):
    (tmp_path / "tensorboard").touch()
    with pytest.raises(StorageError, match=r"cannot write .*Not a directory"):
        made(tmp_path).tell(RunStarted("r-1", 1.0, PLAN))
    for values, message in (({"folder": ""}, "folder is ''"), ({"hosts": "x"}, "unknown key 'hosts'")):
        with pytest.raises(ConfigError) as refused:
            made(tmp_path, **values)
        assert message in refused.value.message
