"""What can be set of the trackers that speak to services for experiments? `[tracking.mlflow]` and its like.

Read and checked where a coordinator or a silo starts; the libraries are loaded later, by a process of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from septum.adapters.channel.elsewhere import host_of
from septum.adapters.tracking.naming import DEFAULT_PARAMETERS, DEFAULT_PREFIX, names_of
from septum.adapters.tracking.process import Desk, ProcessTracker, Setup
from septum.errors import ConfigError, MissingExtraError, did_you_mean
from septum.ports.tracker import TrackerSettings
from septum.protocol.codec import Scalar

POLICY_HOSTS = "[policy]: tracking_hosts"
_COMMON: Mapping[str, Scalar] = {
    "prefix": DEFAULT_PREFIX,
    "parameters": DEFAULT_PARAMETERS,
    "silos": False,
}
_FAR: Mapping[str, Scalar] = {**_COMMON, "hosts": ""}  # of those that speak to other machines
_SQLITE = "sqlite:///"
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:[a-z-]+/[A-Za-z0-9-]+")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class _Values:
    """A tracker's table, with its defaults."""

    tracker: str
    where: str
    values: Mapping[str, Scalar]

    def text(self, key: str) -> str:
        value = self.values[key]
        if not isinstance(value, str):
            raise ConfigError(f"{self.where}: {key} is {value!r}, a text is needed")
        return value

    def flag(self, key: str) -> bool:
        value = self.values[key]
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} is {value!r}, true or false is needed")
        return value


def make_mlflow(settings: TrackerSettings) -> ProcessTracker:
    """From `[tracking.mlflow]`. Raises ConfigError, MissingExtraError."""
    values = _read("mlflow", settings, {**_FAR, "uri": "", "model": True})
    uri = values.text("uri")
    _need("mlflow", values.where, "mlflow")
    if uri.startswith("arn:"):
        if not _ARN.fullmatch(uri):
            raise ConfigError(
                f"{values.where}: uri is {uri[:200]!r}, which is no ARN of a tracking server",
                hint='uri = "arn:aws:sagemaker:REGION:ACCOUNT:mlflow-tracking-server/NAME"',
            )
        _need("sagemaker_mlflow", values.where, "mlflow-sagemaker")
    elif uri.startswith(_SQLITE):
        folder = (settings.data_dir / uri.removeprefix(_SQLITE)).parent
        if not folder.is_dir():
            raise ConfigError(
                f"{values.where}: uri names a file in {folder}, which is no folder", hint=f"mkdir {folder}"
            )
    else:
        _check_url(uri, values.where, settings.hosts)
    return _tracker(values, settings, {"uri": uri}, model=values.flag("model"), far=not uri.startswith(_SQLITE))


def make_sagemaker(settings: TrackerSettings) -> ProcessTracker:
    """From `[tracking.sagemaker]`. Raises ConfigError, MissingExtraError."""
    values = _read("sagemaker", settings, {**_FAR, "region": ""})
    region = values.text("region")
    _need("boto3", values.where, "sagemaker")
    if region and not _REGION.fullmatch(region):
        raise ConfigError(f"{values.where}: region is {region[:80]!r}", hint='region = "eu-central-1"')
    return _tracker(values, settings, {"region": region}, far=True)


def make_tensorboard(settings: TrackerSettings) -> ProcessTracker:
    """From `[tracking.tensorboard]`: it writes files, which takes no library and so no other process."""
    values = _read("tensorboard", settings, {**_COMMON, "folder": "tensorboard"})
    folder = values.text("folder")
    if not folder:
        raise ConfigError(f"{values.where}: folder is '', a folder is needed", hint='folder = "tensorboard"')
    names = names_of(values.text("prefix"), values.text("parameters"), values.where)
    setup = Setup("tensorboard", {"folder": folder}, str(settings.data_dir.absolute()), None, "")
    return ProcessTracker(setup, names, hears_silos=values.flag("silos"), asked=Desk())


def _read(tracker: str, settings: TrackerSettings, known: Mapping[str, Scalar]) -> _Values:
    where = f"[tracking.{tracker}]"
    for key in settings.values:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {did_you_mean(key, known)}")
    if settings.hosts is not None and "hosts" in settings.values:
        raise ConfigError(f"{where}: hosts is a coordinator's setting; a silo's are in its policy", hint=POLICY_HOSTS)
    return _Values(tracker, where, {**known, **settings.values})


def _tracker(
    values: _Values, settings: TrackerSettings, own: Mapping[str, Scalar], *, far: bool, model: bool = False
) -> ProcessTracker:
    """`far`: whether it speaks to another machine."""
    names = names_of(values.text("prefix"), values.text("parameters"), values.where)
    listed = tuple(one.strip() for one in values.text("hosts").split(",") if one.strip())
    hosts, named = settings.hosts, POLICY_HOSTS
    if hosts is None:
        hosts, named = listed or None, f"{values.where}: hosts"
    elif far and not hosts:
        raise ConfigError(
            f"{values.where}: this silo's policy names no host that its trackers may reach",
            hint='under [policy] in silo.toml: tracking_hosts = ["mlflow.example.org"]',
        )
    for host in hosts or ():
        host_of(host, named)
    setup = Setup(values.tracker, own, str(settings.data_dir.absolute()), hosts, named)
    return ProcessTracker(setup, names, hears_silos=values.flag("silos"), find=settings.find if model else None)


def _check_url(uri: str, where: str, hosts: tuple[str, ...] | None) -> None:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{where}: uri is {uri[:200]!r}; a server's address, a SQLite file or an ARN is needed",
            hint='uri = "https://mlflow.example.org", "sqlite:///mlflow.db" or "arn:aws:sagemaker:..."',
        )
    place = (parts.hostname, port or (443 if parts.scheme == "https" else 80))
    if hosts and place not in {host_of(host, POLICY_HOSTS) for host in hosts}:
        written = place[0] if place[1] == 443 else f"{place[0]}:{place[1]}"
        raise ConfigError(
            f"{where}: uri names {written}, which {POLICY_HOSTS} does not",
            hint=f'under [policy] in silo.toml: tracking_hosts = ["{written}"]',
        )


def _need(module: str, where: str, extra: str) -> None:
    if find_spec(module) is None:
        raise MissingExtraError(
            f"{where} needs {module}, which is not installed", hint=f"pip install 'septum[{extra}]'"
        )
