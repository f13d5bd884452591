"""Which commands are there about silos?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli import (
    silo_app,
    silo_audit,
    silo_data,
    silo_deploy,
    silo_journal,
    silo_ledger,
    silo_model,
    silo_policy,
    silo_prune,
    silo_roster,
    silo_standing,
    silo_system,
    silo_tracking,
)
from septum.cli.access import resolve_access
from septum.cli.command import Invocation, command, noun
from septum.cli.options import pairs
from septum.cli.output import Answer, Json
from septum.cli.secret_file import TokenOut, new_secret_file, read_secret_file
from septum.cli.silo_dir import SiloDir
from septum.cli.stopping import StopTimeout, end_process
from septum.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from septum.silo.config import AppSettings

app = noun("silo", "Bring silos in, and run one beside its data.")
app.add_typer(silo_data.app)

SiloName = Annotated[str, typer.Argument(metavar="NAME", help="The silo's name, such as st-marys.")]


@command(app, "enroll")
def enroll(
    call: Invocation,
    url: Annotated[str, typer.Option("--url", help="The coordinator's URL, as its operator gave it.")],
    directory: Annotated[Path, typer.Option("--dir", help="The silo's directory; made with mode 0700.")],
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="SEPTUM_INVITATION",
            help="The one-time token; SEPTUM_INVITATION keeps it out of the process list, --token-file as well.",
        ),
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file that holds the token: septum silo invite --out.")
    ] = None,
    apps: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            metavar="NAME=PATH",
            help="An app that this silo approves, by the name that its app.py gives it; may be repeated.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME=PATH", help="The data file for the app of this name; may be repeated."),
    ] = None,
    proxy: Annotated[
        str, typer.Option("--proxy", help="http://HOST:PORT, if it is not the one that HTTPS_PROXY names.")
    ] = "",
    extra_ca: Annotated[
        Path | None, typer.Option("--extra-ca", help="Certificates to trust as well, of a proxy that inspects TLS.")
    ] = None,
    send_error_texts: Annotated[
        bool,
        typer.Option(
            "--send-error-texts",
            help="Let the texts of errors leave this silo, as while an app is developed; they may quote data.",
        ),
    ] = False,
) -> Answer:
    """Make this machine a silo: its key, its directory and its silo.toml. The token is used up."""
    del call
    from septum.silo.config import Network  # cryptography and the protocol
    from septum.silo.enroll import enroll as enroll_silo
    from septum.silo.policy import Policy

    policy = Policy(send_error_texts=send_error_texts)
    approved = app_settings(pairs(apps or (), "--app"), pairs(data or (), "--data"))
    config = enroll_silo(
        directory.absolute(),
        url=url,
        token=_token(token, token_file),
        apps=approved,
        network=Network(proxy, extra_ca),
        policy=policy,
    )
    following = f"septum silo start --dir {directory}"
    told: dict[str, Json] = {
        "silo": config.name,
        "coordinator": config.coordinator,
        "dir": str(directory.absolute()),
        "config": str(directory.absolute() / "silo.toml"),
        "apps": sorted(config.apps),
    }
    lines = f"{config.name} is enrolled with {config.coordinator}; its settings are in {told['config']}"
    return Answer(told, (lines, f"next: {following}"))


def _token(given: str, file: Path | None) -> str:
    if file is not None:
        return read_secret_file(file)
    if not given:
        raise ConfigError(
            "which token? the coordinator's operator makes one for this silo",
            hint="--token-file FILE, or SEPTUM_INVITATION; it is made by: septum silo invite NAME",
        )
    return given


@command(app, "rekey")
def rekey(
    call: Invocation,
    directory: SiloDir,
    token: Annotated[
        str,
        typer.Option(
            "--token", envvar="SEPTUM_INVITATION", help="The one-time token; --token-file keeps it out of sight."
        ),
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file that holds the token: septum silo renew --out.")
    ] = None,
) -> Answer:
    """Put a new key in place of this silo's, and pin the coordinator's certificate anew. All else of it stays."""
    del call
    from septum.silo.enroll import rekey as rekey_silo  # cryptography and the protocol

    config = rekey_silo(directory.absolute(), _token(token, token_file))
    told: dict[str, Json] = {"silo": config.name, "coordinator": config.coordinator, "dir": str(directory.absolute())}
    lines = f"{config.name} has a new key, and the old one is refused from now on; start its agent again"
    return Answer(told, (lines, f"next: septum silo key --dir {directory}, for the roster"))


@command(app, "start")
def start(
    call: Invocation,
    directory: SiloDir,
) -> Answer:
    """Run the silo's agent until SIGTERM or Ctrl-C. It dials out, listens on nothing, and logs to standard error."""
    del call
    from septum.silo.root import start as start_agent  # cryptography and the protocol

    start_agent(directory.absolute())  # workers have folders of their own
    return Answer({"dir": str(directory.absolute())}, ("the agent has ended",))


@command(app, "stop")
def stop(call: Invocation, directory: SiloDir, timeout_s: StopTimeout = 60) -> Answer:
    """End the agent of this silo, and wait until it has. It joins its runs again when it is started."""
    del call
    return end_process(directory, "the agent", timeout_s)


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the coordinator's silos: invited, online, offline, paused or revoked."""
    from septum.cli import fleet_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return fleet_views.silos(client.silos())


@command(app, "show", remote=True)
def show(call: Invocation, name: SiloName) -> Answer:
    """Show a silo, with what it says of itself: version, machine, labels, datasets that it offers."""
    from septum.cli import fleet_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return fleet_views.silo(client.silo(name))


@command(app, "invite", remote=True)
def invite(
    call: Invocation,
    name: SiloName,
    org: Annotated[str, typer.Option("--org", help="The organisation that owns it; the first one if left out.")] = "",
    out: TokenOut = None,
) -> Answer:
    """Make a one-time token by which a silo enrols, and print the command to paste there."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with new_secret_file(out) as keep, call.client() as client:
        view = client.invite(name, org)
        keep(view.token)
        return views.invitation(view, resolve_access(call.access).url, out)


@command(app, "renew", remote=True)
def renew(
    call: Invocation,
    name: SiloName,
    out: TokenOut = None,
) -> Answer:
    """Make a one-time token by which an enrolled silo brings a new key; its own counts until then."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with new_secret_file(out) as keep, call.client() as client:
        view = client.renew(name)
        keep(view.token)
        return views.renewal(view, out)


@command(app, "revoke", remote=True)
def revoke(call: Invocation, name: SiloName) -> Answer:
    """Refuse a silo's requests from now on."""
    with call.client() as client:
        client.revoke(name)
    return Answer({"silo": name, "status": "revoked"}, (f"{name} is revoked: its requests are refused from now on",))


def app_settings(apps: dict[str, str], data: dict[str, str]) -> dict[str, AppSettings]:
    """The approved apps with their data. What is missing is said here, before the one-time token is used up."""
    from septum.sdk.package import read_manifest  # only the commands that read apps need it
    from septum.silo.config import AppSettings

    for name in data:
        if name not in apps:
            known = did_you_mean(name, apps) if apps else "no --app was given"
            raise ConfigError(f"--data names {name!r}, which no --app does; {known}", hint=f"--app {name}=APP_DIR")
    found = {}
    for name, path in apps.items():
        if name not in data:
            raise ConfigError(f"--app {name} has no data", hint=f"--data {name}=FILE")
        if not Path(data[name]).is_file():
            raise ConfigError(f"--data {name}={data[name]}: there is no such file", hint=f"ls -l {data[name]}")
        read_manifest(Path(path))
        found[name] = AppSettings(Path(path), Path(data[name]))
    return found


for below in (
    silo_policy.app,
    silo_policy.receipts_app,
    silo_ledger.app,
    silo_journal.app,
    silo_model.app,
    silo_app.app,
    silo_audit.app,
):
    app.add_typer(below)
silo_roster.register(app)
silo_standing.register(app)
silo_deploy.register(app)
silo_prune.register(app)
silo_system.register(app)
silo_tracking.register(app)
