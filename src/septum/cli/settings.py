"""What does the reference page of the settings say?

It is made from the values that the files are read into: python -m septum.cli.settings > docs/reference/settings.md
What is not in their docstrings stands here, by table and key; a test compares it with what the readers take.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from enum import Enum

from septum.adapters.readers.registry import READERS
from septum.adapters.tracking.naming import DEFAULT_PARAMETERS
from septum.cli.output import Output
from septum.coordinator.blobs_config import BlobsConfig
from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.oidc_config import OidcConfig
from septum.coordinator.secrets_config import SecretsConfig
from septum.coordinator.store_config import StoreConfig
from septum.plugins.found import Group
from septum.ports.reader import SettingKind
from septum.silo.config import Limits
from septum.silo.deploy_rules import DeployRules
from septum.silo.policy import Policy

Keys = Mapping[str, str]
BAR = "\\|"  # in a table of Markdown

_EXPERIMENTS: Keys = {
    "prefix": "what names of experiments begin with: PREFIX-server, PREFIX-client-RANK. Default: septum",
    "parameters": "which hyper-parameter each parameter is, NAME=HYPER_PARAMETER, separated by commas; of "
    f"several with \\| between them the first that the app has. Default: {DEFAULT_PARAMETERS.replace('|', BAR)}",
    "silos": "whether the coordinator also stores each silo's own metrics, in runs without masks. Default: false",
}
_FAR: Keys = {
    **_EXPERIMENTS,
    "hosts": "the only hosts that it may reach, HOST or HOST:PORT, separated by commas; a silo's are in its policy. "
    "Default: any",
}
TRACKERS: Mapping[str, Keys] = {
    "tracking.jsonl": {
        "path": "the file that lines are appended to; relative to the data directory. Default: runs.jsonl"
    },
    "tracking.webhook": {
        "url": "where to post; https:// (or http:// on this machine)",
        "secret_file": "a file with the shared secret, mode 0600; relative to the data directory",
        "on": "what is told, separated by commas. Default: ended",
        "ca_file": "a PEM file with the certificate to trust, if it is no public one",
    },
    "tracking.mlflow": {
        "uri": "https://..., http://..., sqlite:///FILE relative to the data directory, or arn:aws:sagemaker:...",
        "model": "whether the model that a run ended with is stored, as mlflow.pyfunc loads it. Default: true",
        **_FAR,
    },
    "tracking.sagemaker": {
        "region": "the AWS region. Default: the one that AWS_DEFAULT_REGION or the profile names",
        **_FAR,
    },
    "tracking.tensorboard": {
        "folder": "where the event files are, relative to the data directory. Default: tensorboard",
        **_EXPERIMENTS,
    },
}
SILO: Mapping[str, Keys] = {
    "silo": {"name": "the silo's name, as it was invited", "coordinator": "https://HOST:PORT"},
    "apps.NAME": {
        "data": "on which rows: the name of a `[data.NAME]`, or a file in the contract's own columns",
        "path": "the app's folder, for development; left out, only approved packages of this name run",
        "digest": "of that folder, as it was approved; left out, as it is when the agent starts",
    },
    "data.NAME": {
        "source": f"what the rows lie in: {', '.join(sorted(READERS))}, or a plugin's",
        "on_violation": "what becomes of rows that violate a contract: refuse, missing or drop. Default: refuse",
        "offer": "whether the coordinator is told that it is here, with the names of its columns. Default: false",
        "columns": "what the columns of a contract are here, each a table of its own",
    },
    "data.NAME.columns.COLUMN": {
        "from": "its name in the source. Default: the same name",
        "unit": "of its numbers there, where it is another one",
        "substance": "of a concentration, where mol and gram are to be converted",
        "factor": "by which its numbers are multiplied",
        "offset": "what is added to them then",
        "codes": "a number of the contract for each code of the source",
        "missing": "cells that mean: no value",
        "decimals": "to which its numbers are rounded",
    },
    "capacity": {
        "cpus": "processors that all runs together may take. Default: those of the machine",
        "memory_mb": "memory that they may take, 10^6 bytes. Default: that of the machine",
        "gpus": "GPUs that they may take; 0 for none. Default: those of the machine",
    },
    "tracking.NAME": {
        "KEY": "of a tracker of this silo's own, mlflow, sagemaker, tensorboard or a plugin's: as in coordinator.toml, "
        "but for hosts and silos; it reaches what `tracking_hosts` of the policy names"
    },
    "labels": {"KEY": "by which the coordinator's people find this silo; they are told. Keys are free"},
    "worker": {"launcher": f"what starts training processes: septum's own, or a plugin's ({Group.LAUNCHERS.value})"},
    "metrics": {
        "file": "where the agent writes how it is, every 15 s, in Prometheus' text format; as NAME.prom in the folder"
        " of node_exporter's textfile collector. Relative to silo.toml. Default: nowhere"
    },
    "network": {
        "proxy": "http://HOST:PORT, if it is not the one that HTTPS_PROXY names",
        "ca_file": "PEM certificates to trust besides the coordinator's, as of a proxy that inspects TLS",
    },
}
APP: Mapping[str, Keys] = {
    "": {
        "app": "module:name of the App, such as app:app",
        "version": "of the app; letters, digits, . + -",
        "presets": "values of hyper-parameters by the preset's name: `[presets.quick]`",
    },
    "data": {
        "columns": "the columns that the app reads, each a table of its own",
        "missing": "cells that mean: no value, in every column",
    },
    "data.columns.NAME": {
        "role": "feature, or target for one of them. Default: feature",
        "type": "number, integer or code. Default: code where there are codes, else number",
        "unit": "of its numbers, such as mg/dl",
        "min": "the least that a number may be",
        "max": "the most that a number may be",
        "codes": "what a code may be: a list, or a table with what each means",
        "missing": "cells that mean: no value",
        "about": "what it is, for people",
    },
    "leaves": {
        "masked": "what leaves a silo only inside a sum under masks",
        "open": "what may also leave as it is, in a run without masks",
    },
    "private": {"parameters": "patterns of the names of parameters that never leave a silo"},
    "resources": {
        "cpus": "processors that a run takes in each silo, for the queue; 0.5 is possible",
        "memory_mb": "memory that it takes there, 10^6 bytes",
        "gpus": "GPUs that it takes there",
    },
    "dependencies": {
        "lock": "a file with the app's pinned wheels and their hashes",
        "preinstalled": "requirements that a silo has to meet itself",
    },
    "privacy": {
        "loss": "what septum trains by itself under differential privacy: logistic, or for a network of layers",
        "ranges": "of each input, by which it is scaled; from elsewhere than the data",
        "hidden": "widths of the hidden layers",
        "layers": "a torch network, layer by layer",
    },
}
ENVIRONMENT: Keys = {
    "SEPTUM_URL": "the coordinator's URL",
    "SEPTUM_TOKEN": "a bearer token",
    "SEPTUM_CA": "a file with the certificate to trust",
    "SEPTUM_OPERATOR_FILE": "the operator.json in the coordinator's data directory: the three at once",
    "SEPTUM_PASSWORD": "`septum login`: the password, which is asked for otherwise",
    "SEPTUM_NEW_PASSWORD": "`septum login`, `septum user password`: the new password",
    "SEPTUM_CODE": "`septum login`: the second factor's code",
    "SEPTUM_INVITATION": "`septum silo enroll`: the token; `septum login --invitation`: the link",
    "SEPTUM_STORE_PASSWORD": "`septum coordinator`: the password of the PostgreSQL database in `[store]`",
    "SEPTUM_DEBUG": "1: tracebacks of errors on standard error",
}
_READER_KINDS = {
    SettingKind.TEXT: "a text",
    SettingKind.TEXTS: "a list of texts",
    SettingKind.WHOLE: "a whole number above 0",
    SettingKind.PATH: "a path, relative to silo.toml",
}
_HEAD = """# Settings

Made by `python -m septum.cli.settings > docs/reference/settings.md`; a test checks that it is up to date. Every file is
read whole before anything starts: an unknown key, or a wrong value, is an error that names the file, the key and the
nearest one that there is.

* [coordinator.toml](#coordinatortoml) in the coordinator's data directory
* [silo.toml](#silotoml) in a silo's directory; `septum silo enroll` writes it, and only the silo's steward changes it
* [septum.toml](#septumtoml) in an app's folder
* [environment variables](#environment-variables)

Which coordinator a command speaks to, and the files for that: [commands](commands.md#which-coordinator).
"""


def page() -> str:
    """The page as Markdown."""
    lines = [
        _HEAD,
        "## coordinator.toml",
        "",
        *_of(CoordinatorConfig, without=("data_dir", "store", "blobs", "oidc", "secrets", "tracking")),
    ]
    lines += [
        *_titled("store"),
        *_of(StoreConfig),
        *_titled("blobs"),
        *_of(BlobsConfig),
        *_titled("secrets"),
        *_of(SecretsConfig),
    ]
    lines += [*_titled("oidc"), *_of(OidcConfig)]
    for title, keys in TRACKERS.items():
        lines += [*_titled(title), *_table(keys)]
    lines += ["", "## silo.toml"]
    for title, keys in SILO.items():
        lines += [*_titled(title), *_table(keys)]
    lines += [*_titled("data.NAME"), "By `source`:", "", "| source | key | |", "|---|---|---|", *_readers()]
    lines += [*_titled("policy"), *_of(Policy), *_titled("limits"), *_of(Limits)]
    lines += [*_titled("deploy"), *_of(DeployRules)]
    lines += ["", "## septum.toml", "", *_table(APP[""])]
    for title, keys in APP.items():
        lines += [*_titled(title), *_table(keys)] if title else []
    lines += ["", "## Environment variables", "", *_table(ENVIRONMENT), ""]
    return "\n".join(lines)


def documented(cls: type) -> dict[str, str]:
    """What a class's docstring says of each attribute, in lines `name   text` or `one, other   text`.

    >>> class Point:
    ...     '''A place.
    ...
    ...     x, y  in metres,
    ...           from the left
    ...     '''
    >>> documented(Point)["y"]
    'in metres, from the left'
    """
    found: dict[str, str] = {}
    names: tuple[str, ...] = ()
    for line in (inspect.getdoc(cls) or "").splitlines()[1:]:
        match = re.fullmatch(r"(\w+(?:, \w+)*) +(\S.*)", line)
        if line.startswith(" ") and names:
            text = line.strip()
            found.update({name: f"{found[name]} {text}" for name in names})
        elif match:
            names = tuple(match[1].split(", "))
            found.update(dict.fromkeys(names, match[2]))
        else:
            names = ()
    return found


def _of(cls: type, without: tuple[str, ...] = ()) -> Iterator[str]:
    said = documented(cls)
    yield from ("| key | default | |", "|---|---|---|")
    for one in dataclasses.fields(cls):
        if one.name not in without:
            text = said.get(one.name, "")
            yield f"| `{one.name}` | {_default(one)} | {text} |"


def _default(one: dataclasses.Field[object]) -> str:
    value = one.default
    if value is dataclasses.MISSING:
        return "" if one.default_factory is not dataclasses.MISSING else "needed"
    if value is None or value == "":
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(keys: Keys) -> list[str]:
    return ["| key | |", "|---|---|", *(f"| `{key}` | {text} |" for key, text in keys.items())]


def _titled(title: str) -> list[str]:
    return ["", f"### `[{title}]`", ""]


def _readers() -> Iterator[str]:
    for source in sorted(READERS):
        for setting in READERS[source].settings:
            needed = ", needed" if setting.needed else ""
            yield f"| {source} | `{setting.name}` | {_READER_KINDS[setting.kind]}{needed} |"


if __name__ == "__main__":
    Output().text(page().rstrip("\n"))
