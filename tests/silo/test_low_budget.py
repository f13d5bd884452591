"""Of which datasets a silo says that their privacy budget is nearly spent: by its policy, and nothing else of it."""

from __future__ import annotations

import pytest

from septum.errors import ConfigError, LedgerError
from septum.privacy.accounting import Gaussian
from septum.privacy.ledger import Budget, Charge, Unit
from septum.protocol.description import Standing
from septum.silo.ledger import FILE_NAME, Ledger
from septum.silo.log import Log
from septum.silo.low_budget import LowBudgets
from septum.silo.policy import Policy
from septum.silo.stance import Stances, pause

BUDGET = Budget(10.0, 1e-5)


def each_costs_three(used, delta):
    del delta
    return 3.0 * len(used)


def spend(silo, dataset, times):
    ledger = Ledger(silo, each_costs_three, lambda: 1.0)
    for _ in range(times):
        ledger.release(Charge(dataset, Unit.RECORD, Gaussian(1.0), "a test"), BUDGET)


def watched(silo, below=0.3, accountant=each_costs_three):
    return LowBudgets(silo, BUDGET, accountant, below, Log(silo="north"))


def test_a_dataset_is_told_of_once_less_than_the_share_is_left(tmp_path):
    low = watched(tmp_path)
    assert low.names() == ()
    spend(tmp_path, "heart", 2)  # 4 of 10 are left
    spend(tmp_path, "lab", 1)
    assert low.names() == ()
    spend(tmp_path, "heart", 1)
    assert low.names() == ("heart",)


def test_without_a_word_of_the_steward_nothing_is_told_and_nobody_accounts(tmp_path):
    def refuse(used, delta):
        raise AssertionError

    spend(tmp_path, "heart", 3)
    assert watched(tmp_path, None, refuse).names() == ()


def test_it_is_reckoned_again_only_when_the_ledger_has_changed(tmp_path):
    asked = []

    def counting(used, delta):
        asked.append(len(used))
        return each_costs_three(used, delta)

    low = watched(tmp_path, accountant=counting)
    spend(tmp_path, "heart", 3)
    assert [low.names() for _ in range(3)] == [("heart",)] * 3
    assert asked == [3]


def test_a_ledger_that_does_not_hold_changes_nothing_of_what_was_said(tmp_path, caplog):
    low = watched(tmp_path)
    spend(tmp_path, "heart", 3)
    assert low.names() == ("heart",)
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(LedgerError):
        spend(tmp_path, "heart", 1)
    with caplog.at_level("WARNING", "septum.silo"):
        assert low.names() == ("heart",)
    assert "budget_not_looked_at" in caplog.messages


def test_it_is_part_of_how_the_silo_stands_and_told_when_it_changes(tmp_path):
    told = []
    low = [()]
    stances = Stances(tmp_path, told.append, Log(silo="north"), lambda: low[0])
    stances.tell()
    low[0] = ("heart",)
    stances.tell()
    stances.tell()
    pause(tmp_path, "new disks", leave=False)
    stances.tell()
    assert told == [Standing(), Standing(budget_low=("heart",)), Standing(True, "new disks", ("heart",))]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 20.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="tell_budget_below"):
        Policy(tell_budget_below=share)
