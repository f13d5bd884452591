"""The example: the published rows, settings that all matter, and figures within their targets."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from septum.sdk import harness
from septum.sdk.package import LoadedApp
from septum.sdk.table import read_csv

INPUTS = (
    *("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak"),
    *("cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"),
)
SIZES = {"cleveland": (199, 104), "hungary": (172, 89), "switzerland": (30, 16), "long-beach-va": (85, 45)}


def published(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The protocol computed another way: x and y for training, x and y for testing."""
    rows = [[*row[:10], row[13]] for row in csv.reader(path.read_text().splitlines())]
    kept = np.array([[float(cell) for cell in row] for row in rows if "?" not in row], np.float32)
    y = np.minimum(kept[:, 10], 1)
    columns = [kept[:, index] for index in (0, 1, 3, 4, 5, 7, 8, 9)]
    columns += [kept[:, 2] == code for code in (2, 3, 4)] + [kept[:, 6] == code for code in (1, 2)]
    x = np.column_stack(columns).astype(np.float32)
    train, test = train_test_split(
        np.arange(len(y)),
        train_size=0.66,
        test_size=1.0 - 0.66,
        random_state=43,
        shuffle=True,
        stratify=y if min(np.bincount(y.astype(int))) > 2 else None,
    )
    return x[train], y[train], x[test], y[test]


@pytest.mark.parametrize("hospital", SIZES)
def test_rows_inputs_and_split_are_the_published_ones(
    folder: Path, prepared: dict[str, harness.Prepared], hospital: str
) -> None:
    split = prepared[hospital].split
    assert (len(split.train), len(split.test)) == SIZES[hospital]
    assert split.train.features == INPUTS
    x_train, y_train, x_test, y_test = published(folder / "data" / f"{hospital}.data")
    np.testing.assert_array_equal(split.train.x, x_train)
    np.testing.assert_array_equal(split.train.y, y_train)
    np.testing.assert_array_equal(split.test.x, x_test)
    np.testing.assert_array_equal(split.test.y, y_test)


def test_no_test_row_reaches_the_statistics_or_the_training(
    loaded: LoadedApp, prepared: dict[str, harness.Prepared]
) -> None:
    sums = {name: harness.summands(loaded.app, silo) for name, silo in prepared.items()}
    assert {name: float(one["mean_and_std.count"][0]) for name, one in sums.items()} == {
        name: float(sizes[0]) for name, sizes in SIZES.items()
    }


def test_the_default_figures_for_seed_42_reach_their_targets(federate: Callable) -> None:
    outcome = federate({"seed": 42})
    assert outcome.test_rows == 254
    assert outcome.roc_auc >= 0.865
    assert outcome.accuracy >= 0.78


def test_the_mean_figures_over_five_seeds_reach_their_targets_and_the_readme(federate: Callable, folder: Path) -> None:
    outcomes = [federate({"seed": seed}) for seed in range(42, 47)]
    accuracy = np.mean([outcome.accuracy for outcome in outcomes])
    auc = np.mean([outcome.roc_auc for outcome in outcomes])
    assert accuracy >= 0.79
    assert auc >= 0.87
    line = re.search(r"defaults of this app \| ([\d.]+) .*? \| ([\d.]+) ", (folder / "README.md").read_text())
    assert line is not None
    assert (float(line[1]), float(line[2])) == pytest.approx((accuracy, auc), abs=0.002)


def test_a_run_repeated_gives_the_same_model_bit_for_bit(federate: Callable) -> None:
    first, again = (federate({"rounds": 3}).parameters for _ in range(2))
    assert {name: tensor.tobytes() for name, tensor in first.items()} == {
        name: tensor.tobytes() for name, tensor in again.items()
    }


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": 3},
        {"epochs": 2},
        {"batch_size": 8},
        {"lr": 2e-3},
        {"optimizer": "sgd"},
        {"weight_decay": 0.01},
        {"seed": 43},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_hyper_parameter_changes_the_model(federate: Callable, change: dict[str, object]) -> None:
    usual = federate({"rounds": 2}).parameters
    changed = federate({"rounds": 2} | change).parameters
    for name in usual:
        assert np.abs(usual[name] - changed[name]).max() > 1e-6, name


@pytest.mark.torch
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_torch_trains_the_same_model_within_rounding(federate: Callable, optimizer: str) -> None:
    pytest.importorskip("torch")
    usual = federate({"rounds": 3, "optimizer": optimizer})
    by_torch = federate({"rounds": 3, "optimizer": optimizer, "backend": "torch"})
    for name, tensor in usual.parameters.items():
        np.testing.assert_allclose(by_torch.parameters[name], tensor, rtol=0, atol=1e-5)


def test_every_hyper_parameter_is_tested_above_and_stands_in_the_readme_with_its_default(
    loaded: LoadedApp, folder: Path
) -> None:
    marks = test_each_hyper_parameter_changes_the_model.pytestmark
    tested = {name for mark in marks for change in mark.args[1] for name in change}
    values = loaded.app.hyper_values(loaded.app.resolve())
    assert tested | {"backend"} == set(values)
    table = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", (folder / "README.md").read_text(), re.MULTILINE))
    assert table.keys() == values.keys()
    for name, value in values.items():
        assert table[name] == value or float(table[name]) == value


def test_a_hospital_with_its_own_header_and_order_reads_the_same(
    folder: Path, tmp_path: Path, loaded: LoadedApp
) -> None:
    manifest = loaded.manifest
    names = list(manifest.columns)
    source = folder / "data" / "long-beach-va.data"
    rows = [dict(zip(names, row, strict=True)) for row in csv.reader(source.read_text().splitlines())]
    with (tmp_path / "va.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["patient", *reversed(names)])
        writer.writeheader()
        writer.writerows({"patient": f"p{number}", **row} for number, row in enumerate(rows))
    plain = read_csv(source, names, manifest.missing)
    other = read_csv(tmp_path / "va.csv", names, manifest.missing)
    for name in names:
        np.testing.assert_array_equal(plain[name], other[name])


def test_the_app_is_one_file_that_a_steward_can_read(folder: Path) -> None:
    assert len((folder / "app.py").read_text().splitlines()) <= 150
