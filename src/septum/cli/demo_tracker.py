"""Where does `septum demo --tracker NAME` store its run, and each hospital its part? Where the environment says.

The coordinator stores the run, each hospital its own part in it, all under the reference's names. The run is masked, so
what a hospital stores no other party knows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from septum.errors import ConfigError, MessageError, TimedOutError, did_you_mean

if TYPE_CHECKING:
    from septum.cli.federation import Federation
    from septum.protocol.codec import Scalar
    from septum.protocol.plan import Plan

PREFIX = "fed-heart-disease"  # the reference's sm_experiment_name
STORE_S = 90.0
_PASSED = ("AWS_", "MLFLOW_", "SAGEMAKER_")
_MLFLOW = (
    "mlflow server --backend-store-uri sqlite:///mlflow.db, and in another terminal "
    "MLFLOW_TRACKING_URI=http://127.0.0.1:5000 septum demo --tracker mlflow"
)


@dataclass(frozen=True, slots=True)
class DemoTracking:
    """What the demo's processes are told of trackers.

    tables       of coordinator.toml and of each silo.toml, by the tracker's name
    hosts        that the silos' policies name
    environment  what those libraries read of it: credentials and addresses
    """

    tables: Mapping[str, Mapping[str, Scalar]]
    hosts: tuple[str, ...]
    environment: Mapping[str, str]

    def toml(self) -> str:
        """The tables."""
        from septum.silo.section import toml_value  # protocol: blake3, which `--help` does not load

        return "".join(
            f"\n[tracking.{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
            for name, table in self.tables.items()
        )


def tracking_of(names: Sequence[str]) -> DemoTracking | None:
    """What `--tracker` means; None without one. Raises ConfigError where the environment does not say where to."""
    makers: Mapping[str, Callable[[], tuple[Mapping[str, Scalar], tuple[str, ...]]]] = {
        "mlflow": _mlflow,
        "sagemaker": _sagemaker,
    }
    tables: dict[str, Mapping[str, Scalar]] = {}
    hosts: tuple[str, ...] = ()
    for name in names:
        if name not in makers:
            raise ConfigError(f"--tracker {name}: {did_you_mean(name, makers)}", hint=f"one of {', '.join(makers)}")
        table, own = makers[name]()
        tables[name] = {"prefix": PREFIX, **table}
        hosts += own
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    return DemoTracking(tables, hosts, environment) if tables else None


def _mlflow() -> tuple[Mapping[str, Scalar], tuple[str, ...]]:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://", "arn:")):
        raise ConfigError(f"MLFLOW_TRACKING_URI is {uri!r}, a server that all parties reach is needed", hint=_MLFLOW)
    if not uri.startswith("arn:"):
        return {"uri": uri}, (_authority(uri),)
    endpoint = os.environ.get("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", "")
    region = uri.split(":")[3] if uri.count(":") >= 5 else ""
    return {"uri": uri}, (_authority(endpoint) if endpoint else f"{region}.experiments.sagemaker.aws",)


def _sagemaker() -> tuple[Mapping[str, Scalar], tuple[str, ...]]:
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION", "")
    if not region:
        raise ConfigError("AWS_DEFAULT_REGION names no region", hint="AWS_DEFAULT_REGION=eu-central-1 septum demo ...")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        return {"region": region}, (_authority(endpoint),)
    return {"region": region}, tuple(f"{part}.sagemaker.{region}.amazonaws.com" for part in ("api", "metrics"))


def _authority(url: str) -> str:
    """`HOST` or `HOST:PORT` of a URL.

    >>> _authority("http://127.0.0.1:5000/x"), _authority("https://mlflow.example.org")
    ('127.0.0.1:5000', 'mlflow.example.org')
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}" if port == 443 else f"{parts.hostname}:{port}"


def wait_until_stored(
    tracking: DemoTracking, federation: Federation, run: str, plan: Plan, journal: int
) -> dict[str, list[str]]:
    """Wait until every party has stored its part; the experiments of each tracker. Raises TimedOutError.

    journal  the number of the run's last entry
    """
    deadline = time.monotonic() + STORE_S
    waiting = [(name, party) for name in tracking.tables for party in ("coordinator", *plan.silos)]
    while waiting:
        if time.monotonic() > deadline:
            name, party = waiting[0]
            raise TimedOutError(
                f"{party} has not stored its part of run {run} in {name}: {_problem(federation, name, party)}",
                hint=f"tail {federation.base / party}.log",
            )
        waiting = [one for one in waiting if not _stored(federation, *one, run, plan, journal)]
        threading.Event().wait(0.1)
    ranks = range(1, len(plan.silos) + 1)
    named = [f"{PREFIX}-server", *(f"{PREFIX}-client-{rank}" for rank in ranks)]
    return dict.fromkeys(tracking.tables, named)


def _stored(federation: Federation, name: str, party: str, run: str, plan: Plan, journal: int) -> bool:
    from septum.protocol.codec import loads  # blake3, which `--help` does not load
    from septum.silo.track_spool import read_tracked, waiting_in

    if party == "coordinator":
        try:
            places = loads((federation.operator_dir / "tracking" / f"{name}.json").read_bytes())
        except (OSError, MessageError):
            return False
        place = places.get(run) if isinstance(places, dict) else None
        return isinstance(place, int) and place >= journal
    folder = federation.site(party).folder / "state"
    found = read_tracked(folder, name)
    wanted = 2 if plan.privacy else 2 * plan.rounds + 3  # start, end; of each model AUC, of each round the loss
    return not waiting_in(folder, name) and found.stored + found.refused >= wanted


def _problem(federation: Federation, name: str, party: str) -> str:
    from septum.silo.track_spool import read_tracked  # as above

    if party == "coordinator":
        return "its log says why"
    return read_tracked(federation.site(party).folder / "state", name).problem or "it is still at it"
