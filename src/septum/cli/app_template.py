"""What is in a new app? A folder that runs as it is: app, manifest, and made-up rows of two silos to try it on."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

from septum.errors import ConfigError, ConflictError
from septum.sdk.package import DATA_FOLDER

TEMPLATE = Path(__file__).with_name("template")
FILES = ("app.py", "septum.toml")
SILOS = ("north", "south")
ROWS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)


def make_app(folder: Path, name: str) -> tuple[Path, ...]:
    """Write a new app named `name`; its files. Raises ConflictError when the folder holds something."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for an app: letters, digits, - and _", hint="--name my-app")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder} is there already, and not empty", hint="choose a folder that is not there yet")
    made = []
    try:
        (folder / DATA_FOLDER).mkdir(parents=True)
        for file in FILES:
            text = (TEMPLATE / file).read_text(encoding="utf-8")
            (folder / file).write_text(text.replace('"my-app"', f'"{name}"'), encoding="utf-8")
            made.append(folder / file)
        for number, silo in enumerate(SILOS):
            path = folder / DATA_FOLDER / f"{silo}.csv"
            path.write_text(sample_rows(number), encoding="utf-8")
            made.append(path)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}", hint=f"ls -ld {folder.parent}") from error
    return tuple(made)


def sample_rows(number: int) -> str:
    """A CSV file of a made-up silo, from which the template's app can learn something; a few cells are empty.

    >>> sample_rows(0).splitlines()[0]
    'age,dose,smoker,ill'
    """
    rng = random.Random(f"septum-template-{number}")  # noqa: S311  made-up rows, the same each time
    lines = ["age,dose,smoker,ill"]
    for _ in range(ROWS):
        age = rng.randint(30, 85)
        dose = round(rng.uniform(0, 300), 1)
        smoker = int(rng.random() < 0.3)
        odds = (age - 58) / 9 + 1.5 * smoker - (dose - 150) / 120 + rng.gauss(0, 1)
        ill = int(rng.random() < 1 / (1 + math.exp(-odds)))
        cells = [str(age), str(dose), str(smoker)]
        if rng.random() < 0.04:
            cells[rng.randrange(3)] = ""
        lines.append(",".join([*cells, str(ill)]))
    return "\n".join(lines) + "\n"
