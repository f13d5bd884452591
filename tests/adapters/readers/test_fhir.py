"""A folder of FHIR bundles becomes one row a patient; what is malformed is named with file and place."""

from __future__ import annotations

import json

import pytest

from septum.adapters.readers import fhir
from septum.adapters.readers.fhir import open_fhir
from septum.errors import ConfigError, DataError
from septum.sdk.cells import Quantity

CHOL = "2093-3"


def patient(name, gender="female", born="1960-06-15"):
    return {"resourceType": "Patient", "id": name, "gender": gender, "birthDate": born}


def observation(subject, code, day="2020-01-01", **fields):
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": subject},
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "effectiveDateTime": f"{day}T08:00:00Z",
        **fields,
    }


def quantity(value, code="mg/dL", **fields):
    return {"valueQuantity": {"value": value, "unit": "a text", "code": code, **fields}}


def condition(subject, *codes, day="2020-01-01", **fields):
    return {
        "resourceType": "Condition",
        "subject": {"reference": subject},
        "code": {"coding": [{"code": code} for code in codes]},
        "onsetDateTime": day,
        **fields,
    }


def bundle(*resources):
    entries = [
        {"fullUrl": f"urn:uuid:{one['id']}" if "id" in one else "urn:uuid:x", "resource": one} for one in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "fhir"
    folder.mkdir()
    return folder


def rows_of(folder, *wanted, **settings):
    found = {}
    for batch in open_fhir({"path": str(folder), **settings}).read(wanted):
        for name, cells in batch.items():
            found.setdefault(name, []).extend(cells)
    return found


def test_bundles_become_rows_with_units_and_conditions(folder):
    one = bundle(
        observation("urn:uuid:a", CHOL, **quantity(5.2, "mmol/L")),  # before its patient
        patient("a", "male"),
        condition("Patient/a", "I25.1", "53741008"),
        {"resourceType": "Encounter"},
    )
    (folder / "1.json").write_text(json.dumps(one))
    (folder / "2.json").write_text(json.dumps(bundle(patient("b"), condition("Patient/b", "E11"))))
    (folder / "notes.txt").write_text("no resource")
    assert rows_of(folder, "patient.gender", f"observation.{CHOL}", "condition.I25*", "condition.53741008") == {
        "patient.gender": ["male", "female"],
        f"observation.{CHOL}": [Quantity(5.2, "mmol/L"), None],
        "condition.I25*": [1.0, 0.0],
        "condition.53741008": [1.0, 0.0],
    }


def test_resources_line_by_line_and_the_newest_value_of_a_patient(folder):
    lines = [
        patient("a"),
        observation("Patient/a", CHOL, "2020-03-01", **quantity(200)),
        observation("Patient/a", CHOL, "2020-02-01", **quantity(100)),
        observation("Patient/a", CHOL, "2020-04-01"),
        observation("Patient/a", CHOL, "2020-05-01", status="entered-in-error", **quantity(999)),
        condition("Patient/a", "I21", verificationStatus={"coding": [{"code": "refuted"}]}),
    ]
    (folder / "all.ndjson").write_text("\n\n".join(json.dumps(line) for line in lines))
    assert rows_of(folder, f"observation.{CHOL}", "condition.I21") == {
        f"observation.{CHOL}": [Quantity(200.0, "mg/dL")],
        "condition.I21": [0.0],
    }


def test_what_came_after_the_index_date_or_on_no_day_does_not_count(folder):
    undated = condition("Patient/a", "I21")
    del undated["onsetDateTime"]
    resources = [
        patient("a", born="1960-06-15"),
        patient("b", born="1960"),
        patient("c", born=None),
        observation("Patient/a", CHOL, "2020-06-14", **quantity(200)),
        observation("Patient/a", CHOL, "2020-06-15", **quantity(300)),
        undated,
    ]
    (folder / "1.json").write_text(json.dumps(bundle(*resources)))
    found = rows_of(folder, "patient.age", f"observation.{CHOL}", "condition.I21", index_date="2020-06-14")
    assert found["patient.age"] == [59.0, 60.0, None]
    assert found[f"observation.{CHOL}"] == [Quantity(200.0, "mg/dL"), None, None]
    assert found["condition.I21"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("fields", "cell"),
    [
        ({"valueInteger": 3}, 3.0),
        ({"valueBoolean": True}, 1.0),
        ({"valueString": "never"}, "never"),
        ({"valueCodeableConcept": {"coding": [{"code": "LA18978-9"}]}}, "LA18978-9"),
        (quantity(5, code=""), Quantity(5.0, "a text")),
        (quantity(5, comparator="<"), "<5"),
        ({}, None),
    ],
)
def test_the_values_that_observations_have(folder, fields, cell):
    (folder / "1.json").write_text(json.dumps(bundle(patient("a"), observation("Patient/a", "x", **fields))))
    assert rows_of(folder, "observation.x") == {"observation.x": [cell]}


def test_a_blood_pressure_is_in_its_components(folder):
    parts = [
        {"code": {"coding": [{"code": code}]}, **quantity(value, "mm[Hg]")}
        for code, value in (("8480-6", 120), ("8462-4", 80))
    ]
    resources = bundle(patient("a"), observation("Patient/a", "85354-9", component=parts))
    (folder / "1.json").write_text(json.dumps(resources))
    assert rows_of(folder, "observation.8480-6") == {"observation.8480-6": [Quantity(120.0, "mm[Hg]")]}
    assert list(rows_of(folder)) == [
        "patient.gender",
        *(f"observation.{code}" for code in ("85354-9", "8480-6", "8462-4")),
    ]


NO_SUBJECT = observation("Patient/a", CHOL)
del NO_SUBJECT["subject"]
NO_CODE = condition("Patient/a", "x")
del NO_CODE["code"]
NO_ID = patient("a")
del NO_ID["id"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"resourceType": "Bundle", "entry": [', "1.json, line 1 column 38: not JSON"),
        ("[" * 200_000, "1.json: not JSON"),
        ("[]", "1.json: no resourceType"),
        ('{"resourceType": "Bundle", "entry": {}}', "1.json: entry is no list"),
        ('{"resourceType": "Bundle", "entry": [{}]}', "1.json, entry 1: no resource"),
        ('{"resourceType": "Bundle", "entry": [{"resource": {}}]}', "1.json, entry 1: no resourceType"),
        (bundle(patient("a"), patient("a")), "1.json, entry 2: the patient 'a' is there twice"),
        ({"resourceType": "Bundle", "entry": [{"resource": NO_ID}]}, "1.json, entry 1: a Patient without an id"),
        (bundle(patient("a"), NO_SUBJECT), r"1.json, entry 2: no subject.reference"),
        (bundle(patient("a"), NO_CODE), "1.json, entry 2: no code"),
        (
            bundle(patient("a"), observation("Patient/b", CHOL)),
            "1.json, entry 2: its patient 'Patient/b' is in no file",
        ),
        (bundle(patient("a"), observation("Patient/a", CHOL, **quantity("5"))), "valueQuantity.value is no number"),
        (bundle(patient("a"), observation("Patient/a", CHOL, valueQuantity=5)), "valueQuantity is no object"),
        (bundle(patient("a"), observation("Patient/a", CHOL, component=5)), "component is no list"),
        (bundle(patient("a"), observation("Patient/a", CHOL, component=[5])), "component 1 is no object"),
    ],
)
def test_what_is_malformed_is_named_with_file_and_place(folder, content, says):
    (folder / "1.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=says) as caught:
        rows_of(folder, f"observation.{CHOL}", "condition.x")
    assert caught.value.hint


def test_a_line_that_is_no_json_is_named(folder):
    (folder / "1.ndjson").write_text(json.dumps(patient("a")) + "\n\n{cut")
    with pytest.raises(DataError, match=r"1\.ndjson, line 3, line 1 column 2: not JSON"):
        rows_of(folder, "patient.gender")


def test_files_over_their_limits_are_refused(folder, monkeypatch):
    monkeypatch.setattr(fhir, "MAX_BUNDLE_BYTES", 100)
    monkeypatch.setattr(fhir, "MAX_LINE_BYTES", 100)
    for name in ("1.json", "1.ndjson"):
        (folder / name).write_text(json.dumps(bundle(patient("a"))))
        with pytest.raises(DataError, match=f"{name}.*over 100 bytes"):
            rows_of(folder, "patient.gender")
        (folder / name).unlink()


def test_a_folder_that_is_none_or_empty_is_named(folder):
    with pytest.raises(DataError, match=r"0 \.json and \.ndjson files"):
        rows_of(folder, "patient.gender")
    with pytest.raises(DataError, match="none: cannot be read"):
        rows_of(folder / "none", "patient.gender")


def test_columns_and_days_that_cannot_be_meant_are_refused(folder):
    with pytest.raises(DataError, match=r"'patient\.name' is no column"):
        rows_of(folder, "patient.name")
    with pytest.raises(DataError, match="an age is on a day"):
        rows_of(folder, "patient.age")
    for day in ("20200101", "2020-13-01", "x"):
        with pytest.raises(ConfigError, match="index_date is"):
            open_fhir({"path": str(folder), "index_date": day})
