"""The command that puts another master key in the place of the one that what the coordinator seals is under."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer


def register(app: typer.Typer, need: Callable[[], None]) -> None:
    """Add it to `septum coordinator`. `need` raises where the coordinator's extra is missing."""

    @command(app, "rotate-key")
    def rotate_key(
        call: Invocation,
        data_dir: Annotated[Path, typer.Option("--data-dir", help="The coordinator's data directory.")] = Path(
            "coordinator-data"
        ),
        config: Annotated[
            Path | None, typer.Option("--config", help="Settings; coordinator.toml in the data directory if left out.")
        ] = None,
        key_file: Annotated[
            str, typer.Option("--key-file", metavar="FILE", help="The new key: 32 bytes in base64, mode 0600.")
        ] = "",
        key_command: Annotated[
            str, typer.Option("--key-command", metavar="COMMAND", help="A command that prints the new key.")
        ] = "",
        kms_key: Annotated[str, typer.Option("--kms-key", metavar="KEY", help="A key of AWS KMS.")] = "",
    ) -> Answer:
        """Put what a stopped coordinator seals under another master key. Then set it in coordinator.toml.

        The data keys are wrapped anew; what they seal is not written again.
        """
        need()
        from septum.adapters.ownership import DirectoryLock  # the coordinator's, an extra
        from septum.adapters.sealing.ring import rewrap
        from septum.coordinator.config import load_config
        from septum.coordinator.secrets_config import SecretsConfig
        from septum.errors import ConfigError

        old = load_config(data_dir.absolute(), config).secrets
        if old is None:
            raise ConfigError("coordinator.toml has no [secrets]: there is no key to replace", hint="[secrets]")
        file = str(Path(key_file).absolute()) if key_file else ""
        new = SecretsConfig(file, tuple(shlex.split(key_command)), kms_key).holder(data_dir)
        lock = DirectoryLock(data_dir, "the coordinator")
        try:
            rewrap(data_dir, old.holder(data_dir), new)
        finally:
            lock.release()
        del call
        return Answer(
            {"data_dir": str(data_dir), "key": new.name},
            (f"what is sealed in {data_dir} is under {new.name}", "set it under [secrets] before the next start"),
        )
