"""How does a folder of FHIR R4 bundles become one row a patient? `*.json` (a Bundle or one resource) and `*.ndjson`.

A column's name says what it is: `patient.gender`, `patient.age` (whole years on `index_date`), `observation.CODE` (the
newest value, with its unit; LOINC as a rule) and `condition.CODE` (1 if it was recorded, else 0; a `*` at its end
stands for any, as in `condition.I25*`). With `index_date`, what was recorded after that day, or on a day that is not
said, does not count.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.adapters.readers.fhir_values import Fact, Resource, facts_of
from septum.errors import ConfigError, DataError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind, Settings
from septum.sdk.cells import Batch, Cell

MAX_FILES = 1_000_000
MAX_BUNDLE_BYTES = 256 * 2**20  # a bundle is in memory as a whole, some ten times as large as in the file
MAX_LINE_BYTES = 16 * 2**20
MAX_COLUMNS = 1_000  # when all are wanted
_COLUMN = re.compile(r"patient\.(gender|age)|(observation|condition)\.[A-Za-z0-9._-]+\*?", re.ASCII)


@dataclass(slots=True)
class _Gathered:
    """What was seen so far: patients in their order, and by reference and column the newest fact."""

    patients: dict[str, Resource] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    found: dict[tuple[str, str], tuple[str, Cell]] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FhirFolder:
    """A Reader of one row a patient."""

    folder: Path
    index_date: str = ""

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All patients, in the order of the files and in each file."""
        self._check(wanted)
        gathered = _Gathered()
        for where, url, resource in self._resources():
            kind = resource.get("resourceType")
            if kind == "Patient":
                _add_patient(gathered, resource, url, where)
            elif kind in ("Observation", "Condition"):
                for fact in facts_of(resource, where):
                    self._add_fact(gathered, str(kind).lower(), fact, wanted, where)
        for subject, where in gathered.subjects.items():
            if subject not in gathered.references:
                raise DataError(
                    f"{where}: its patient {subject[:80]!r} is in no file", hint="export the Patient resources, too"
                )
        names = list(wanted) or ["patient.gender", *gathered.columns]
        rows = self._rows(gathered)
        for start in range(0, len(rows), BATCH_ROWS):
            part = rows[start : start + BATCH_ROWS]
            yield {name: [self._cell(name, patient, cells) for patient, cells in part] for name in names}

    def _check(self, wanted: Sequence[str]) -> None:
        for name in wanted:
            if not _COLUMN.fullmatch(name):
                raise DataError(
                    f"fhir: {name!r} is no column of FHIR resources",
                    hint="patient.gender, patient.age, observation.CODE, condition.CODE",
                )
        if "patient.age" in wanted and not self.index_date:
            raise DataError("fhir: an age is on a day, and there is no index_date", hint='index_date = "2020-12-31"')

    def _add_fact(self, gathered: _Gathered, kind: str, fact: Fact, wanted: Sequence[str], where: str) -> None:
        if self.index_date and not "" < fact.day[:10] <= self.index_date:
            return
        own = [f"{kind}.{code}" for code in fact.codes]
        columns = [name for name in wanted if _means(name, own)] if wanted else own[:1]
        for name in columns:
            gathered.subjects.setdefault(fact.subject, where)
            if len(gathered.columns) < MAX_COLUMNS:
                gathered.columns.setdefault(name)
            key = (fact.subject, name)
            if fact.value is not None and (key not in gathered.found or fact.day >= gathered.found[key][0]):
                gathered.found[key] = (fact.day, fact.value)

    def _rows(self, gathered: _Gathered) -> list[tuple[Resource, dict[str, Cell]]]:
        cells: dict[str, dict[str, tuple[str, Cell]]] = {patient: {} for patient in gathered.patients}
        for (subject, name), (day, value) in gathered.found.items():
            mine = cells[gathered.references[subject]]
            if name not in mine or day >= mine[name][0]:  # one patient may be referred to in two ways
                mine[name] = (day, value)
        return [
            (resource, {name: value for name, (_, value) in cells[patient].items()})
            for patient, resource in gathered.patients.items()
        ]

    def _cell(self, name: str, patient: Resource, cells: dict[str, Cell]) -> Cell:
        if name == "patient.gender":
            gender = patient.get("gender")
            return gender if isinstance(gender, str) else None
        if name == "patient.age":
            return _age(patient.get("birthDate"), self.index_date)
        return cells.get(name, 0.0 if name.startswith("condition.") else None)

    def _resources(self) -> Iterator[tuple[str, str, Resource]]:
        """(place, full URL, resource) of everything in the folder. Raises DataError naming file and place."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix in (".json", ".ndjson"))
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be read: {error.strerror}", hint=f"ls -l {self.folder}") from error
        if not paths or len(paths) > MAX_FILES:
            raise DataError(f"{self.folder}: {len(paths)} .json and .ndjson files", hint=f"1 to {MAX_FILES} are needed")
        for path in paths:
            yield from _lines(path) if path.suffix == ".ndjson" else _bundle(path)


def _means(wanted: str, own: Sequence[str]) -> bool:
    if wanted.endswith("*"):
        return any(code.startswith(wanted[:-1]) for code in own)
    return wanted in own


def _lines(path: Path) -> Iterator[tuple[str, str, Resource]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(f"{path}, line {number}: over {MAX_LINE_BYTES} bytes", hint="export it again")
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, "", _resource(_json(line, where), where)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


def _bundle(path: Path) -> Iterator[tuple[str, str, Resource]]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if len(data) > MAX_BUNDLE_BYTES:
        raise DataError(f"{path}: over {MAX_BUNDLE_BYTES} bytes", hint="export it as .ndjson, or as several bundles")
    whole = _resource(_json(data, str(path)), str(path))
    if whole["resourceType"] != "Bundle":
        yield str(path), "", whole
        return
    entries = whole.get("entry", [])
    if not isinstance(entries, list):
        raise DataError(f"{path}: entry is no list", hint="export the bundle again")
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict) or "resource" not in entry:
            raise DataError(f"{where}: no resource", hint="export the bundle again")
        url = entry.get("fullUrl", "")
        yield where, url if isinstance(url, str) else "", _resource(entry["resource"], where)


def _json(data: bytes, where: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        place = f", line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{where}{place}: not JSON", hint="export it again; was it cut?") from error


def _resource(value: object, where: str) -> Resource:
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise DataError(f"{where}: no resourceType, so no FHIR resource", hint="a Bundle or a resource is needed")
    return value


def _add_patient(gathered: _Gathered, resource: Resource, url: str, where: str) -> None:
    name = resource.get("id") or url
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: a Patient without an id", hint="export the bundle again")
    if name in gathered.patients:
        raise DataError(f"{where}: the patient {name[:80]!r} is there twice", hint="keep one file of each patient")
    gathered.patients[name] = resource
    for reference in (f"Patient/{name}", f"urn:uuid:{name}", url):
        if reference:
            gathered.references[reference] = name


def _age(born: object, on: str) -> Cell:
    """Whole years; a birth date of a year alone counts from its first day, as FHIR allows it."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", born) if isinstance(born, str) else None
    if not match:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    then = datetime.date.fromisoformat(on)
    return float(then.year - year - ((then.month, then.day) < (month, day)))


def _is_day(text: str) -> bool:
    """In the one form in which days compare as text; Python reads others, too."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def open_fhir(settings: Settings) -> FhirFolder:
    """The folder that `[data.NAME]` describes. Raises ConfigError."""
    index_date = str(settings.get("index_date", ""))
    if index_date and not _is_day(index_date):
        raise ConfigError(f"index_date is {index_date!r}", hint='write a day: index_date = "2020-12-31"')
    return FhirFolder(Path(str(settings["path"])), index_date)


FHIR = ReaderKind((Setting("path", SettingKind.PATH, needed=True), Setting("index_date")), open_fhir)
