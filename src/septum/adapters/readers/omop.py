"""How does an OMOP CDM database become one row a patient? By concept ids, as of an index date. Needs septum[sql].

A column's name says what it is: `person.sex` (the gender's concept id), `person.age` (whole years on the index date),
`condition.ID` (1 if it was recorded, else 0), `measurement.ID` and `observation.ID` (the newest value, with its unit)
and `measurement.ID.concept`, `observation.ID.concept` (the newest value as a concept id).

The index date is a patient's own: `index = "condition.ID"` her first such record, `index = "visit"` her first visit, or
a fixed day for all. Who has none is no row. Only what was recorded in the `window_days` up to the index date counts,
that day included. Tables and fields are those of CDM v5.4; units are read from the database's own vocabulary (UCUM).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.adapters.readers.columns import cell_of
from septum.adapters.readers.database import URL_SETTINGS, connected, url_of
from septum.errors import ConfigError, DataError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind, Settings
from septum.sdk.cells import Batch, Cell, Quantity

if TYPE_CHECKING:
    from sqlalchemy import Connection, TableClause
    from sqlalchemy.sql.expression import ColumnElement

DEFAULT_WINDOW_DAYS = 365
MAX_PATIENTS = 20_000_000
MAX_LISTED = 200  # concepts of a domain, when somebody asks what there is
_COLUMN = re.compile(
    r"(person\.(age|sex|year_of_birth))|condition\.\d+|(measurement|observation)\.\d+(\.concept)?", re.ASCII
)
_INDEX = re.compile(r"visit|condition\.\d+|\d{4}-\d\d-\d\d", re.ASCII)
_DATED = {  # table, date, concept, value by domain
    "condition": ("condition_occurrence", "condition_start_date", "condition_concept_id"),
    "measurement": ("measurement", "measurement_date", "measurement_concept_id"),
    "observation": ("observation", "observation_date", "observation_concept_id"),
}
Index = dict[int, datetime.date]


@dataclass(frozen=True, slots=True)
class OmopDatabase:
    """A Reader of one row a patient."""

    settings: Settings
    index: str
    window_days: int
    schema: str | None

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All patients who have an index date, in the order of their ids."""
        for name in wanted:
            if not _COLUMN.fullmatch(name):
                raise DataError(
                    f"omop: {name!r} is no column of an OMOP database",
                    hint="person.age, person.sex, condition.ID, measurement.ID, observation.ID (ID: a concept id)",
                )
        with connected(url_of(self.settings)) as connection:
            names = wanted or self._all(connection)
            index = self._index(connection)
            patients = sorted(index)
            columns = {name: self._column(connection, name, index) for name in names}
            for start in range(0, len(patients), BATCH_ROWS):
                rows = patients[start : start + BATCH_ROWS]
                yield {name: [found.get(patient) for patient in rows] for name, found in columns.items()}

    def _index(self, connection: Connection) -> Index:
        from sqlalchemy import func, select  # an optional extra

        if _INDEX.fullmatch(self.index) and self.index[0].isdigit():
            person = self._table("person", "person_id")
            found = connection.execute(select(person.c.person_id)).all()
            rows = [(row[0], self.index) for row in found]
        elif self.index == "visit":
            visit = self._table("visit_occurrence", "person_id", "visit_start_date")
            first = func.min(visit.c.visit_start_date)
            rows = [
                tuple(row) for row in connection.execute(select(visit.c.person_id, first).group_by(visit.c.person_id))
            ]
        else:
            table = self._table("condition_occurrence", "person_id", "condition_start_date", "condition_concept_id")
            chosen = table.c.condition_concept_id == int(self.index.partition(".")[2])
            first = func.min(table.c.condition_start_date)
            query = select(table.c.person_id, first).where(chosen).group_by(table.c.person_id)
            rows = [tuple(row) for row in connection.execute(query)]
        if len(rows) > MAX_PATIENTS:
            raise DataError(f"omop: {len(rows)} patients, at most {MAX_PATIENTS}", hint="choose another index")
        return {int(patient): _day(day, "the index date") for patient, day in rows if day is not None}

    def _column(self, connection: Connection, name: str, index: Index) -> Mapping[int, Cell]:
        domain, _, rest = name.partition(".")
        if domain == "person":
            return self._person(connection, rest, index)
        concept, _, as_concept = rest.partition(".")
        if domain == "condition":
            return self._conditions(connection, int(concept), index)
        return self._values(connection, domain, int(concept), index, as_concept=bool(as_concept))

    def _person(self, connection: Connection, what: str, index: Index) -> dict[int, Cell]:
        from sqlalchemy import select  # an optional extra

        person = self._table(
            "person", "person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth"
        )
        found: dict[int, Cell] = {}
        for patient, gender, year, month, day in connection.execute(select(*person.c)):
            if patient not in index:
                continue
            if what == "age":
                on = index[patient]
                had_birthday = (on.month, on.day) >= (int(month or 1), int(day or 1))
                found[patient] = None if year is None else float(on.year - int(year) - (not had_birthday))
            else:
                value = gender if what == "sex" else year
                found[patient] = None if value in (None, 0) else float(value)  # concept 0: no matching concept
        return found

    def _conditions(self, connection: Connection, concept: int, index: Index) -> dict[int, Cell]:
        found: dict[int, Cell] = dict.fromkeys(index, 0.0)
        for patient, day, *_ in self._records(connection, "condition", concept, ()):
            if patient in index and self._counts(day, index[patient]):
                found[patient] = 1.0
        return found

    def _values(
        self, connection: Connection, domain: str, concept: int, index: Index, *, as_concept: bool
    ) -> dict[int, Cell]:
        """The newest value of each patient: the rows come in the order of their dates."""
        found: dict[int, Cell] = {}
        units = {} if as_concept else self._units(connection, domain, concept)
        fields = ("value_as_concept_id",) if as_concept else ("value_as_number", "unit_concept_id", "unit_source_value")
        for patient, day, value, *unit in self._records(connection, domain, concept, fields):
            if value is None or patient not in index or not self._counts(day, index[patient]):
                continue
            if as_concept:
                found[patient] = float(value) or None
            else:
                name = units.get(int(unit[0] or 0)) or str(unit[1] or "")
                found[patient] = Quantity(float(value), name) if name else cell_of(value)
        return found

    def _records(
        self, connection: Connection, domain: str, concept: int, fields: tuple[str, ...]
    ) -> Iterator[tuple[Any, ...]]:
        from sqlalchemy import select  # an optional extra

        table, date, concept_field = _DATED[domain]
        source = self._table(table, "person_id", date, concept_field, f"{table}_id", *fields)
        chosen: list[ColumnElement[Any]] = [source.c.person_id, source.c[date], *(source.c[name] for name in fields)]
        query = select(*chosen).where(source.c[concept_field] == concept)
        streamed = connection.execution_options(stream_results=True, max_row_buffer=BATCH_ROWS)
        for patient, day, *rest in streamed.execute(query.order_by(source.c[date], source.c[f"{table}_id"])):
            if day is not None:
                yield int(patient), _day(day, f"{table}.{date}"), *rest

    def _units(self, connection: Connection, domain: str, concept: int) -> dict[int, str]:
        """UCUM's code of each unit that occurs, from the database's vocabulary."""
        from sqlalchemy import select  # an optional extra

        table, _, concept_field = _DATED[domain]
        source = self._table(table, concept_field, "unit_concept_id")
        words = self._table("concept", "concept_id", "concept_code")
        used = select(source.c.unit_concept_id).where(source.c[concept_field] == concept).distinct()
        rows = connection.execute(select(words.c.concept_id, words.c.concept_code).where(words.c.concept_id.in_(used)))
        return {int(unit): str(code) for unit, code in rows if unit}

    def _all(self, connection: Connection) -> list[str]:
        """The most frequent concepts of each domain."""
        from sqlalchemy import func, select  # an optional extra

        names = ["person.age", "person.sex"]
        for domain, (table, _, concept_field) in _DATED.items():
            source = self._table(table, concept_field)
            concept = source.c[concept_field]
            often = func.count().desc()
            rows = connection.execute(select(concept).group_by(concept).order_by(often, concept).limit(MAX_LISTED))
            names += [f"{domain}.{row[0]}" for row in rows if row[0]]
        return names

    def _counts(self, day: datetime.date, index: datetime.date) -> bool:
        return 0 <= (index - day).days <= self.window_days

    def _table(self, name: str, *fields: str) -> TableClause:
        from sqlalchemy import column, table  # an optional extra

        return table(name, *(column(field) for field in fields), schema=self.schema)


def _day(value: object, where: str) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise DataError(f"omop: {where} holds something that is no date", hint="ISO 8601 is needed") from error


def open_omop(settings: Settings) -> OmopDatabase:
    """What `[data.NAME]` describes. Raises ConfigError."""
    index = str(settings["index"])
    if not _INDEX.fullmatch(index):
        raise ConfigError(f"index is {index!r}", hint='write: index = "visit", "condition.ID" or a day, "2020-12-31"')
    if index[0].isdigit():
        try:
            datetime.date.fromisoformat(index)
        except ValueError as error:
            raise ConfigError(f"index is {index!r}, which is no day", hint='index = "2020-12-31"') from error
    window = settings.get("window_days", DEFAULT_WINDOW_DAYS)
    assert isinstance(window, int)
    return OmopDatabase(settings, index, window, str(settings["schema"]) if "schema" in settings else None)


OMOP = ReaderKind(
    (
        *URL_SETTINGS,
        Setting("index", needed=True),
        Setting("window_days", SettingKind.WHOLE),
        Setting("schema"),
    ),
    open_omop,
)
