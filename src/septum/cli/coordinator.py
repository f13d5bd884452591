"""Which commands are there about the coordinator?"""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from septum.cli import coordinator_key
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json
from septum.cli.silo_system import Points, Since, began_at
from septum.cli.stopping import StopTimeout, end_process
from septum.errors import MissingExtraError

app = noun("coordinator", "Run the coordinator.")

_STACK = ("alembic", "argon2", "fastapi", "granian", "jwt", "sqlalchemy")  # the extra `coordinator`


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
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="By which runs name the coordinators that may drive them; may be repeated."),
    ] = None,
    console_port: Annotated[
        int | None,
        typer.Option(
            "--console-port",
            min=-1,
            max=65_535,
            help="Also serve the console on 127.0.0.1 without TLS, to this machine alone; 0 takes any free port.",
        ),
    ] = None,
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
        labels=label or None,
        console_port=console_port,
        log_level=log_level or ("warning" if call.output.quiet else None),
    )
    configure(settings.log_level)
    where: dict[str, Json] = {}

    def ready(found: Ready) -> None:
        operator_file, first = str(found.data_dir / "operator.json"), found.data_dir / "admin-password.json"
        where.update(url=found.url, port=found.port, data_dir=str(found.data_dir), operator_file=operator_file)
        shown = f"the coordinator takes requests at {found.url}\n"
        if found.console_url:
            where["console_url"] = found.console_url
            shown += f"its console, for this machine alone: {found.console_url}\n"
        if found.metrics_url:
            where["metrics_url"] = found.metrics_url
            shown += f"its metrics, for this machine alone: {found.metrics_url}/metrics\n"
        if first.exists():
            where["admin_password_file"] = str(first)
            call.output.note(f"the administrator's one-time password is in {first}: septum login admin")
        call.output.item(
            {"event": "ready", **where},
            f"{shown}for commands on this machine: export SEPTUM_OPERATOR_FILE={operator_file}",
        )

    serve(settings, ready)
    return Answer(where, ("the coordinator has ended",))


_DataDir = Annotated[Path, typer.Option("--data-dir", help="The coordinator's data directory.")]
_Config = Annotated[
    Path | None, typer.Option("--config", help="Settings; coordinator.toml in the data directory if left out.")
]


@command(app, "stop")
def stop(call: Invocation, data_dir: _DataDir = Path("coordinator-data"), timeout_s: StopTimeout = 60) -> Answer:
    """End the coordinator of this directory on this machine, and wait until it has. Runs go on after its next start."""
    del call
    return end_process(data_dir, "the coordinator", timeout_s)


@command(app, "backup")
def backup(
    call: Invocation,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A folder that is not there yet, or is empty.")],
    data_dir: _DataDir = Path("coordinator-data"),
    config: _Config = None,
) -> Answer:
    """Copy a coordinator's data directory, also while it runs: database, models, keys, settings, of one moment.

    The copy holds the private keys and the operator's access: keep it as you keep the data directory.
    """
    need_coordinator()
    from septum.coordinator.backup import Sources, back_up  # the database stack, an extra
    from septum.coordinator.blob_place import open_bucket
    from septum.coordinator.config import load_config
    from septum.coordinator.secrets_config import blob_key, keys_of

    settings = load_config(data_dir.absolute(), config)
    address = settings.store.address() if settings.store else None
    key = blob_key(settings.secrets, keys_of(settings.data_dir, settings.secrets, make=False))
    with ExitStack() as stack:
        bucket = stack.enter_context(open_bucket(settings.blobs)) if settings.blobs else None
        blobs = Sources(bucket, key)
        made = back_up(data_dir.absolute(), target.absolute(), time.time(), call.output.note, address, blobs)
    found: dict[str, Json] = {
        "target": str(target.absolute()),
        "made_at": made.made_at,
        "schema": made.schema,
        "epoch": made.epoch,
        "files": len(made.files),
        "size_bytes": made.size_bytes,
        "missing": list(made.missing),
    }
    shown = [f"backed up {data_dir} into {target}: {len(made.files)} files, {made.size_bytes / 1e6:.1f} MB"]
    if made.missing:
        lost = "\n".join(f"  {name}" for name in made.missing)
        where = f"{data_dir} and in {settings.blobs.place.url}" if settings.blobs else str(data_dir)
        shown.append(f"{len(made.missing)} blobs were lost or had rotted in {where} already:\n{lost}")
        if settings.blobs and settings.store:
            shown.append(
                "payloads of open rounds are only on the machine whose coordinator works; silos offer them again"
            )
    shown.append("it holds private keys and the operator's token; no other user of this machine can read it")
    return Answer(found, tuple(shown))


@command(app, "restore")
def restore(
    call: Invocation,
    backup_: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that `coordinator backup` made.")],
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="A folder that is not there yet, or is empty; made with mode 0700.")
    ],
) -> Answer:
    """Make a coordinator's data directory from a backup, once all of the backup was found to be whole.

    The coordinator that the backup was made from must have ended for good. Runs go on from the moment of the backup.
    """
    need_coordinator()
    from septum.coordinator.restore import restore as restore_backup  # the database stack, an extra

    call.output.note(f"checking {backup_}")
    made = restore_backup(backup_.absolute(), data_dir.absolute())
    at = datetime.fromtimestamp(made.made_at, UTC)
    found: dict[str, Json] = {
        "data_dir": str(data_dir.absolute()),
        "made_at": made.made_at,
        "made_by": made.made_by,
        "files": len(made.files),
        "missing": list(made.missing),
    }
    return Answer(
        found,
        (
            f"restored {len(made.files)} files into {data_dir}, as they were at {at:%Y-%m-%d %H:%M:%S} UTC",
            "silos that were revoked since are admitted again: septum silo list, septum silo revoke NAME",
            f"next: septum coordinator start --data-dir {data_dir}, at the same address as before",
        ),
    )


@command(app, "migrate")
def migrate(
    call: Invocation,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="An empty database: postgresql://USER@HOST/DATABASE.")],
    data_dir: _DataDir = Path("coordinator-data"),
    password_file: Annotated[
        str, typer.Option("--password-file", help="A file with its password; or set SEPTUM_STORE_PASSWORD.")
    ] = "",
    ca_file: Annotated[str, typer.Option("--ca-file", help="PEM certificates to trust, if it has no public one.")] = "",
) -> Answer:
    """Move a stopped coordinator's SQLite database to PostgreSQL: everything, compared row by row afterwards.

    Killed in the middle, it has changed nothing; run it again.
    """
    need_coordinator()
    from septum.adapters.store.open import need_driver
    from septum.adapters.store.postgres_address import read_address  # the database stack, an extra

    need_driver()
    from septum.adapters.store.moving import move_to_postgres

    address = read_address(to, password_file, ca_file)
    moved = move_to_postgres(data_dir.absolute(), address, call.output.note)
    rows = sum(held.rows for held in moved.values())
    files = {"password_file": password_file, "ca_file": ca_file}
    settings = {"url": address.url, **{name: str(Path(file).absolute()) for name, file in files.items() if file}}
    return Answer(
        {
            "data_dir": str(data_dir.absolute()),
            "to": address.url,
            "rows": rows,
            "tables": {name: {"rows": held.rows, "sha256": held.digest} for name, held in moved.items()},
        },
        (
            f"moved {rows} rows of {len(moved)} tables to the PostgreSQL database {address.shown}; all are there",
            "in coordinator.toml, before it is started again:\n\n[store]",
            *(f'{name} = "{value}"' for name, value in settings.items()),
        ),
    )


@command(app, "system", remote=True)
def system(call: Invocation, since: Since = "1h", points: Points = 20) -> Answer:
    """Show how busy the coordinator's own machine is: processors, memory, disk, network, GPUs."""
    from septum.cli import load_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return load_views.series(client.loads.of_coordinator(since=began_at(since), points=points))


coordinator_key.register(app, need_coordinator)
