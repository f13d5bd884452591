"""Reading in a process of its own: what it makes, what it refuses, and what its errors must not say."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from septum.adapters.tables import read_table
from septum.errors import ConfigError, DataError, MessageError, StorageError, TimedOutError
from septum.sdk.contract import Column, Kind, Role
from septum.sdk.data_report import Violation
from septum.sdk.mapping import ColumnMapping, OnViolation
from septum.silo import reader
from septum.silo.datasets import Dataset, plain_file
from septum.silo.read_messages import (
    Job,
    Made,
    ReadFailed,
    ReadRequest,
    Refused,
    contract_json,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from septum.silo.reading import ReadLimits, _environment, check_data, describe_source, make_table

pytestmark = pytest.mark.processes

CONTRACT = {
    "age": Column(kind=Kind.INTEGER, unit="years", minimum=0.0, maximum=120.0, about="at admission"),
    "sex": Column(kind=Kind.CODE, codes={0.0: "female", 1.0: "male"}, missing=("?", 9.0)),
    "ill": Column(role=Role.TARGET, kind=Kind.CODE, codes={0.0: "", 1.0: ""}),
}
ROWS = "age,sex,ill\n" + "".join(f"{30 + place},{place % 2},{place % 3 % 2}\n" for place in range(30))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_text(ROWS)
    return path


def test_a_table_is_written_for_its_owner_with_the_contracts_columns(tmp_path, file):
    made = make_table(plain_file(file), CONTRACT, tmp_path / "heart.table")
    assert (made.rows, made.path) == (30, tmp_path / "heart.table")
    table = read_table(made.path, tuple(CONTRACT), "ill")
    assert table["age"].tolist() == [30.0 + place for place in range(30)]
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["export.csv", "heart.table"]
    checked = check_data(plain_file(file), CONTRACT)
    assert isinstance(checked, Made)
    assert (checked.digest, checked.report) == (made.digest, made.report)


def test_a_refusal_is_complete_in_the_silo_and_says_no_small_count_outside(tmp_path, file):
    file.write_text(ROWS + "1000,Anna,0\n" * 3 + "31.5,0,1\n")
    refused = check_data(plain_file(file), CONTRACT)
    assert isinstance(refused, Refused)
    age, sex, _ = refused.report.columns
    assert age.violations == {Violation.ABOVE.value: 3, Violation.NOT_WHOLE.value: 1}
    assert sex.examples == {Violation.UNMAPPED.value: ("Anna",)}
    with pytest.raises(DataError, match=r"data\.file: the data violate the contract; age: fewer than 10") as caught:
        make_table(plain_file(file), CONTRACT, tmp_path / "heart.table")
    assert "Anna" not in caught.value.message + caught.value.hint
    assert "septum silo data check file" in caught.value.hint
    assert not (tmp_path / "heart.table").exists()


def test_rows_that_violate_the_contract_can_go_or_become_missing(tmp_path, file):
    file.write_text(ROWS + "1000,0,0\n")
    settings = {"path": str(file)}
    dropped = make_table(Dataset("x", "csv", settings, {}, OnViolation.DROP), CONTRACT, tmp_path / "a")
    missing = make_table(Dataset("x", "csv", settings, {}, OnViolation.MISSING), CONTRACT, tmp_path / "b")
    assert (dropped.rows, missing.rows) == (30, 31)
    assert dropped.digest == make_table(plain_file_of(tmp_path, ROWS), CONTRACT, tmp_path / "c").digest


def plain_file_of(folder: Path, text: str) -> Dataset:
    (folder / "other.csv").write_text(text)
    return plain_file(folder / "other.csv")


def test_errors_of_the_reader_are_raised_here_in_their_own_words(tmp_path, file):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read") as caught:
        make_table(plain_file(tmp_path / "none.csv"), CONTRACT, tmp_path / "t")
    assert caught.value.hint.startswith("ls -l")
    with pytest.raises(ConfigError, match=r"\[data.x.columns\], sex: the contract says"):
        check_data(Dataset("x", "csv", {"path": str(file)}, {"sex": ColumnMapping(unit="kg")}), CONTRACT)
    with pytest.raises(StorageError, match="cannot be written"):
        make_table(plain_file(file), CONTRACT, tmp_path / "none" / "t")


def test_a_source_is_described_as_it_is(file):
    found = describe_source(plain_file(file))
    assert (found.rows, found.more) == (30, False)
    age = found.columns[0]
    assert (age.name, age.kind, age.missing, age.distinct) == ("age", "numbers", 0, 30)


def test_a_source_that_never_ends_is_ended_at_the_deadline(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimedOutError, match=r"reading took longer than 0.5 s"):
        make_table(plain_file(tmp_path / "pipe"), CONTRACT, tmp_path / "t", ReadLimits(deadline_s=0.5))
    assert not (tmp_path / "t").exists()


def test_a_reader_that_is_killed_is_an_error_that_says_so(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def kill() -> None:
        with pipe.open("w"):  # opens when the reader has opened it, too
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and _reads(int(entry.name), pipe):
                    os.kill(int(entry.name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(DataError, match="was killed by signal 9"):
        make_table(plain_file(pipe), CONTRACT, tmp_path / "t")
    killer.join()


def _reads(pid: int, path: Path) -> bool:
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return pid != os.getpid() and str(path) in links


def test_more_memory_than_allowed_is_an_error_that_names_the_limit(tmp_path):
    path = tmp_path / "large.csv"
    path.write_text(ROWS + "31,0,1\n" * 200_000)
    with pytest.raises(DataError, match="memory") as caught:
        make_table(plain_file(path), CONTRACT, tmp_path / "t", ReadLimits(memory_bytes=50_000_000))
    assert "memory" in caught.value.message
    assert not (tmp_path / "t").exists()


def test_a_contract_and_a_dataset_survive_the_way_to_the_reader():
    dataset = Dataset(
        "x",
        "csv",
        {"path": "/srv/x.csv", "names": ("a", "b")},
        {"age": ColumnMapping("a", "months", "", None, 0.0, {"old": 99.0}, ("0", -9.0), 1)},
        OnViolation.DROP,
    )
    request = ReadRequest(Job.MAKE, dataset, CONTRACT, Path("/t"), 5)
    assert decode_request(encode_request(request)) == request
    assert contract_json(CONTRACT["sex"])["codes"] == {"0.0": "female", "1.0": "male"}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"name": "x"}', b'{"kind": "made"}', b"\xff", b"{" * 99_999])
def test_nonsense_from_either_side_is_refused(data):
    with pytest.raises((MessageError, ConfigError)):
        decode_request(data)
    with pytest.raises(MessageError):
        decode_answer(data)
    assert isinstance(reader.answer(data), ReadFailed)


def test_an_answer_with_more_than_it_may_have_is_refused():
    body = json.loads(encode_answer(ReadFailed("data", "m", "h")))
    assert decode_answer(json.dumps(body).encode()) == ReadFailed("data", "m", "h")
    with pytest.raises(MessageError, match="unknown field 'extra'"):
        decode_answer(json.dumps(body | {"extra": 1}).encode())
    with pytest.raises(MessageError):
        decode_answer(b" " * (17 * 2**20))


def test_the_reader_gets_the_datasets_own_variable_and_no_other_of_septum(monkeypatch):
    monkeypatch.setenv("SEPTUM_TOKEN", "t")
    monkeypatch.setenv("SEPTUM_DATABASE", "d")
    monkeypatch.setenv("PGSSLROOTCERT", "/ca.pem")
    dataset = Dataset("x", "sql", {"url_env": "SEPTUM_DATABASE", "query": "SELECT 1"})
    environment = _environment(dataset)
    assert "SEPTUM_TOKEN" not in environment
    assert (environment["SEPTUM_DATABASE"], environment["PGSSLROOTCERT"]) == ("d", "/ca.pem")
