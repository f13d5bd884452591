"""What files are in a folder in which a process works?"""

from __future__ import annotations

import os
from pathlib import Path


def files_in(*folders: Path) -> list[Path]:
    """All files below them, in order; folders that are not there, or go meanwhile, have none."""
    return sorted(Path(at, name) for folder in folders for at, _, names in os.walk(folder) for name in names)
