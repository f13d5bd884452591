"""Whoever reads the logs by run, silo or round finds each line that is of one: as a field, under one name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import septum.coordinator
import septum.silo
from septum.protocol.codec import encode
from septum.protocol.messages import Await

METHODS = {"info", "warning", "error", "critical", "exception"}
# What a function is about, by the name of its parameter, and the field that its lines then have.
ABOUT = {"live": "run_id", "run_id": "run_id", "silo": "silo", "effect": "round"}
HELPERS = ("_where(", "where", "**about", "extra=told")  # what gives them at once


def lines():
    """Every call of the coordinator's log, with its file, its function's parameters, and its text."""
    for path in sorted(Path(septum.coordinator.__file__).parent.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                parameters = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
                for call in ast.walk(function):
                    if (
                        isinstance(call, ast.Call)
                        and isinstance(call.func, ast.Attribute)
                        and call.func.attr in METHODS
                        and ast.unparse(call.func.value) == "log"
                    ):
                        yield f"{path.name}:{call.lineno}", parameters, ast.unparse(call)


def test_a_line_about_a_run_a_silo_or_a_round_says_which():
    missing = [
        f"{where}: {field} is not in {text}"
        for where, parameters, text in lines()
        for parameter, field in ABOUT.items()
        if parameter in parameters and f"'{field}'" not in text and not any(one in text for one in HELPERS)
    ]
    assert missing == []
    assert sum(bool(parameters & ABOUT.keys()) for _, parameters, _ in lines()) >= 12


def test_they_have_one_name_each():
    for where, _, text in lines():
        for other in ("'run'", "'silo_name'", "'round_'", "'round_number'"):
            assert other not in text, where


@pytest.mark.served
def test_a_request_that_is_refused_is_logged_with_its_run(silos, caplog):
    with caplog.at_level("INFO", "septum.coordinator.silo_api"):
        assert silos[0].post("/silo/v1/runs/r-none/exchange", encode(Await())).status == 404
        assert silos[0].post("/silo/v1/nowhere", b"{}").status == 404
    of_run, of_none = [record for record in caplog.records if record.getMessage() == "silo_refused"]
    assert (of_run.run_id, of_run.code) == ("r-none", "not_found")
    assert not hasattr(of_none, "run_id")
