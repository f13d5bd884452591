"""What services for experiments store keeps the contract of the trackers' port; their processes are tried elsewhere."""

from __future__ import annotations

import pytest

from septum.adapters.tracking.naming import DEFAULT_PARAMETERS, TEST_LOSS, names_of
from septum.adapters.tracking.process import Desk, ProcessTracker, Setup
from septum.testing.contracts.tracker import TrackerContract

pytestmark = [
    pytest.mark.processes,  # MLflow asks `uname` for the processor
    pytest.mark.filterwarnings("ignore"),  # and warns of what is its own
]
NAMES = names_of("fed", DEFAULT_PARAMETERS, "here")


def tracker_of(kind, values, directory):
    """One whose service is spoken to by this very process."""
    setup = Setup(kind, values, str(directory), None, "")
    return ProcessTracker(setup, NAMES, asked=Desk())


class TestMlflow(TrackerContract):
    def make(self, directory):
        return tracker_of("mlflow", {"uri": "sqlite:///mlflow.db"}, directory)

    def recorded(self, directory):
        from mlflow import MlflowClient  # heavy

        client = MlflowClient(f"sqlite:///{directory}/mlflow.db")
        experiment = client.get_experiment_by_name("fed-server")
        found = []
        for run in client.search_runs([experiment.experiment_id]):
            name = run.data.tags["septum.run"]
            found.append((run.info.start_time, "started", name))
            if TEST_LOSS in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, TEST_LOSS)
                found += [(point.timestamp, f"measured {point.step}", name) for point in history]
            if run.info.end_time:
                found.append((run.info.end_time, "ended", name))
        return [(what, name) for _, what, name in sorted(found)]


def events_of(path):
    """Each event of an event file that says something, with what it says, as TensorBoard's own reader has it."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader  # heavy

    return [(event, value) for event in LegacyEventFileLoader(str(path)).Load() for value in event.summary.value]


class TestTensorboard(TrackerContract):
    def make(self, directory):
        return tracker_of("tensorboard", {"folder": "events"}, directory)

    def recorded(self, directory):
        names = {"parameters": "started", "outcome": "ended"}
        found = []
        for path in directory.glob("events/fed-server/*/*"):
            run = path.parent.name.removeprefix("fed-server-")
            for event, value in events_of(path):
                if value.tag == TEST_LOSS or value.tag in names:
                    found.append((event.wall_time, names.get(value.tag, f"measured {event.step}"), run))
        return [(what, run) for _, what, run in sorted(found)]
