"""What can be set in coordinator.toml? Parsed once, here, into a frozen value; an unknown key is an error."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from septum.adapters.tracing.open import check_endpoint
from septum.coordinator.blobs_config import BlobsConfig, read_blobs
from septum.coordinator.oidc_config import OidcConfig, read_oidc
from septum.coordinator.secrets_config import SecretsConfig, read_secrets
from septum.coordinator.store_config import StoreConfig, read_store
from septum.errors import ConfigError, did_you_mean
from septum.ports.telemetry import Kept
from septum.protocol.aggregator import check_labels
from septum.protocol.codec import Scalar

FILE_NAME = "coordinator.toml"
_TABLES = ("data_dir", "store", "blobs", "oidc", "secrets")  # what is no plain key of the file
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """The coordinator's settings. `data_dir` comes from the command line.

    listen           address and port; port 0 takes any free one
    names            host names and IP addresses by which silos and people reach it; its certificate is made for them
    url              how others reach it, if not by the first of `names` and the port (behind a proxy, say)
    name             what silos are told they enrolled with
    labels           by which runs name the coordinators that may drive them: `septum run submit --aggregator LABEL`
    certificate, key PEM files of one's own, signed by a public authority; without them septum makes a private one
    hold_s           how long a request waits for news before it is answered with none; a poll twice as long
    max_blob_mb      largest payload of a silo, and so largest model, in MiB
    max_connections  open at one time; keep it far above silos and people together
    held_per_silo    requests that one silo may have waiting at one time; one for each run it serves, and one more
    feed_entries     how many of the newest changes the feed keeps
    streams_per_person  streams of events that one person may watch at one time, all programs of theirs together
    idle_logout_min  after how many minutes without a request a session ends
    session_hours    after how many hours a session ends, whatever is done
    approve_own      whether people may approve a model that they registered themselves, before it is deployed
    console_port     where the console and the API are served to this machine alone, on 127.0.0.1 and without TLS
                     (docs/decisions/0029); 0 takes any free port, -1 none: then they are at `listen` alone
    metrics_port     where /metrics, /healthz and /readyz are served to this machine alone, on 127.0.0.1, without TLS
                     and without a token: for a Prometheus beside it; 0 takes any free port, -1 none
    traces_endpoint  an OpenTelemetry collector that is told of each round as a trace, `https://HOST:PORT`, by OTLP over
                     HTTP; empty: none. Needs the extra `otel`
    log_level        debug, info, warning or error
    logs_days        for how many days what silos tell of the runs' logs is kept
    logs_mb          and how much of it at most, in MiB; the oldest goes
    secrets          the key that seals secrets in the database, `[secrets]`: coordinator/secrets_config.py; None: none
    store            a PostgreSQL database, `[store]`: coordinator/store_config.py; None for the file in `data_dir`
    blobs            a bucket of S3, `[blobs]`: coordinator/blobs_config.py; None for the directory in `data_dir`
    oidc             an identity provider, `[oidc]`: coordinator/oidc_config.py; None without one
    tracking         where runs are recorded besides: the settings of each tracker by its name, `[tracking.jsonl]`
    """

    data_dir: Path
    listen: str = "127.0.0.1:8443"
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    url: str = ""
    name: str = "septum"
    labels: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    hold_s: float = 25.0
    max_blob_mb: int = 2048
    max_connections: int = 4096
    held_per_silo: int = 32
    feed_entries: int = 100_000
    streams_per_person: int = 64
    idle_logout_min: int = 60
    session_hours: int = 12
    approve_own: bool = False
    console_port: int = -1
    metrics_port: int = -1
    traces_endpoint: str = ""
    log_level: str = "info"
    logs_days: int = 30
    logs_mb: int = 1024
    secrets: SecretsConfig | None = None
    store: StoreConfig | None = None
    blobs: BlobsConfig | None = None
    oidc: OidcConfig | None = None
    tracking: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ConfigError(
                f"listen is an address and a port, not {self.listen!r}", hint="HOST:PORT, such as 0.0.0.0:8443"
            )
        if bool(self.certificate) != bool(self.key):
            given, absent = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ConfigError(f"{given} is set and {absent} is not; they belong together")
        if not self.names:
            raise ConfigError("names is empty: silos need a name to reach the coordinator by", hint='names = ["host"]')
        if self.url and not self.url.startswith("https://"):
            raise ConfigError(f"url {self.url!r} does not begin with https://; septum speaks nothing else")
        if self.traces_endpoint:
            check_endpoint(self.traces_endpoint, "traces_endpoint")
        if self.blobs is not None and self.blobs.presigned and self.secrets is not None and self.secrets.blobs:
            raise ConfigError(
                "blobs.presigned has silos fetch models from the bucket itself, where they lie sealed",
                hint="[secrets] blobs = false leaves them as they are; or take blobs.presigned out",
            )
        check_labels(self.labels)
        if self.log_level not in LEVELS:
            raise ConfigError(f"log_level {self.log_level!r}: {did_you_mean(self.log_level, LEVELS)}")
        _in_range("hold_s", self.hold_s, 0.1, 30)  # silos give up after 45 s of silence, in a poll after 70
        _in_range("max_blob_mb", self.max_blob_mb, 1, 1024 * 1024)
        _in_range("max_connections", self.max_connections, 128, 65_536)
        _in_range("held_per_silo", self.held_per_silo, 2, 4096)
        _in_range("feed_entries", self.feed_entries, 100, 10_000_000)
        _in_range("streams_per_person", self.streams_per_person, 1, 65_536)
        _in_range("idle_logout_min", self.idle_logout_min, 1, 24 * 60)
        _in_range("console_port", self.console_port, -1, 65_535)
        _in_range("metrics_port", self.metrics_port, -1, 65_535)
        _in_range("session_hours", self.session_hours, 1, 30 * 24)
        _in_range("logs_days", self.logs_days, 1, 36_500)
        _in_range("logs_mb", self.logs_mb, 16, 1024 * 1024)

    @property
    def logs_kept(self) -> Kept:
        """How much is kept of what silos tell of the runs' logs."""
        return Kept(self.logs_days * 86_400.0, self.logs_mb * 2**20)

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on."""
        return int(self.listen.rpartition(":")[2])

    def public_url(self, port: int) -> str:
        """How others reach the coordinator, which listens on `port`.

        >>> CoordinatorConfig(Path("d"), names=("fed.example.org",)).public_url(8443)
        'https://fed.example.org:8443'
        """
        name = f"[{self.names[0]}]" if ":" in self.names[0] else self.names[0]
        return self.url.rstrip("/") or f"https://{name}:{port}"


def load_config(data_dir: Path, file: Path | None = None, **overrides: object) -> CoordinatorConfig:
    """The settings in `file` (by default coordinator.toml in the data directory, if it is there), with overrides.

    Overrides that are None are left out. Raises ConfigError for a missing file, an unknown key or a wrong value.
    """
    path = file or data_dir / FILE_NAME
    settings: dict[str, object] = {}
    if file is not None or path.exists():
        try:
            settings = _read(path)
            _make(data_dir, settings)
        except ConfigError as error:
            message = error.message if str(path) in error.message else f"{path}: {error.message}"
            raise ConfigError(message, hint=error.hint or f"mend {path}, then: septum coordinator start") from error
    given = {name: value for name, value in overrides.items() if value is not None}
    return _make(data_dir, {**settings, **_checked(given, "the command line")})


def _read(path: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    provider, key = content.pop("oidc", None), content.pop("secrets", None)
    store, blobs = content.pop("store", None), content.pop("blobs", None)
    settings = _checked(content, str(path))
    if store is not None:
        settings["store"] = read_store(store, path.parent, str(path))
    if blobs is not None:
        settings["blobs"] = read_blobs(blobs, path.parent, str(path))
    if provider is not None:
        settings["oidc"] = read_oidc(provider, path.parent, str(path))
    if key is not None:
        settings["secrets"] = read_secrets(key, path.parent, str(path))
    for name in ("certificate", "key"):  # relative to the file that names them
        if settings.get(name):
            settings[name] = str(path.parent / str(settings[name]))
    return settings


def _make(data_dir: Path, settings: Mapping[str, object]) -> CoordinatorConfig:
    return CoordinatorConfig(data_dir=data_dir, **settings)  # type: ignore[arg-type] # `_checked` has compared the types


def _checked(settings: Mapping[str, object], where: str) -> dict[str, object]:
    """The settings with their types as declared. Raises ConfigError naming the key."""
    fields = {one.name: one.default for one in dataclasses.fields(CoordinatorConfig) if one.name not in _TABLES}
    checked: dict[str, object] = {}
    for name, value in settings.items():
        if name not in fields:
            raise ConfigError(f"{where}: unknown key {name!r}; {did_you_mean(name, fields)}")
        default = fields[name]
        if name == "tracking":
            checked[name] = _tables(value, where)
        elif isinstance(default, tuple) and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            checked[name] = tuple(value)
        elif isinstance(default, float) and type(value) is int:
            checked[name] = float(value)
        elif type(value) is type(default) and not isinstance(default, tuple):
            checked[name] = value
        else:
            expected = "list of strings" if isinstance(default, tuple) else type(default).__name__
            raise ConfigError(f"{where}: {name} is a {expected}, not {value!r}")
    return checked


def _tables(value: object, where: str) -> dict[str, dict[str, Scalar]]:
    """`[tracking.NAME]`, whose keys are the tracker's to check."""
    tables = value if isinstance(value, dict) else {"": value}
    for name, table in tables.items():
        simple = isinstance(table, dict) and all(isinstance(item, bool | int | float | str) for item in table.values())
        if not simple:
            raise ConfigError(
                f"{where}: tracking {name!r} is no table of texts, numbers, true and false", hint="[tracking.jsonl]"
            )
    return cast("dict[str, dict[str, Scalar]]", tables)


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name} must be between {low} and {high}, not {value}")
