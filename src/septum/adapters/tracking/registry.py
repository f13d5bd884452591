"""Which trackers come with septum? `[tracking.NAME]` in coordinator.toml names one of these, or a plugin."""

from __future__ import annotations

from collections.abc import Mapping

from septum.adapters.tracking.json_lines import make_json_lines
from septum.adapters.tracking.webhook import make_webhook
from septum.ports.tracker import MakeTracker

TRACKERS: Mapping[str, MakeTracker] = {"jsonl": make_json_lines, "webhook": make_webhook}
