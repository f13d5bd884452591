"""What is opened with the file of logs and loads? Both of its stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.adapters.telemetry.file import FILE_NAME, TelemetryFile
from septum.adapters.telemetry.logs import SqliteLogs
from septum.adapters.telemetry.system import SqliteSystem
from septum.ports.telemetry import LogStore, SystemStore


@dataclass(frozen=True, slots=True)
class Telemetry:
    """An opened file: logs of runs, and loads of machines."""

    logs: LogStore
    system: SystemStore
    _file: TelemetryFile

    def close(self) -> None:
        """Close it. Doing it twice is harmless."""
        self._file.close()


def open_telemetry(data_dir: Path) -> Telemetry:
    """Open the file in a coordinator's data directory; it is made if it is not there. Raises StorageError."""
    file = TelemetryFile(data_dir / FILE_NAME)
    return Telemetry(SqliteLogs(file), SqliteSystem(file), file)
