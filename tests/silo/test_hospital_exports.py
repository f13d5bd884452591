"""Four hospitals export the same patients in their own words; harmonised, each table has the canonical digest."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from septum.sdk.data_report import Suspicion, for_others
from septum.sdk.mapping import ColumnMapping, OnViolation
from septum.sdk.package import read_manifest
from septum.silo.datasets import Dataset, plain_file
from septum.silo.reading import check_data, make_table

pytestmark = pytest.mark.processes

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart_disease"
CONTRACT = read_manifest(EXAMPLE).columns
NAMES = list(CONTRACT)


def original(hospital: str) -> Path:
    return EXAMPLE / "data" / f"{hospital}.data"


def patients(hospital: str) -> list[dict[str, float | None]]:
    rows = csv.reader(original(hospital).read_text().splitlines())
    return [{name: None if cell == "?" else float(cell) for name, cell in zip(NAMES, row, strict=True)} for row in rows]


def told(value: float | None, words: dict[float, str], nothing: str) -> str:
    return nothing if value is None else words[value]


def cleveland(folder: Path) -> Dataset:
    """CSV: English names, cholesterol in mmol/l, sexes as letters, ages in months."""
    with (folder / "heart.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", "gender", "age_months", "cholesterol", *NAMES[2:4], *NAMES[5:]])
        for place, row in enumerate(patients("cleveland")):
            assert row["chol"] is not None
            assert row["age"] is not None
            rest = ["" if row[name] is None else row[name] for name in [*NAMES[2:4], *NAMES[5:]]]
            chol = f"{row['chol'] / 38.67:.4f}"
            writer.writerow([f"P{place}", "M" if row["sex"] else "F", row["age"] * 12, chol, *rest])
    return Dataset(
        "cleveland",
        "csv",
        {"path": str(folder / "heart.csv")},
        {
            "age": ColumnMapping("age_months", "months", decimals=0),
            "sex": ColumnMapping("gender", codes={"M": 1.0, "F": 0.0}),
            "chol": ColumnMapping("cholesterol", "mmol/l", decimals=0),
        },
    )


def hungary(folder: Path) -> Dataset:
    """CSV of a Hungarian Excel: semicolons, decimal commas, no UTF-8, texts as codes, -9 for nothing."""
    sexes, pain = {0.0: "nő", 1.0: "férfi"}, {1.0: "típusos", 2.0: "atípusos", 3.0: "egyéb", 4.0: "nincs"}
    lines = ["kor;nem;fájdalom;vérnyomás;koleszterin;" + ";".join(NAMES[5:])]
    for row in patients("hungary"):
        bp = "-9" if row["trestbps"] is None else f"{row['trestbps'] / 7.50061682704:.3f}".replace(".", ",")
        chol = "-9" if row["chol"] is None else f"{row['chol']:.1f}".replace(".", ",")
        rest = ["-9" if row[name] is None else str(row[name]).replace(".", ",") for name in NAMES[5:]]
        assert row["age"] is not None
        cells = [f"{row['age']:.0f}", told(row["sex"], sexes, ""), told(row["cp"], pain, ""), bp, chol, *rest]
        lines.append(";".join(cells))
    (folder / "sziv.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    nothing = {name: ColumnMapping(missing=("-9",)) for name in NAMES[5:]}
    return Dataset(
        "hungary",
        "csv",
        {"path": str(folder / "sziv.csv"), "delimiter": ";", "decimal": ",", "encoding": "utf-16"},
        {
            **nothing,
            "age": ColumnMapping("kor"),
            "sex": ColumnMapping("nem", codes={"nő": 0.0, "férfi": 1.0}),
            "cp": ColumnMapping("fájdalom", codes={word: code for code, word in pain.items()}),
            "trestbps": ColumnMapping("vérnyomás", "kPa", missing=("-9",), decimals=0),
            "chol": ColumnMapping("koleszterin", missing=("-9",)),
        },
    )


def switzerland(folder: Path) -> Dataset:
    """Parquet: typed columns, German codes, ST depression in tenths of a millimetre."""
    rows = patients("switzerland")
    columns = {name: [row[name] for row in rows] for name in NAMES}
    columns["oldpeak"] = [None if value is None else round(value * 10) for value in columns["oldpeak"]]
    words = {0.0: "gesund", 1.0: "I", 2.0: "II", 3.0: "III", 4.0: "IV"}
    export = {f"v_{name}": pyarrow.array(cells) for name, cells in columns.items() if name not in ("num", "exang")}
    export["befund"] = pyarrow.array([told(row["num"], words, "") for row in rows])
    export["angina"] = pyarrow.array([None if row["exang"] is None else bool(row["exang"]) for row in rows])
    parquet.write_table(pyarrow.table(export), folder / "herz.parquet")
    return Dataset(
        "switzerland",
        "parquet",
        {"path": str(folder / "herz.parquet")},
        {
            **{name: ColumnMapping(f"v_{name}") for name in NAMES},
            "oldpeak": ColumnMapping("v_oldpeak", factor=0.1, decimals=1),
            "num": ColumnMapping("befund", codes={word: code for code, word in words.items()}),
            "exang": ColumnMapping("angina"),
        },
    )


def long_beach(folder: Path) -> Dataset:
    """A database: numbers as texts, other codes for the scan, beats per second, a view that joins nothing."""
    database = folder / "va.db"
    with sqlite3.connect(database) as connection:
        connection.execute(f"CREATE TABLE visits (visit INTEGER, {', '.join(f'{name} TEXT' for name in NAMES)})")
        for place, row in enumerate(patients("long-beach-va")):
            cells: dict[str, object] = dict(row)
            cells["thal"] = told(row["thal"], {3.0: "NORM", 6.0: "FIX", 7.0: "REV"}, "UNK")
            cells["thalach"] = None if row["thalach"] is None else row["thalach"] / 60
            marks = ", ".join("?" * (len(NAMES) + 1))
            connection.execute(f"INSERT INTO visits VALUES ({marks})", [-place, *(cells[name] for name in NAMES)])
    connection.close()
    url = folder / "database.url"
    url.write_text(f"sqlite:///{database}")
    url.chmod(0o600)
    return Dataset(
        "long-beach-va",
        "sql",
        {"url_file": str(url), "query": "SELECT * FROM visits ORDER BY visit DESC"},
        {
            "thal": ColumnMapping(codes={"NORM": 3.0, "FIX": 6.0, "REV": 7.0}, missing=("UNK",)),
            "thalach": ColumnMapping(unit="Hz", decimals=0),
        },
    )


EXPORTS = {"cleveland": cleveland, "hungary": hungary, "switzerland": switzerland, "long-beach-va": long_beach}


@pytest.mark.parametrize("hospital", EXPORTS)
def test_a_hospitals_own_export_becomes_the_canonical_table(hospital, tmp_path):
    canonical = make_table(plain_file(original(hospital)), CONTRACT, tmp_path / "canonical")
    made = make_table(EXPORTS[hospital](tmp_path), CONTRACT, tmp_path / "made")
    assert made.digest == canonical.digest
    assert (tmp_path / "made").read_bytes() == (tmp_path / "canonical").read_bytes()


@pytest.mark.parametrize("hospital", EXPORTS)
def test_without_its_mapping_the_same_export_is_no_canonical_table(hospital, tmp_path):
    dataset = EXPORTS[hospital](tmp_path)
    names = {name: ColumnMapping(mapping.source) for name, mapping in dataset.columns.items()}
    bare = Dataset(dataset.name, dataset.source, dataset.settings, names, OnViolation.MISSING)
    canonical = make_table(plain_file(original(hospital)), CONTRACT, tmp_path / "canonical")
    assert make_table(bare, CONTRACT, tmp_path / "made").digest != canonical.digest


TRAPS = {
    "cleveland": set(),
    "hungary": {("ca", Suspicion.SPARSE), ("thal", Suspicion.SPARSE), ("num", Suspicion.UNUSED_CODES)},
    "switzerland": {("chol", Suspicion.HIDDEN_MISSING), ("chol", Suspicion.CONSTANT), ("ca", Suspicion.SPARSE)},
    "long-beach-va": {
        ("chol", Suspicion.HIDDEN_MISSING),
        ("trestbps", Suspicion.HIDDEN_MISSING),
        ("ca", Suspicion.SPARSE),
        ("thal", Suspicion.SPARSE),
    },
}


@pytest.mark.parametrize("hospital", TRAPS)
def test_ucis_traps_are_reported_before_any_training(hospital):
    report = check_data(plain_file(original(hospital)), CONTRACT).report
    found = {(column.name, finding.what) for column in report.columns for finding in column.findings}
    assert TRAPS[hospital] <= found
    if hospital == "cleveland":
        assert found == set()
    assert report.duplicates == (1 if hospital in ("hungary", "long-beach-va") else 0)
    zeros = {column.name: finding.rows for column in report.columns for finding in column.findings}
    assert hospital != "switzerland" or zeros["chol"] == 123


def test_the_eight_healthy_patients_of_switzerland_are_not_told_to_others():
    report = check_data(plain_file(original("switzerland")), CONTRACT).report
    assert report.classes["0"] == 8
    assert for_others(report).classes is None
