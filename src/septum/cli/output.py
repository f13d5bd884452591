"""How does a command's answer reach people and programs? This is the only place that prints.

Data goes to standard output, progress and notes to standard error. With `--json` the output is one envelope, also when
the command fails. It is one line, and so the last one of a stream of JSON lines.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, TypeAlias

from septum.errors import ExitCode, SeptumError

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None

# Names, reasons and tracebacks come from other machines: they may not steer the reader's terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people. `empty` is said when there are none: the command that would make one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = "nothing yet"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found.

    data   for programs
    shown  the same for people: paragraphs and tables
    error  why the command counts as failed although it has data
    """

    data: Json
    shown: tuple[str | Table, ...] = field(default=())
    error: SeptumError | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """Where one command writes to."""

    json: bool = False
    quiet: bool = False

    @property
    def live(self) -> bool:
        """Whether a display may redraw itself: a person looks at standard error, and wants to."""
        return sys.stderr.isatty() and not self.json and not self.quiet and os.environ.get("TERM") != "dumb"

    def terminal(self) -> Console:
        """A console on standard error, for displays that redraw themselves."""
        from rich.console import Console  # 60 ms, and only people at a terminal need it

        return Console(stderr=True, highlight=False, markup=False)

    def note(self, text: str) -> None:
        """Say something that is not data, on standard error."""
        if not self.quiet:
            _write(sys.stderr, plain(text))

    def item(self, data: Json, text: str = "") -> None:
        """One element of a stream: a JSON line, or a line of text. Empty texts are left out."""
        if self.json:
            _write(sys.stdout, _dumps(data))
        elif text:
            _write(sys.stdout, plain(text))

    def answer(self, answer: Answer) -> ExitCode:
        """Print the answer; the exit code that belongs to it."""
        code = answer.error.exit_code if answer.error else ExitCode.OK
        if self.json:
            body: dict[str, Json] = {"data": answer.data}
            if answer.error:
                body["error"] = _error_json(answer.error)
            self._envelope(code, body)
            return code
        for block in answer.shown:
            _write(sys.stdout, plain(block)) if isinstance(block, str) else self._table(block)
        if answer.error:
            _tell(answer.error)
        return code

    def failure(self, error: SeptumError) -> ExitCode:
        """Print an error; its exit code. Its cause's traceback too, if SEPTUM_DEBUG=1."""
        if os.environ.get("SEPTUM_DEBUG") == "1":
            _write(sys.stderr, "".join(traceback.format_exception(error)))
        if self.json:
            self._envelope(error.exit_code, {"error": _error_json(error)})
        else:
            _tell(error)
        return error.exit_code

    def text(self, text: str) -> None:
        """Print text as it is: help, a version."""
        _write(sys.stdout, text)

    def _envelope(self, code: ExitCode, body: Mapping[str, Json]) -> None:
        status = "ok" if code is ExitCode.OK else "error"
        envelope = {"schema_version": SCHEMA_VERSION, "status": status, "exit_code": int(code), **body}
        _write(sys.stdout, _dumps(envelope))

    def _table(self, table: Table) -> None:
        rows = [tuple(plain(cell) for cell in row) for row in table.rows]
        if not rows:
            _write(sys.stdout, plain(table.empty))
        elif sys.stdout.isatty():
            _rich_table(table.columns, rows)
        else:
            for line in aligned(table.columns, rows):
                _write(sys.stdout, line)


def plain(text: str) -> str:
    r"""The text without what would steer a terminal.

    >>> plain("a\x1b[31mb")
    'a?[31mb'
    """
    return _CONTROL.sub("?", text)


def one_line(text: str) -> str:
    r"""The text on one line, so that it cannot pass for a line of septum's own.

    >>> one_line("disk full\nsilo boston joined")
    'disk full / silo boston joined'
    """
    return " / ".join(part for line in text.splitlines() if (part := line.strip()))


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines that `grep` and `awk` can read: nothing is cut.

    >>> aligned(("NAME", "N"), [("boston", "3")])
    ['NAME    N', 'boston  3']
    """
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box  # 60 ms, and only people at a terminal need it
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # a digest that is cut cannot be copied
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _tell(error: SeptumError) -> None:
    _write(sys.stderr, plain(f"error: {error.message}"))
    details = getattr(error, "details", "")
    if details:
        _write(sys.stderr, plain(str(details)))
    if error.hint:
        _write(sys.stderr, plain(f" next: {error.hint}"))


def _error_json(error: SeptumError) -> dict[str, Json]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _dumps(data: Json) -> str:
    return json.dumps(data, allow_nan=False)


def _write(stream: TextIO, text: str) -> None:
    """One line. Who reads may have gone away (`| head`): then there is nothing left to say, and no traceback either."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        raise
