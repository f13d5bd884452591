"""What a silo tells of itself: what its steward allows, once, and again when it has changed."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from septum import __version__
from septum.errors import ConfigError, ConnectionFailedError, NotFoundError
from septum.protocol.description import OfferedDataset, SiloDescription
from septum.protocol.resources import Capacity
from septum.silo.config import read_config, write_config
from septum.silo.describing import Describing, machine
from septum.silo.log import Log

SILO = '[silo]\nname = "north"\ncoordinator = "https://fl.example.org"\n'
DATA = """
[data.heart]
source = "csv"
path = "heart.csv"
offer = true
[data.heart.columns]
age = { from = "AGE" }
chol = { from = "CHOL" }

[data.secret]
source = "csv"
path = "secret.csv"
"""


class Coordinator:
    def __init__(self) -> None:
        self.told: list[SiloDescription] = []
        self.problem: Exception | None = None

    def send(self, said: SiloDescription) -> None:
        if self.problem is not None:
            raise self.problem
        self.told.append(said)


def describing(folder: Path, coordinator: Coordinator, text: str = "") -> Describing:
    path = folder / "silo.toml"
    path.write_text(SILO + text)
    return Describing(read_config(path), {"lab": ("crp",)}, coordinator.send, Log(silo="north"))


def test_without_a_word_of_the_steward_no_dataset_is_told(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, DATA.replace("offer = true\n", ""))
    telling.counted("heart", 303)
    telling.tell()
    (said,) = coordinator.told
    assert said.datasets == ()
    assert (said.septum, said.labels) == (__version__, {})


def test_an_offered_dataset_is_told_by_name_and_columns_and_its_rows_are_not(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, DATA)
    telling.counted("heart", 303)
    telling.tell()
    assert coordinator.told[0].datasets == (OfferedDataset("heart", ("age", "chol")),)


def test_where_the_policy_says_so_rows_are_told_to_the_first_digit(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, DATA + "[policy]\ntell_rows = true\n")
    telling.counted("heart", 303)
    telling.counted("secret", 77)
    telling.tell()
    assert coordinator.told[0].datasets == (OfferedDataset("heart", ("age", "chol"), "300-399"),)


def test_columns_of_a_dataset_without_a_mapping_are_those_of_its_apps_contract(tmp_path):
    coordinator = Coordinator()
    describing(tmp_path, coordinator, '[data.lab]\nsource = "csv"\npath = "lab.csv"\noffer = true\n').tell()
    assert coordinator.told[0].datasets == (OfferedDataset("lab", ("crp",)),)


def test_it_is_told_once_and_again_when_it_has_changed(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, DATA + "[policy]\ntell_rows = true\n")
    for rows in (0, 0, 303, 310, 303, 400):
        if rows:
            telling.counted("heart", rows)
        telling.tell()
    assert [one.datasets[0].rows for one in coordinator.told] == ["", "300-399", "400-499"]


def test_a_coordinator_that_is_away_is_told_later_and_one_that_is_too_old_is_not_asked_again(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator)
    coordinator.problem = ConnectionFailedError("away")
    telling.tell()
    coordinator.problem = None
    telling.tell()
    assert len(coordinator.told) == 1
    older = Coordinator()
    telling = describing(tmp_path, older)
    older.problem = NotFoundError("there is no POST /silo/v1/account here")
    telling.tell()
    older.problem = None
    telling.tell()
    assert older.told == []


def test_labels_are_read_written_and_told(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, '[labels]\nregion = "north"\n"eu.country" = "ch"\n')
    telling.tell()
    assert coordinator.told[0].labels == {"region": "north", "eu.country": "ch"}
    config = read_config(tmp_path / "silo.toml")
    write_config(tmp_path / "again.toml", config)
    assert read_config(tmp_path / "again.toml") == config


def test_an_offer_is_written_as_it_was_read(tmp_path):
    (tmp_path / "silo.toml").write_text(SILO + DATA)
    config = read_config(tmp_path / "silo.toml")
    write_config(tmp_path / "again.toml", config)
    assert read_config(tmp_path / "again.toml") == config
    assert config.data["heart"].offer
    assert not config.data["secret"].offer


def test_a_wrong_label_is_named_with_its_place(tmp_path):
    (tmp_path / "silo.toml").write_text(SILO + '[labels]\nRegion = "north"\n')
    with pytest.raises(ConfigError, match=r"\[labels\].*Region"):
        read_config(tmp_path / "silo.toml")


def test_the_machine_is_described_without_any_gpu_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    said = machine()
    assert said.cores >= 1
    assert said.memory_mb > 100
    assert said.gpus == ()


def test_gpus_are_named_where_the_library_is_installed_and_none_where_it_fails(monkeypatch):
    class NVMLError(Exception):
        pass

    nvml = types.ModuleType("pynvml")
    nvml.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    nvml.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda n: n,
        nvmlDeviceGetName=lambda n: (b"NVIDIA H200", "NVIDIA L4")[n],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert machine().gpus == ("NVIDIA H200", "NVIDIA L4")

    def fail() -> None:
        raise NVMLError("driver not loaded")

    nvml.nvmlInit = fail  # type: ignore[attr-defined]
    assert machine().gpus == ()
    assert replace(machine(), gpus=()) == machine()


def test_what_the_silo_gives_is_told_and_what_silo_toml_does_not_say_is_all_that_the_machine_has(tmp_path):
    coordinator = Coordinator()
    telling = describing(tmp_path, coordinator, "[limits]\nmax_runs = 2\n[capacity]\ncpus = 1.5\n")
    telling.tell()
    here = machine()
    assert coordinator.told[0].capacity == Capacity(2, 1.5, here.memory_mb or None, len(here.gpus))
    assert telling.capacity == coordinator.told[0].capacity
