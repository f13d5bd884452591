"""The page about encryption shows commands and settings that exist."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from septum.adapters.sealing.ring import FILE_NAME
from septum.cli.reference import commands
from septum.coordinator.secrets_config import SecretsConfig, read_secrets

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "encrypt-at-rest.md").read_text()


def test_every_command_on_the_page_exists():
    known = {path for path, _ in commands()}
    shown = re.findall(r"^\$ (septum [^\n]*)|`(septum [a-z -]+)`", PAGE, re.MULTILINE)
    found = [one or other for one, other in shown]
    assert len(found) >= 3
    assert [line for line in found if not any(line == path or line.startswith(f"{path} ") for path in known)] == []


def test_the_settings_on_the_page_are_read_and_all_are_there():
    block = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1)
    table = tomllib.loads(block)["secrets"]
    assert read_secrets(table, Path("/"), "page").key_file == "/etc/septum/secrets.key"
    for other in ("key_command", "kms_key"):
        (line,) = re.findall(rf"^# ({other} = .*)", block, re.MULTILINE)
        assert getattr(read_secrets(tomllib.loads(line), Path("/"), "page"), other)
    assert all(one.name in PAGE for one in fields(SecretsConfig))
    assert f"`{FILE_NAME}`" in PAGE
