"""Which commands are there about the coordinator?"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json
from septum.errors import MissingExtraError

app = noun("coordinator", "Run the coordinator.")

_STACK = ("alembic", "fastapi", "granian", "sqlalchemy")  # the extra `coordinator`


def need_coordinator() -> None:
    """Say what is missing before anything is started. Raises MissingExtraError."""
    for name in _STACK:
        if find_spec(name) is None:
            raise MissingExtraError(
                f"the coordinator needs {name}, which is not installed", hint="pip install 'septum[coordinator]'"
            )


@command(app, "start")
def start(
    call: Invocation,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where it keeps everything; made with mode 0700 at the first start.")
    ] = Path("coordinator-data"),
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address and port; port 0 takes any free one.")
    ] = None,
    hostname: Annotated[
        list[str] | None,
        typer.Option(
            "--hostname", help="A name or address by which others reach it, for its certificate; may be repeated."
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="How others reach it, behind a proxy, say: https://HOST:PORT.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What silos are told that they enrolled with.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; coordinator.toml in the data directory if left out.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error; on standard error, as JSON lines.")
    ] = None,
) -> Answer:
    """Run the coordinator until SIGTERM or Ctrl-C. It prints its URL once it takes requests."""
    need_coordinator()
    from septum.coordinator.config import load_config  # the web and database stack, an extra
    from septum.coordinator.log import configure
    from septum.coordinator.root import Ready, serve

    settings = load_config(
        data_dir.absolute(),  # operator.json names the certificate, and is read from other folders
        config,
        listen=listen,
        names=hostname or None,
        url=public_url,
        name=name,
        log_level=log_level or ("warning" if call.output.quiet else None),
    )
    configure(settings.log_level)
    where: dict[str, Json] = {}

    def ready(found: Ready) -> None:
        operator_file = str(found.data_dir / "operator.json")
        where.update(url=found.url, port=found.port, data_dir=str(found.data_dir), operator_file=operator_file)
        call.output.item(
            {"event": "ready", **where},
            f"the coordinator takes requests at {found.url}\n"
            f"for commands on this machine: export SEPTUM_OPERATOR_FILE={operator_file}",
        )

    serve(settings, ready)
    return Answer(where, ("the coordinator has ended",))
