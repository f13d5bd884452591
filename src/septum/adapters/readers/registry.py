"""Which kinds of source are there? `source` in `[data.NAME]` of silo.toml names one of these, or a plugin."""

from __future__ import annotations

from collections.abc import Mapping

from septum.adapters.readers.csv_file import CSV
from septum.adapters.readers.fhir import FHIR
from septum.adapters.readers.omop import OMOP
from septum.adapters.readers.parquet_file import PARQUET
from septum.adapters.readers.sql import SQL
from septum.ports.reader import ReaderKind

READERS: Mapping[str, ReaderKind] = {"csv": CSV, "parquet": PARQUET, "sql": SQL, "omop": OMOP, "fhir": FHIR}
