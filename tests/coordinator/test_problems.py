"""Errors of the public API: RFC 9457, each kind on the page to which its type leads."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import septum
from septum.coordinator.api.problems import PAGE, page, problem_of
from septum.errors import SeptumError

ON_DISK = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
HERE_ALONE = ("septum.cli", "septum.testing")  # of the command line, and of fakes


def kinds():
    for module in pkgutil.walk_packages(septum.__path__, "septum."):
        if not module.name.startswith((*HERE_ALONE, "septum.__main__", "septum.adapters.store.migrations")):
            importlib.import_module(module.name)
    waiting = [SeptumError]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.__module__.startswith("septum.") and not cls.__module__.startswith(HERE_ALONE):
            yield cls


def test_the_page_of_errors_is_up_to_date():
    assert ON_DISK.read_text() == page(), "run: python -m septum.coordinator.api.problems > docs/reference/errors.md"


def test_every_kind_of_error_is_on_the_page():
    codes = {cls.code for cls in kinds()}
    assert {"not_found", "budget", "connection"} <= codes
    for code in codes:
        assert f"\n## {code}\n" in page()


def test_an_error_that_the_page_does_not_have_is_answered_as_one_that_it_has():
    class Narrower(SeptumError):
        code = "not_found"

    assert problem_of(Narrower("gone"), 404).type == f"{PAGE}#not_found"


@pytest.mark.served
def test_an_error_is_a_problem_whose_type_leads_to_the_page(coordinator):
    answer = coordinator.ask("GET", "/api/v1/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem == {
        "type": "/api/v1/errors#not_found",
        "title": "A run, silo, model or blob that does not exist here",
        "status": 404,
        "detail": "there is no GET /api/v1/nowhere",
        "code": "not_found",
        "hint": "/api/v1/openapi.json lists what there is",
    }
    where, _, anchor = problem["type"].partition("#")
    assert f"\n## {anchor}\n" in coordinator.ask("GET", where).body.decode()
