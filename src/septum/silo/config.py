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
from septum.ports.launcher import Level, WorkerLimits
from septum.protocol.codec import Scalar
from septum.protocol.description import check_labels
from septum.protocol.plan import check_silo_name
from septum.protocol.privacy import Strength
from septum.protocol.resources import Capacity
from septum.silo.datasets import Dataset, dataset_toml, plain_file, read_datasets
from septum.silo.deploy_rules import DeployRules, deploy_json, read_deploy
from septum.silo.policy import LogsLeave, Policy, RosterBy, hours_of
from septum.silo.section import Section, toml_value

CONFIG_NAME = "silo.toml"
OWN_LAUNCHER = "process"
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class AppSettings:
    """An app that this silo runs. `digest`: what was approved; empty for the folder as it is when the agent starts.

    path     its folder; None where only packages of that name run
    dataset  the name under `[data]` that `data` is; empty where it is a file in the contract's own columns
    """

    path: Path | None
    data: Path
    digest: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What workers may use. None leaves a limit off.

    task_s      wall seconds for one task; then the worker counts as hung and is killed
    memory_mb   address space of one worker, 10^6 bytes
    cpu_s       processor seconds of one worker over a whole run
    file_mb     largest file a worker may write, 10^6 bytes
    open_files  descriptors of one worker
    max_runs    runs, and so workers, at one time
    processes   processes and threads of one worker
    scratch_mb  all that one worker writes for itself, 10^6 bytes
    sandbox     the level of workers, 1 or 2; None for the best that this machine has
    """

    task_s: float = 3600.0
    memory_mb: int | None = None
    cpu_s: int | None = None
    file_mb: int | None = 16_000
    open_files: int = 1024
    max_runs: int = 4
    processes: int = 1024
    scratch_mb: int = 1_000
    sandbox: int | None = None

    def of_worker(self) -> WorkerLimits:
        """One worker's part of them."""
        return WorkerLimits(
            task_s=self.task_s,
            memory_bytes=None if self.memory_mb is None else self.memory_mb * _MB,
            cpu_s=self.cpu_s,
            file_bytes=None if self.file_mb is None else self.file_mb * _MB,
            open_files=self.open_files,
            processes=self.processes,
            scratch_bytes=self.scratch_mb * _MB,
        )

    def explained(self) -> Mapping[str, str]:
        """Each limit in words, by its key, as a steward reads them back."""

        def at_most(value: int | None, unit: str) -> str:
            return f"any number of {unit}" if value is None else f"at most {value} {unit}"

        return {
            "task_s": f"one task of a training process takes at most {self.task_s:g} s, then it is killed",
            "memory_mb": f"memory of a training process: {at_most(self.memory_mb, 'MB')}",
            "cpu_s": f"processor time of a training process over a whole run: {at_most(self.cpu_s, 's')}",
            "file_mb": f"the largest file that it may write: {at_most(self.file_mb, 'MB')}",
            "open_files": f"files that it has open: {self.open_files} at most",
            "max_runs": f"runs at one time: {self.max_runs} at most",
            "processes": f"processes and threads of it: {self.processes} at most",
            "scratch_mb": f"all that it writes for itself: {self.scratch_mb} MB at most",
            "sandbox": "the best sandbox that this machine has"
            if self.sandbox is None
            else f"sandbox level {self.sandbox}",
        }

    @property
    def level(self) -> Level | None:
        """The level of workers; None for the best."""
        return None if self.sandbox is None else Level(self.sandbox)


@dataclass(frozen=True, slots=True)
class Gives:
    """What of this machine all runs may take together; None for all of it. `memory_mb`: 10^6 bytes."""

    cpus: float | None = None
    memory_mb: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the coordinator, where it differs from the environment. `ca_file`: trusted besides the pinned CA."""

    proxy: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SiloConfig:
    """The whole of a silo's configuration. `launcher`: what starts training processes, septum's or a plugin's.

    deploy        which deployed models predict here
    labels        by which the coordinator's people find it; they are told
    capacity      what it gives to all runs together; the coordinator is told
    tracking      where its own part in runs is stored besides: the settings of each tracker by its name
    metrics_file  where the agent writes how it is; None: nowhere
    """

    name: str
    coordinator: str
    apps: Mapping[str, AppSettings] = field(default_factory=dict)
    limits: Limits = Limits()
    policy: Policy = field(default_factory=Policy)
    network: Network = Network()
    data: Mapping[str, Dataset] = field(default_factory=dict)
    launcher: str = OWN_LAUNCHER
    labels: Mapping[str, str] = field(default_factory=dict)
    deploy: DeployRules = field(default_factory=DeployRules)
    capacity: Gives = Gives()
    tracking: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    metrics_file: Path | None = None

    def dataset_of(self, app: AppSettings) -> Dataset:
        """What an app of this silo is trained on."""
        return self.data[app.dataset] if app.dataset else plain_file(app.data)


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
    top = Section(f"{path}", content)
    silo = top.section("silo")
    apps = top.section("apps")
    worker = top.section("worker")
    data = read_datasets(top.section("data"), path.parent)
    config = SiloConfig(
        name=check_silo_name(silo.text("name")),
        coordinator=check_url(silo.text("coordinator"), f"{silo.where}: coordinator"),
        apps={name: _app(apps.section(name), path.parent, data) for name in list(apps.content)},
        limits=_limits(top.section("limits")),
        policy=_policy(top.section("policy")),
        network=_network(top.section("network"), path.parent),
        data=data,
        launcher=worker.text("launcher", OWN_LAUNCHER),
        labels=_labels(top.section("labels")),
        deploy=read_deploy(top.section("deploy")),
        capacity=_capacity(top.section("capacity")),
        tracking=_tracking(top.section("tracking")),
        metrics_file=_metrics_file(top.section("metrics"), path.parent),
    )
    silo.end()
    worker.end()
    apps.end()
    top.end()
    return config


def write_config(path: Path, config: SiloConfig) -> None:
    """Write a configuration that `read_config` reads back as it is. Raises FileExistsError rather than overwrite."""
    limits, policy, network = config.limits, config.policy, config.network
    sections: dict[str, dict[str, object]] = {
        "silo": {"name": config.name, "coordinator": config.coordinator},
        **{
            f"apps.{json.dumps(name)}": {
                "path": str(app.path) if app.path else None,
                "data": app.dataset or str(app.data),
                "digest": app.digest or None,
            }
            for name, app in config.apps.items()
        },
        "labels": dict(config.labels),
        "limits": {name: getattr(limits, name) for name in Limits.__dataclass_fields__},
        "capacity": {name: getattr(config.capacity, name) for name in Gives.__dataclass_fields__},
        "policy": dict(policy.as_json()),
        "deploy": {} if config.deploy == DeployRules() else dict(deploy_json(config.deploy)),
        **{f"tracking.{_key(name)}": dict(values) for name, values in config.tracking.items()},
        "worker": {"launcher": None if config.launcher == OWN_LAUNCHER else config.launcher},
        "network": {"proxy": network.proxy or None, "ca_file": network.ca_file and str(network.ca_file)},
        "metrics": {"file": config.metrics_file and str(config.metrics_file)},
    }
    lines = []
    for title, keys in sections.items():
        known = [f"{_key(key)} = {toml_value(value)}" for key, value in keys.items() if value is not None]
        lines += [f"[{title}]", *known, ""] if known else []
    with path.open("x", encoding="utf-8") as file:
        file.write("\n".join([*lines, *(dataset_toml(dataset) for dataset in config.data.values())]))
    path.chmod(0o600)


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)


def check_url(url: str, where: str) -> str:
    """The coordinator's address, without a slash at its end. Raises ConfigError.

    >>> check_url("https://fl.example.org:8443/", "--url")
    'https://fl.example.org:8443'
    """
    host = url.removeprefix("https://").rstrip("/")
    if not url.startswith("https://") or not host or "/" in host:
        raise ConfigError(f"{where}: {url!r} is no address of a coordinator", hint="write: https://HOST:PORT")
    return f"https://{host}"


def _app(section: Section, folder: Path, datasets: Mapping[str, Dataset]) -> AppSettings:
    data, path = section.text("data"), section.text("path", "")
    app = AppSettings(
        path=folder / path if path else None,
        data=folder / data,
        digest=section.text("digest", ""),
        dataset=data if data in datasets else "",
    )
    if datasets and not app.dataset and "/" not in data and not app.data.exists():
        raise ConfigError(
            f"{section.where}: data is {data!r}, neither a file nor under [data]; {did_you_mean(data, datasets)}"
        )
    section.end()
    if app.digest and not app.digest.startswith("sha256:"):
        raise ConfigError(f"{section.where}: digest is {app.digest!r}", hint="septum app digest PATH prints it")
    return app


def _labels(section: Section) -> Mapping[str, str]:
    labels = {name: section.text(name) for name in list(section.content)}
    try:
        check_labels(labels)
    except ConfigError as error:
        raise ConfigError(f"{section.where}: {error.message}") from error
    return labels


def _limits(section: Section) -> Limits:
    off = Limits()
    limits = Limits(
        task_s=section.number("task_s", off.task_s),
        memory_mb=section.whole("memory_mb", off.memory_mb),
        cpu_s=section.whole("cpu_s", off.cpu_s),
        file_mb=section.whole("file_mb", off.file_mb),
        open_files=section.whole("open_files", off.open_files) or off.open_files,
        max_runs=section.whole("max_runs", off.max_runs) or off.max_runs,
        processes=section.whole("processes", off.processes) or off.processes,
        scratch_mb=section.whole("scratch_mb", off.scratch_mb) or off.scratch_mb,
        sandbox=section.whole("sandbox", off.sandbox),
    )
    if limits.sandbox not in (None, 1, 2):
        raise ConfigError(f"{section.where}: sandbox is {limits.sandbox}, 1 or 2 are possible")
    section.end()
    return limits


def _capacity(section: Section) -> Gives:
    cpus = section.number("cpus", 1.0)
    gives = Gives(cpus if "cpus" in section.content else None, section.count("memory_mb"), section.count("gpus"))
    section.end()
    try:
        Capacity(1, gives.cpus, gives.memory_mb, gives.gpus)
    except ConfigError as error:
        raise ConfigError(f"{section.where}: {error.message}") from error
    return gives


def _tracking(section: Section) -> Mapping[str, Mapping[str, Scalar]]:
    """`[tracking.NAME]`, whose keys are the tracker's to check."""
    found: dict[str, dict[str, Scalar]] = {}
    for name in list(section.content):
        table = section.section(name)
        found[name] = {}
        for key, value in table.content.items():
            if not isinstance(value, bool | int | float | str):
                raise ConfigError(f"{table.where}: {key} is {value!r}; a text, a number, true or false is needed")
            found[name][key] = value
    return found


def _policy(section: Section) -> Policy:
    off = Policy()
    hours = section.text("hours", "")
    policy = Policy(
        min_cohort=section.whole("min_cohort", off.min_cohort) or off.min_cohort,
        require_masking=section.flag("require_masking", off.require_masking),
        allow_silo_models=section.flag("allow_silo_models", off.allow_silo_models),
        max_rounds=section.whole("max_rounds", off.max_rounds),
        strategies=section.texts("strategies"),
        folders=section.flag("folders", off.folders),
        signers=section.texts("signers") or (),
        require_signature=section.flag("require_signature", off.require_signature),
        columns=section.texts("columns"),
        releases=section.texts("releases"),
        min_rows=section.whole("min_rows", off.min_rows) or off.min_rows,
        roster=section.one_of("roster", RosterBy.STEWARD),
        require_roster=section.flag("require_roster", off.require_roster),
        min_sandbox=section.whole("min_sandbox", off.min_sandbox) or off.min_sandbox,
        egress_hosts=section.texts("egress_hosts") or (),
        tracking_hosts=section.texts("tracking_hosts") or (),
        hours=hours_of(hours, section.where) if hours else None,
        send_error_texts=section.flag("send_error_texts", off.send_error_texts),
        require_privacy=section.flag("require_privacy", off.require_privacy),
        privacy_strength=section.one_of("privacy_strength", Strength.ENFORCED),
        max_epsilon=section.number("max_epsilon", off.max_epsilon),
        max_delta=section.number("max_delta", off.max_delta),
        epsilon_budget=section.number("epsilon_budget", off.epsilon_budget),
        budget_delta=section.number("budget_delta", off.budget_delta),
        keep_models=section.flag("keep_models", off.keep_models),
        queries=section.texts("queries") or (),
        require_noise=section.flag("require_noise", off.require_noise),
        min_cell=section.whole("min_cell", off.min_cell) or off.min_cell,
        tell_dataset=section.flag("tell_dataset", off.tell_dataset),
        tell_budget_below=section.finite("tell_budget_below"),
        tell_rows=section.flag("tell_rows", off.tell_rows),
        logs=section.one_of("logs", LogsLeave.AGENT),
        traces=section.text("traces", ""),
        system_every_s=off.system_every_s if (every_s := section.count("system_every_s")) is None else every_s,
    )
    section.end()
    return policy


def _network(section: Section, folder: Path) -> Network:
    ca_file = section.text("ca_file", "")
    network = Network(proxy=section.text("proxy", ""), ca_file=folder / ca_file if ca_file else None)
    section.end()
    return network


def _metrics_file(section: Section, folder: Path) -> Path | None:
    file = section.text("file", "")
    section.end()
    if file and not (folder / file).parent.is_dir():
        raise ConfigError(
            f"{section.where}: file is {file!r}, and its folder is not there", hint="mkdir it, or mend it"
        )
    return folder / file if file else None
