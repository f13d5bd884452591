"""What must every SiloAccounts do? Subclass `AccountsContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from septum.errors import NotFoundError
from septum.ports.accounts import SiloAccount, SiloAccounts
from septum.protocol.description import OfferedDataset, SiloDescription, Standing

DATASETS = (OfferedDataset("heart", ("age", "chol"), "100-199"), OfferedDataset("lab"))
OLD = SiloDescription("0.1.0", "3.11.2", "Debian 12, x86_64", 2)
NEW = SiloDescription("0.2.0", "3.12.1", "Debian 13, x86_64", 4, 8_000, ("H200",), {"region": "north"}, DATASETS)


class AccountsContract(ABC):
    """The contract of `ports.accounts.SiloAccounts`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[SiloAccounts]:
        """New, empty accounts, where the silos `cleveland` and `hungary` are known. Files may be in `directory`."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SiloAccounts]:
        """The accounts under test."""
        with self.make(tmp_path) as store:
            yield store

    def test_the_newest_description_is_kept(self, store: SiloAccounts) -> None:
        """Of each silo its own."""
        store.describe("cleveland", OLD, at=1.0)
        store.describe("hungary", OLD, at=2.0)
        store.describe("cleveland", NEW, at=3.0)
        assert store.accounts() == {"cleveland": SiloAccount(NEW, 3.0), "hungary": SiloAccount(OLD, 2.0)}

    def test_description_and_standing_leave_each_other_alone(self, store: SiloAccounts) -> None:
        """In either order."""
        paused = Standing(paused=True, reason="maintenance", budget_low=("heart", "lab"))
        store.stand("cleveland", paused, at=1.0)
        store.describe("cleveland", NEW, at=2.0)
        assert store.accounts() == {"cleveland": SiloAccount(NEW, 2.0, paused, 1.0)}
        store.stand("cleveland", Standing(), at=3.0)
        assert store.accounts() == {"cleveland": SiloAccount(NEW, 2.0, Standing(), 3.0)}

    def test_an_unknown_silo_says_nothing(self, store: SiloAccounts) -> None:
        """And nothing is kept of it."""
        with pytest.raises(NotFoundError, match="clevelnad"):
            store.describe("clevelnad", NEW, at=1.0)
        with pytest.raises(NotFoundError, match="clevelnad"):
            store.stand("clevelnad", Standing(paused=True), at=1.0)
        assert store.accounts() == {}
