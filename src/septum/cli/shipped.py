"""Where are the examples that come with septum, and which file belongs to which hospital?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import septum
from septum.errors import DataError, NotFoundError

HEART_DISEASE = "heart_disease"
HOSPITALS: Mapping[str, str] = {
    "cleveland": "processed.cleveland.data",
    "hungary": "processed.hungarian.data",
    "long-beach-va": "processed.va.data",
    "switzerland": "processed.switzerland.data",
}
_SUFFIXES = (".csv", ".data")


def example(name: str) -> Path:
    """The folder of an example: inside the installed package, or beside it in a checkout."""
    package = Path(septum.__file__).parent
    for folder in (package / "examples" / name, package.parent.parent / "examples" / name):
        if folder.is_dir():
            return folder
    raise NotFoundError(
        f"the example {name!r} did not come with this installation", hint="pip install --force-reinstall septum"
    )


def hospitals(folder: Path | None) -> dict[str, Path]:
    """One file of records per hospital: the shipped ones, or every .csv and .data file of `folder`, named after it.

    Raises:
        DataError: the folder has no such file, or a file's name is no name for a silo.
    """
    if folder is None:
        data = example(HEART_DISEASE) / "data"
        return {name: data / file for name, file in HOSPITALS.items()}
    found = {_silo_name(path): path.resolve() for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES}
    if not found:
        raise DataError(f"{folder} has no .csv or .data file", hint="put one file per hospital there, boston.csv say")
    return found


def _silo_name(path: Path) -> str:
    """`processed.va.data` -> `va`: what a silo is called follows its file.

    >>> _silo_name(Path("processed.Long_Beach.data"))
    'long-beach'
    """
    return path.stem.removeprefix("processed.").lower().replace("_", "-").replace(".", "-").replace(" ", "-")
