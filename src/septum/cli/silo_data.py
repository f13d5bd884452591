"""Which commands are there about a silo's data? All run in the silo and talk to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.options import pairs
from septum.cli.output import Answer, Json
from septum.cli.silo_dir import SiloDir
from septum.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.sdk.contract import Column
    from septum.silo.config import SiloConfig
    from septum.silo.datasets import Dataset

app = noun("data", "Bring a silo's data into the shape that an app needs, and see what is wrong with them.")

DataName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the dataset: data.NAME in silo.toml.")]
AppNamed = Annotated[
    str,
    typer.Option(
        "--app",
        metavar="APP",
        help="Whose contract to hold them against: a package in this silo (NAME, NAME==VERSION or a digest), "
        "a package's file, or an app's folder.",
    ),
]


@command(app, "add")
def add(
    call: Invocation,
    name: DataName,
    directory: SiloDir,
    source: Annotated[str, typer.Option("--source", help="What they lie in: csv, parquet, sql, omop or fhir.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What the source needs, such as path=FILE; may be repeated."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME=FROM",
            help="What a column of the app is called here, or its inline table as in silo.toml; may be repeated.",
        ),
    ] = None,
    on_violation: Annotated[
        str,
        typer.Option("--on-violation", help="What becomes of rows that violate a contract: refuse, missing or drop."),
    ] = "refuse",
    app_named: AppNamed = "",
) -> Answer:
    """Write a dataset into silo.toml, after a trial read. The rest of the file stays as it is."""
    del call
    from septum.cli import data_views  # the report's values, which `--help` does not load
    from septum.cli.contracts import contract_of  # cryptography
    from septum.silo.add_data import add_to_config, dataset_from_options
    from septum.silo.reading import describe_source

    config = _config(directory)
    if name in config.data:
        raise ConfigError(f"[data.{name}] is in silo.toml already", hint=f"edit {directory / 'silo.toml'}")
    given = pairs(columns or (), "--column")
    dataset = dataset_from_options(name, source, pairs(settings or (), "--set"), given, on_violation)
    described = describe_source(dataset)
    if app_named:
        checked = _checked(dataset, {app_named: contract_of(app_named, directory)})
        if checked.error is not None:
            return checked
    written = add_to_config(directory.absolute(), dataset)
    data: Json = {"config": str(written), "name": name, "source": data_views.described(dataset, described).data}
    following = f"septum silo data describe {name} --dir {directory}"
    return Answer(data, (f"[data.{name}] is in {written}", f"next: {following}"))


@command(app, "describe")
def describe(call: Invocation, name: DataName, directory: SiloDir) -> Answer:
    """Show the columns of a source as they are: kinds, missing cells, examples. For the silo's own eyes."""
    del call
    from septum.cli import data_views  # the report's values, which `--help` does not load
    from septum.silo.reading import describe_source

    dataset = _dataset(_config(directory), name)
    return data_views.described(dataset, describe_source(dataset))


@command(app, "check")
def check(
    call: Invocation,
    name: DataName,
    directory: SiloDir,
    app_named: AppNamed = "",
    shared: Annotated[
        bool, typer.Option("--for-others", help="Show only what may leave the silo: no small count, no value.")
    ] = False,
) -> Answer:
    """Read the data as a run would, hold them against an app's contract, and fail if they would be refused."""
    del call
    from septum.cli.contracts import contract_of, contracts_of_users  # cryptography

    config = _config(directory)
    dataset = _dataset(config, name)
    if app_named:
        contracts = {app_named: contract_of(app_named, directory)}
    else:
        contracts = contracts_of_users(config, name, directory)
    return _checked(dataset, contracts, shared=shared)


def _checked(dataset: Dataset, contracts: Mapping[str, Mapping[str, Column]], *, shared: bool = False) -> Answer:
    """Each app's report; an error if one app would not get these data."""
    from septum.cli import data_views  # the report's values, which `--help` does not load
    from septum.sdk.data_report import refusal
    from septum.silo.read_messages import Made
    from septum.silo.reading import check_data

    answers, errors = [], []
    for title, columns in contracts.items():
        result = check_data(dataset, columns)
        answers.append(data_views.report(title, result, shared=shared))
        if not isinstance(result, Made):
            told = f"data.{dataset.name} would be refused" if shared else refusal(f"data.{dataset.name}", result.report)
            errors.append(
                DataError(told, hint="map units, codes and missing markers in silo.toml, or set on_violation")
            )
    data: Json = {"name": dataset.name, "apps": [answer.data for answer in answers]}
    return Answer(data, tuple(block for answer in answers for block in answer.shown), errors[0] if errors else None)


def _config(directory: Path) -> SiloConfig:
    from septum.silo.config import CONFIG_NAME, read_config  # cryptography and the protocol

    return read_config(directory.absolute() / CONFIG_NAME)


def _dataset(config: SiloConfig, name: str) -> Dataset:
    if name not in config.data:
        known = did_you_mean(name, config.data) if config.data else "there is none yet"
        raise ConfigError(f"silo.toml has no [data.{name}]; {known}", hint=f"septum silo data add {name} --help")
    return config.data[name]
