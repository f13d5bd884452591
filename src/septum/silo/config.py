"""What does a silo's operator decide? `silo.toml`, parsed once into frozen values; an unknown key is an error.

No message of a coordinator can change anything here. Paths are relative to the file's folder.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import ConfigError, did_you_mean
from septum.ports.launcher import WorkerLimits
from septum.protocol.plan import check_silo_name

CONFIG_NAME = "silo.toml"
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class AppSettings:
    """An app that this silo runs. `digest`: what was approved; empty for the folder as it is when the agent starts."""

    path: Path
    data: Path
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What workers may use. None leaves a limit off.

    task_s      wall seconds for one task; then the worker counts as hung and is killed
    memory_mb   address space of one worker, 10^6 bytes
    cpu_s       processor seconds of one worker over a whole run
    file_mb     largest file a worker may write, 10^6 bytes
    open_files  descriptors of one worker
    max_runs    runs, and so workers, at one time
    """

    task_s: float = 3600.0
    memory_mb: int | None = None
    cpu_s: int | None = None
    file_mb: int | None = 16_000
    open_files: int = 1024
    max_runs: int = 4

    def of_worker(self) -> WorkerLimits:
        """One worker's part of them."""
        return WorkerLimits(
            task_s=self.task_s,
            memory_bytes=None if self.memory_mb is None else self.memory_mb * _MB,
            cpu_s=self.cpu_s,
            file_bytes=None if self.file_mb is None else self.file_mb * _MB,
            open_files=self.open_files,
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Which runs this silo takes part in.

    min_cohort  a run that may close a round with fewer silos is refused: a sum over few says much about each
    max_rounds  None for any number
    strategies  None for any
    send_error_texts  whether the coordinator is told what went wrong with a piece of work, traceback included, or only
                that it failed: such a text can quote a cell of the data, whoever wrote the app
    """

    min_cohort: int = 2
    max_rounds: int | None = None
    strategies: tuple[str, ...] | None = None
    send_error_texts: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the coordinator, where it differs from the environment. `ca_file`: trusted besides the pinned CA."""

    proxy: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SiloConfig:
    """The whole of a silo's configuration."""

    name: str
    coordinator: str
    apps: Mapping[str, AppSettings] = field(default_factory=dict)
    limits: Limits = Limits()
    policy: Policy = Policy()
    network: Network = Network()


def read_config(path: Path) -> SiloConfig:
    """The configuration in a file. Raises ConfigError naming file, section and key."""
    try:
        return _read(path)
    except ConfigError as error:
        hint = error.hint or f"mend it, then: septum silo start --dir {path.parent}"
        message = error.message if str(path) in error.message else f"{path}: {error.message}"
        raise ConfigError(message, hint=hint) from error


def _read(path: Path) -> SiloConfig:
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="septum silo enroll makes it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    top = _Section(f"{path}", content)
    silo = top.section("silo")
    apps = top.section("apps")
    config = SiloConfig(
        name=check_silo_name(silo.text("name")),
        coordinator=check_url(silo.text("coordinator"), f"{silo.where}: coordinator"),
        apps={name: _app(apps.section(name), path.parent) for name in list(apps.content)},
        limits=_limits(top.section("limits")),
        policy=_policy(top.section("policy")),
        network=_network(top.section("network"), path.parent),
    )
    silo.end()
    apps.end()
    top.end()
    return config


def write_config(path: Path, config: SiloConfig) -> None:
    """Write a configuration that `read_config` reads back as it is. Raises FileExistsError rather than overwrite."""
    limits, policy, network = config.limits, config.policy, config.network
    sections: dict[str, dict[str, object]] = {
        "silo": {"name": config.name, "coordinator": config.coordinator},
        **{
            f"apps.{json.dumps(name)}": {"path": str(app.path), "data": str(app.data), "digest": app.digest or None}
            for name, app in config.apps.items()
        },
        "limits": {name: getattr(limits, name) for name in Limits.__dataclass_fields__},
        "policy": {name: getattr(policy, name) for name in Policy.__dataclass_fields__},
        "network": {"proxy": network.proxy or None, "ca_file": network.ca_file and str(network.ca_file)},
    }
    lines = []
    for title, keys in sections.items():
        known = [f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None]
        lines += [f"[{title}]", *known, ""] if known else []
    with path.open("x", encoding="utf-8") as file:
        file.write("\n".join(lines))
    path.chmod(0o600)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON text is a TOML text, but for DEL


def check_url(url: str, where: str) -> str:
    """The coordinator's address, without a slash at its end. Raises ConfigError.

    >>> check_url("https://fl.example.org:8443/", "--url")
    'https://fl.example.org:8443'
    """
    host = url.removeprefix("https://").rstrip("/")
    if not url.startswith("https://") or not host or "/" in host:
        raise ConfigError(f"{where}: {url!r} is no address of a coordinator", hint="write: https://HOST:PORT")
    return f"https://{host}"


def _app(section: _Section, folder: Path) -> AppSettings:
    app = AppSettings(
        path=folder / section.text("path"), data=folder / section.text("data"), digest=section.text("digest", "")
    )
    section.end()
    if app.digest and not app.digest.startswith("sha256:"):
        raise ConfigError(f"{section.where}: digest is {app.digest!r}", hint="septum app digest PATH prints it")
    return app


def _limits(section: _Section) -> Limits:
    off = Limits()
    limits = Limits(
        task_s=section.number("task_s", off.task_s),
        memory_mb=section.whole("memory_mb", off.memory_mb),
        cpu_s=section.whole("cpu_s", off.cpu_s),
        file_mb=section.whole("file_mb", off.file_mb),
        open_files=section.whole("open_files", off.open_files) or off.open_files,
        max_runs=section.whole("max_runs", off.max_runs) or off.max_runs,
    )
    section.end()
    return limits


def _policy(section: _Section) -> Policy:
    off = Policy()
    policy = Policy(
        min_cohort=section.whole("min_cohort", off.min_cohort) or off.min_cohort,
        max_rounds=section.whole("max_rounds", off.max_rounds),
        strategies=section.texts("strategies"),
        send_error_texts=section.flag("send_error_texts", off.send_error_texts),
    )
    section.end()
    return policy


def _network(section: _Section, folder: Path) -> Network:
    ca_file = section.text("ca_file", "")
    network = Network(proxy=section.text("proxy", ""), ca_file=folder / ca_file if ca_file else None)
    section.end()
    return network


class _Section:
    """A table of the file, from which known keys are taken one by one."""

    def __init__(self, where: str, content: Mapping[str, object]) -> None:
        self.where = where
        self.content = content
        self._known: list[str] = []

    def section(self, key: str) -> _Section:
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, value, "a table")
        title = f"[{key}]" if "[" not in self.where else f"[{self.where.rpartition('[')[2][:-1]}.{key}]"
        return _Section(f"{self.where.partition(',')[0]}, {title}", value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, default)
        if value is None:
            raise ConfigError(f"{self.where}: {key} is missing", hint=f'write: {key} = "..."')
        if not isinstance(value, str) or (not value and default is None):
            raise self._wrong(key, value, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._take(key, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of texts")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def number(self, key: str, default: float) -> float:
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
            raise self._wrong(key, value, "a number above 0")
        return float(value)

    def whole(self, key: str, default: int | None) -> int | None:
        value = self._take(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**40:
            raise self._wrong(key, value, "a whole number above 0")
        return value

    def end(self) -> None:
        """All known keys were taken: another one is a mistake, perhaps a misspelt rule that would not hold."""
        for key in self.content:
            if key not in self._known:
                raise ConfigError(f"{self.where}: unknown key {key!r}; {did_you_mean(key, self._known)}")

    def _take(self, key: str, default: object) -> object:
        self._known.append(key)
        return self.content.get(key, default)

    def _wrong(self, key: str, value: object, needed: str) -> ConfigError:
        return ConfigError(f"{self.where}: {key} is {value!r}, {needed} is needed")
