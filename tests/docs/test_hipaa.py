"""The mapping to 45 CFR 164.312 has every standard and specification, claims no compliance, and names what exists."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from septum.cli.reference import commands
from septum.silo.policy import Policy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "hipaa.md").read_text()
HANDBOOK = (ROOT / "docs" / "operators-handbook.md").read_text()
SERVED = [line for line in HANDBOOK.splitlines() if re.match(r"\| \([a-e]\)\(?", line)]
ROWS = [line for line in PAGE.splitlines() if line.startswith("| **(")]
SECTIONS = (
    "(a)(1)", "(a)(2)(i)", "(a)(2)(ii)", "(a)(2)(iii)", "(a)(2)(iv)", "(b)", "(c)(1)", "(c)(2)", "(d)", "(e)(1)",
    "(e)(2)(i)", "(e)(2)(ii)",
)  # fmt: skip


def test_every_standard_and_specification_has_one_row_in_their_order():
    assert [re.match(r"\| \*\*([^*]+)\*\*", row).group(1) for row in ROWS] == list(SECTIONS)


@pytest.mark.parametrize("row", ROWS, ids=SECTIONS)
def test_each_says_what_there_is_and_what_is_left_to_do(row):
    _, offered, yours, _ = row.removeprefix("| ").removesuffix("|").split(" | ", 3)
    assert (bool(offered.strip()), bool(yours.strip())) == (True, True)


@pytest.mark.parametrize("text", [PAGE, HANDBOOK], ids=["reference", "handbook"])
def test_nobody_is_called_compliant(text):
    assert re.findall(r"complian\w+|certif\w+ (?:under|for) HIPAA", text, re.IGNORECASE) == []


def test_the_handbook_serves_each_of_them_in_their_order():
    assert [line.removeprefix("| ").partition(" ")[0] for line in SERVED] == list(SECTIONS)


@pytest.mark.parametrize("line", SERVED, ids=SECTIONS)
def test_each_line_of_the_handbook_names_a_command_that_there_is_and_a_test_that_there_is(line):
    _, _, shows, tries = line.removeprefix("| ").removesuffix(" |").split(" | ")
    commands_, tests = re.findall(r"`([^`]+)`", shows), re.findall(r"`([^`]+)`", tries)
    assert commands_
    assert tests
    assert set(commands_) <= {path for path, _ in commands()}
    assert all("def test_" in (ROOT / test).read_text() for test in tests)


def test_the_commands_and_rules_that_it_names_exist():
    known = {path for path, _ in commands()}
    shown = set(re.findall(r"`(septum [a-z ]+)`", PAGE))
    assert shown
    assert shown <= known
    assert {"min_sandbox", "require_masking"} <= {field.name for field in fields(Policy)}
