"""What do the agent and the reader's process say to each other? One request and one answer, both JSON under a limit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from septum.errors import ERROR_CLASSES, ConfigError, MessageError, SeptumError
from septum.protocol.codec import loads, to_tagged_json, union_from_json
from septum.sdk.contract import Column, read_columns
from septum.sdk.data_report import DataReport
from septum.silo.datasets import Dataset, dataset_json, read_dataset
from septum.silo.section import Section

MAX_REQUEST_BYTES = 8 * 2**20  # a contract of 4,096 columns with their codes
MAX_ANSWER_BYTES = 16 * 2**20  # a report of as many, with counts and examples
MAX_TEXT_CHARS = 4_000


class Job(Enum):
    """What the reader is to do: write the table, say what would come out, or say what the source has."""

    MAKE = "make"
    CHECK = "check"
    DESCRIBE = "describe"


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """`columns`: the contract, empty for DESCRIBE; `output`: the file of MAKE."""

    job: Job
    dataset: Dataset
    columns: Mapping[str, Column]
    output: Path | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """The table is written, or would be (CHECK)."""

    rows: int
    digest: str
    report: DataReport


@dataclass(frozen=True, slots=True)
class Refused:
    """The data violate the contract, and this dataset is refused then. Nothing is written."""

    report: DataReport


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A column as it stands in the source, over the first rows. `examples` are cells: for the silo's eyes only."""

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """What a source has. `rows`: how many were looked at; `more`: whether it has others."""

    rows: int
    more: bool
    columns: tuple[DescribedColumn, ...]


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """An error of the error tree, by its code."""

    code: str
    message: str
    hint: str

    def error(self) -> SeptumError:
        """The error again."""
        return ERROR_CLASSES.get(self.code, SeptumError)(self.message[:MAX_TEXT_CHARS], hint=self.hint[:MAX_TEXT_CHARS])


ReadAnswer = Made | Refused | Described | ReadFailed


def encode_request(request: ReadRequest) -> bytes:
    """The request as the reader's standard input has it."""
    body = {
        "job": request.job.value,
        "name": request.dataset.name,
        "dataset": dataset_json(request.dataset),
        "columns": {name: contract_json(column) for name, column in request.columns.items()},
        "output": None if request.output is None else str(request.output),
        "memory_bytes": request.memory_bytes,
    }
    return json.dumps(body, allow_nan=False).encode()


def decode_request(data: bytes) -> ReadRequest:
    """The request in some bytes. Raises MessageError or ConfigError."""
    body = loads(data, MAX_REQUEST_BYTES)
    if not isinstance(body, dict):
        raise MessageError("a request to the reader is an object")
    name, dataset, columns = body.get("name"), body.get("dataset"), body.get("columns")
    output, memory = body.get("output"), body.get("memory_bytes")
    if not isinstance(name, str) or not isinstance(dataset, dict) or not isinstance(columns, dict):
        raise MessageError("a request to the reader has name, dataset and columns")
    if not isinstance(output, str | None) or not (memory is None or type(memory) is int):
        raise MessageError("a request to the reader has an output file and a number of bytes")
    return ReadRequest(
        job=Job(str(body.get("job"))),
        dataset=read_dataset(Section(f"[data.{name}]", dataset), name, Path("/")),
        columns=read_columns("the app's contract", {"columns": columns}) if columns else {},
        output=None if output is None else Path(output),
        memory_bytes=memory,
    )


def contract_json(column: Column) -> dict[str, object]:
    """A column of the contract as septum.toml has it.

    >>> contract_json(Column(unit="mg/dl", minimum=50.0))
    {'role': 'feature', 'type': 'number', 'unit': 'mg/dl', 'min': 50.0, 'missing': [], 'about': ''}
    """
    content: dict[str, object] = {"role": column.role.value, "type": column.kind.value, "unit": column.unit}
    if column.minimum is not None:
        content["min"] = column.minimum
    if column.maximum is not None:
        content["max"] = column.maximum
    if column.codes:
        content["codes"] = {repr(code): means for code, means in column.codes.items()}
    return content | {"missing": list(column.missing), "about": column.about}


def encode_answer(answer: ReadAnswer) -> bytes:
    """The answer as the reader's standard output has it."""
    return json.dumps(to_tagged_json(answer), allow_nan=False).encode()


def decode_answer(data: bytes) -> ReadAnswer:
    """The answer in some bytes. Raises MessageError."""
    try:
        answer = union_from_json(ReadAnswer, loads(data, MAX_ANSWER_BYTES), "the reader's answer")
    except ConfigError as error:
        raise MessageError(error.message, hint=error.hint) from error
    assert isinstance(answer, Made | Refused | Described | ReadFailed)
    return answer
