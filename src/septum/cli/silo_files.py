"""Which silo does each file of a folder stand for?"""

from __future__ import annotations

from pathlib import Path

from septum.errors import ConfigError
from septum.protocol.plan import check_silo_name

SUFFIXES = (".csv", ".data")


def silo_files(folder: Path) -> dict[str, Path]:
    """Every .csv and .data file of a folder, by silo name. Raises ConfigError for none, or two of one name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.is_file())
    if not paths:
        raise ConfigError(
            f"{folder}: no {' or '.join(SUFFIXES)} file, so there are no silos",
            hint="put one file per silo there, boston.csv say; `septum simulate` also takes --data boston=boston.csv",
        )
    found: dict[str, Path] = {}
    for path in paths:
        name = silo_name(path)
        if name in found:
            raise ConfigError(
                f"{found[name]} and {path} are both silo {name!r}", hint=f"mv {path} OTHER-NAME{path.suffix}"
            )
        found[name] = path.resolve()
    return found


def silo_name(path: Path) -> str:
    """The silo that a file stands for: the last part of its name before the suffix.

    >>> silo_name(Path("data/processed.Long_Beach.data"))
    'long-beach'
    """
    return check_silo_name(path.stem.rsplit(".", 1)[-1].lower().replace("_", "-").replace(" ", "-"))
