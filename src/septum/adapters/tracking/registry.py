"""Which trackers come with septum? `[tracking.NAME]` in coordinator.toml names one of these, or a plugin."""

from __future__ import annotations

from collections.abc import Mapping

from septum.adapters.tracking.json_lines import make_json_lines
from septum.ports.tracker import MakeTracker, Tracker, TrackerSettings


def _webhook(settings: TrackerSettings) -> Tracker:
    from septum.adapters.tracking.webhook import make_webhook  # httpx: 6 MB that others need not hold

    return make_webhook(settings)


TRACKERS: Mapping[str, MakeTracker] = {"jsonl": make_json_lines, "webhook": _webhook}
