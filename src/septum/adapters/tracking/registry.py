"""Which trackers come with septum? `[tracking.NAME]` in coordinator.toml names one of these, or a plugin."""

from __future__ import annotations

from collections.abc import Mapping

from septum.adapters.tracking.json_lines import make_json_lines
from septum.ports.tracker import MakeTracker, Tracker, TrackerSettings


def _webhook(settings: TrackerSettings) -> Tracker:
    from septum.adapters.tracking.webhook import make_webhook  # httpx: 6 MB that others need not hold

    return make_webhook(settings)


def _mlflow(settings: TrackerSettings) -> Tracker:
    from septum.adapters.tracking.experiments import make_mlflow  # what speaks to another process

    return make_mlflow(settings)


def _sagemaker(settings: TrackerSettings) -> Tracker:
    from septum.adapters.tracking.experiments import make_sagemaker  # as above

    return make_sagemaker(settings)


def _tensorboard(settings: TrackerSettings) -> Tracker:
    from septum.adapters.tracking.experiments import make_tensorboard  # as above

    return make_tensorboard(settings)


TRACKERS: Mapping[str, MakeTracker] = {
    "jsonl": make_json_lines,
    "webhook": _webhook,
    "mlflow": _mlflow,
    "sagemaker": _sagemaker,
    "tensorboard": _tensorboard,
}
