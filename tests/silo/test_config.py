"""silo.toml: what is written reads back, and a mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import ConfigError
from septum.ports.launcher import WorkerLimits
from septum.silo.config import AppSettings, Gives, Limits, Network, SiloConfig, read_config, write_config
from septum.silo.policy import Policy

MINIMAL = '[silo]\nname = "north"\ncoordinator = "https://fl.example.org:8443"\n'


def read(folder: Path, text: str) -> SiloConfig:
    path = folder / "silo.toml"
    path.write_text(text)
    return read_config(path)


def test_two_lines_are_enough(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL) == SiloConfig("north", "https://fl.example.org:8443")


def test_every_key_is_read_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        MINIMAL
        + """
        [apps.heart-disease]
        path = "apps/heart"
        data = "/data/cleveland.csv"
        digest = "sha256:aa"
        [limits]
        task_s = 1.5
        memory_mb = 2000
        cpu_s = 60
        file_mb = 10
        open_files = 64
        max_runs = 2
        [policy]
        min_cohort = 3
        max_rounds = 100
        strategies = ["fedavg", "fedprox"]
        require_masking = false
        allow_silo_models = true
        send_error_texts = false
        keep_models = false
        [network]
        proxy = "http://proxy:3128"
        ca_file = "site-ca.pem"
        """,
    )
    assert config.apps == {
        "heart-disease": AppSettings(tmp_path / "apps/heart", Path("/data/cleveland.csv"), "sha256:aa")
    }
    assert config.limits == Limits(1.5, 2000, 60, 10, 64, 2)
    assert config.limits.of_worker() == WorkerLimits(
        1.5, 2_000_000_000, 60, 10_000_000, 64, scratch_bytes=1_000_000_000
    )
    assert config.policy == Policy(
        3, 100, ("fedavg", "fedprox"), require_masking=False, allow_silo_models=True, keep_models=False
    )
    assert config.network == Network("http://proxy:3128", tmp_path / "site-ca.pem")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"\[silo\]: name is missing"),
        ('[silo]\nname = "North!"\ncoordinator = "https://h"', "'North!' is no name for a silo"),
        ('[silo]\nname = "north"\ncoordinator = "http://h"', "'http://h' is no address"),
        ('[silo]\nname = "north"\ncoordinator = "https://h/path"', "is no address"),
        ("[silo", "not TOML"),
        (MINIMAL + 'nmae = "x"', r"\[silo\]: unknown key 'nmae'; did you mean 'name'"),
        (MINIMAL + "[polcy]", "unknown key 'polcy'; did you mean 'policy'"),
        (MINIMAL + "[policy]\nmin_cohorts = 3", r"\[policy\]: unknown key 'min_cohorts'; did you mean 'min_cohort'"),
        (MINIMAL + "[policy]\nmin_cohort = 0", "min_cohort is 0, a whole number above 0 is needed"),
        (MINIMAL + "[policy]\nmin_cohort = true", "min_cohort is True"),
        (MINIMAL + "[policy]\nsend_error_texts = 0", "send_error_texts is 0, true or false is needed"),
        (MINIMAL + '[policy]\nstrategies = "fedavg"', "a list of texts is needed"),
        (MINIMAL + "[limits]\ntask_s = -1", "task_s is -1, a number above 0"),
        (MINIMAL + "[limits]\ntask_s = nan", "task_s is nan"),
        (MINIMAL + "[limits]\nsandbox = 3", "sandbox is 3, 1 or 2 are possible"),
        (MINIMAL + '[policy]\nroster = "chian"', "roster is 'chian'; did you mean 'chain'"),
        (MINIMAL + '[policy]\nhours = "8-18"', "hours is '8-18'"),
        (MINIMAL + '[policy]\negress_hosts = ["https://b.example.org"]', "egress_hosts has 'https://b.example.org'"),
        (MINIMAL + '[apps.a]\npath = "p"', r"\[apps.a\]: data is missing"),
        (MINIMAL + '[apps.a]\npath = "p"\ndata = "d"\ndigset = "x"', r"\[apps.a\]: unknown key 'digset'"),
        (MINIMAL + '[apps.a]\npath = "p"\ndata = "d"\ndigest = "aa"', "digest is 'aa'"),
        (MINIMAL + "[apps]\na = 1", "a is 1, a table is needed"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "silo.toml") in caught.value.message
    assert caught.value.hint


def test_a_missing_file_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_config(tmp_path / "silo.toml")
    assert "septum silo enroll" in caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        SiloConfig("north", "https://h:1"),
        SiloConfig(
            "north",
            "https://h:1",
            {'a "quoted" \\ name\x7f': AppSettings(Path("/a b"), Path("/ü/😀.csv"), "sha256:0")},
            Limits(1.0, 2, 3, 4, 5, 6),
            Policy(7, 8, ("fedavg",)),
            Network("http://p:1", Path("/ca.pem")),
            capacity=Gives(1.5, 2000, 0),
        ),
    ],
)
def test_what_is_written_reads_back_as_it_was(tmp_path: Path, config: SiloConfig) -> None:
    path = tmp_path / "silo.toml"
    write_config(path, config)
    assert read_config(path) == config
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_config(path, config)


def test_what_a_silo_gives_is_read_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL + "[capacity]\ncpus = 8\ngpus = 0\n").capacity == Gives(8.0, None, 0)
    with pytest.raises(ConfigError, match=r"\[capacity\]: gpus is -1, a whole number"):
        read(tmp_path, MINIMAL + "[capacity]\ngpus = -1\n")
    with pytest.raises(ConfigError, match=r"\[capacity\]: .*gpus must be between 0 and 64, not 65"):
        read(tmp_path, MINIMAL + "[capacity]\ngpus = 65\n")
    with pytest.raises(ConfigError, match=r"\[capacity\]: unknown key 'gpu'; did you mean 'gpus'"):
        read(tmp_path, MINIMAL + "[capacity]\ngpu = 1\n")
