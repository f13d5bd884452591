"""The author's page: its commands exist, what it prints is printed, and its manifest can be used."""

import re
import tomllib
from pathlib import Path

import pytest

from septum.cli.main import main
from septum.cli.reference import commands
from septum.sdk.contract import read_columns

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-an-app.md").read_text()


def printed_after(command: str) -> list[str]:
    """The lines that the page shows for a command, without what varies."""
    block = PAGE.partition(f"$ {command}\n")[2].partition("\n```")[0].partition("\n$ ")[0]
    return [line for line in block.splitlines() if line != "..."]


def test_every_command_on_the_page_exists():
    known = {path for path, _ in commands()}
    shown = set(re.findall(r"^\$ (septum (?:app preset|app|run) \w+|septum simulate)", PAGE, re.MULTILINE))
    assert len(shown) == 11
    assert shown <= known


@pytest.mark.processes
def test_the_first_steps_print_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["app", "new", "sepsis"], ["simulate", "sepsis"], ["app", "check", "sepsis"]):
        assert main(arguments) == 0
        found = capsys.readouterr().out.splitlines()
        shown = printed_after(" ".join(["septum", *arguments]))
        assert shown
        assert [line for line in shown if _steady(line) not in [_steady(one) for one in found]] == []


def test_the_contract_on_the_page_can_be_used():
    block = next(text for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[data.columns]" in text)
    columns = read_columns("page", tomllib.loads(block)["data"])
    assert [name for name, column in columns.items() if column.codes] == ["sex", "died"]


def test_every_key_of_a_column_is_there():
    table = PAGE.partition("| key | meaning |")[2].partition("\n\n")[0]
    for key in ("role", "type", "unit", "min", "max", "codes", "missing", "about"):
        assert f"`{key}`" in table


def _steady(line: str) -> str:
    """Digests and figures of the model depend on the processor, and where it ran on the machine."""
    line = re.sub(r"sha256:[0-9a-f]{64}", "sha256", line)
    return re.sub(r"\d\.\d{4}", "0.0", re.sub(r"^ +in a .*", "apart", line))
