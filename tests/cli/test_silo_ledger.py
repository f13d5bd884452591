"""A steward reads what was spent, checks that it holds, and goes on where it does not."""

from __future__ import annotations

import pytest

from septum.adapters.accountant import epsilon_of
from septum.errors import BudgetError
from septum.privacy.accounting import Gaussian, Laplace, SampledGaussian
from septum.privacy.ledger import Budget, Charge, Reserved, Unit
from septum.silo.ledger import FILE_NAME, Ledger, read

pytestmark = pytest.mark.laws

BUDGET = Budget(2.0, 1e-5)


@pytest.fixture
def silo(tmp_path):
    folder = tmp_path / "silo"
    folder.mkdir()
    (folder / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    return folder


@pytest.fixture
def used(silo):
    ledger = Ledger(silo, epsilon_of, lambda: 1_700_000_000.0)
    steps = Charge("heart", Unit.RECORD, SampledGaussian(2.0, 0.02, 300), "run r-1, round 1")
    ledger.settle(ledger.reserve(steps, BUDGET), 100)
    ledger.reserve(steps, BUDGET)
    ledger.release(Charge("lung", Unit.PATIENT, Laplace(4.0), "count of rows"), BUDGET)
    with pytest.raises(BudgetError):
        ledger.release(Charge("lung", Unit.PATIENT, Gaussian(0.5), "mean age"), BUDGET)
    return silo


def test_a_silo_that_released_nothing_says_so_and_gets_no_file(septum, silo):
    done = septum("silo", "ledger", "show", "--dir", silo)
    assert (done.code, done.out) == (0, "no releases yet\n")
    assert septum("silo", "ledger", "show", "--dir", silo, "--json").envelope["data"]["datasets"] == []
    assert septum("silo", "ledger", "verify", "--dir", silo).code == 0
    assert [path.name for path in silo.iterdir()] == ["silo.toml"]


def test_each_datasets_epsilon_is_told_with_what_is_open_in_full(septum, used):
    shown = septum("silo", "ledger", "show", "--dir", used, "--json").envelope["data"]
    heart, lung = shown["datasets"]
    exact = epsilon_of([SampledGaussian(2.0, 0.02, 400)], 1e-5)
    assert heart == {"dataset": "heart", "unit": "record", "open": 1, "epsilon": exact, "delta": 1e-5}
    assert lung["unit"] == "patient"
    assert lung["epsilon"] == pytest.approx(0.25, abs=1e-3)
    assert [entry["event"]["kind"] for entry in shown["entries"]] == [
        "reserved",
        "settled",
        "reserved",
        "released",
        "refused",
    ]


def test_people_read_what_it_was_spent_on_newest_first(septum, used):
    lines = septum("silo", "ledger", "show", "--dir", used, "--delta", "1e-6").out.splitlines()
    assert lines[0].endswith("EPSILON AT DELTA 1e-06")
    numbers = [line.split()[0] for line in lines if line.split()[0].isdigit()]
    assert numbers == ["5", "4", "3", "2", "1"]
    assert any("300 steps of DP-SGD, noise 2, rate 0.02" in line and "run r-1, round 1" in line for line in lines)
    assert any("1 x Gaussian, noise 0.5 on a budget of 2 at 1e-05" in line and "mean age" in line for line in lines)
    assert lines[-1] == f"head 5:{read(used).head.hash}"


def test_a_reservation_that_was_never_settled_is_named_and_one_that_was_is_not(septum, used):
    settled, never = (entry.event.id for entry in read(used).entries if isinstance(entry.event, Reserved))
    lines = septum("silo", "ledger", "show", "--dir", used).out.splitlines()
    entry = next(line for line in lines if f"reserved {never}" in line)
    assert entry.split(never)[1].startswith(", not settled")
    assert not [line for line in lines if settled in line and "not settled" in line]
    assert lines[-2].startswith(f"not settled, and counted in full: {never}. ")
    shown = septum("silo", "ledger", "show", "--dir", used, "--json").envelope["data"]
    assert shown["unsettled"] == [{"id": never, "dataset": "heart", "purpose": "run r-1, round 1"}]
    Ledger(used, epsilon_of, lambda: 0.0).settle(never, 300)
    assert "not settled" not in septum("silo", "ledger", "show", "--dir", used).out


def test_a_delta_that_cannot_be_accounted_with_is_refused(septum, used):
    done = septum("silo", "ledger", "show", "--dir", used, "--delta", "0")
    assert done.code == 2
    assert "delta" in done.err


def test_without_the_extra_the_entries_are_shown_and_the_command_that_installs_it(septum, used, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dp_accounting.pld", None)
    done = septum("silo", "ledger", "show", "--dir", used, "--json")
    assert done.code == 2
    assert done.envelope["data"]["datasets"][0]["epsilon"] is None
    assert len(done.envelope["data"]["entries"]) == 5
    assert done.envelope["error"]["hint"] == "pip install 'septum[dp]'"


def test_a_head_kept_elsewhere_finds_a_ledger_that_was_brought_back(septum, used):
    copies = {path: path.read_bytes() for path in used.iterdir()}
    Ledger(used, epsilon_of, lambda: 0.0).release(Charge("lung", Unit.PATIENT, Laplace(9.0), "a count"), BUDGET)
    head = septum("silo", "ledger", "show", "--dir", used).out.splitlines()[-1].removeprefix("head ")
    assert septum("silo", "ledger", "verify", "--dir", used, "--head", head).code == 0
    for path, data in copies.items():
        path.write_bytes(data)
    assert septum("silo", "ledger", "verify", "--dir", used).code == 0
    done = septum("silo", "ledger", "verify", "--dir", used, "--head", head, "--json")
    assert done.code == 1
    assert done.envelope["error"]["code"] == "ledger"
    assert septum("silo", "ledger", "verify", "--dir", used, "--head", "nonsense").code == 2


def test_a_changed_ledger_fails_with_the_command_that_goes_on_and_that_command_does(septum, used):
    path = used / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"executed":100', b'"executed":10', 1))
    for verb in ("show", "verify"):
        done = septum("silo", "ledger", verb, "--dir", used, "--json")
        assert done.code == 1
        hint = done.envelope["error"]["hint"]
    assert hint.endswith(f"septum silo ledger recover --dir {used} --charge EPSILON")
    done = septum("silo", "ledger", "recover", "--dir", used, "--charge", "0.5", "--json")
    assert (done.code, done.envelope["data"]["expected"]) == (0, 5)
    shown = septum("silo", "ledger", "show", "--dir", used, "--json").envelope["data"]
    # entry 1 held: its reservation counts in full, and the charge on top
    assert [item["dataset"] for item in shown["datasets"]] == ["heart"]
    both = epsilon_of(read(used).book.costs("heart"), 1e-5)
    assert shown["datasets"][0]["epsilon"] == both > 0.5
    assert septum("silo", "ledger", "recover", "--dir", used, "--charge", "0.5").code == 1


@pytest.mark.parametrize("charge", ["0", "-1", "nan", "1000"])
def test_a_charge_that_makes_no_sense_changes_nothing(septum, used, charge):
    (used / FILE_NAME).write_bytes(b"")
    before = sorted(path.name for path in used.iterdir())
    assert septum("silo", "ledger", "recover", "--dir", used, "--charge", charge).code == 2
    assert sorted(path.name for path in used.iterdir()) == before


def test_a_folder_that_is_not_there_is_said(septum, silo):
    assert septum("silo", "ledger", "show", "--dir", silo / "typo").code == 2
