"""What must every RunKeyStore do? Subclass `RunKeyStoreContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from septum.errors import ConflictError, NotFoundError
from septum.ports.run_keys import SALT_BYTES, RunKeyStore
from septum.ports.store import RunStore, Transition
from septum.protocol.codec import from_json, loads
from septum.protocol.views import RunView
from septum.testing.contracts.samples import ended_run, new_run

Both = tuple[RunStore, RunKeyStore]


class RunKeyStoreContract(ABC):
    """The contract of `ports.run_keys.RunKeyStore`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[Both]:
        """A new, empty store of runs, and of their salts. It may keep its files in `directory`."""

    @pytest.fixture
    def both(self, tmp_path: Path) -> Iterator[Both]:
        """What is under test."""
        with self.make(tmp_path) as both:
            yield both

    def test_each_run_has_a_salt_of_its_own_from_its_beginning_on(self, both: Both) -> None:
        """The same whenever it is asked for, also when the run has changed."""
        runs, keys = both
        for name in ("run-a", "run-b"):
            runs.create(new_run(name), (), at=1.0)
        salts = {name: keys.salt(name) for name in ("run-a", "run-b")}
        assert len(set(salts.values())) == 2
        assert {len(salt or b"") for salt in salts.values()} == {SALT_BYTES}
        runs.commit([Transition(ended_run("run-a"), 1)], at=2.0)
        assert {name: keys.salt(name) for name in salts} == salts

    def test_an_unknown_run_has_none(self, both: Both) -> None:
        """And cannot be shredded."""
        runs, keys = both
        assert keys.salt("run-x") is None
        runs.create(new_run("run-a"), (), at=1.0)
        with pytest.raises(NotFoundError, match="run-x"):
            keys.shred("run-x", by="ada", at=1.0)

    def test_a_shredded_run_has_none_for_good_and_says_who_did_it_and_when(self, both: Both) -> None:
        """The others keep theirs; what else is known of the run stays."""
        runs, keys = both
        for name in ("run-a", "run-b"):
            runs.create(ended_run(name), (), at=1.0)
        kept = keys.salt("run-b")
        keys.shred("run-a", by="ada", at=60.0)
        with pytest.raises(NotFoundError, match="run-a was shredded by ada at 1970-01-01T00:01:00"):
            keys.salt("run-a")
        assert keys.salt("run-b") == kept
        stored = runs.get("run-a")
        assert (stored.run, stored.shredded_at, stored.shredded_by) == (ended_run("run-a"), 60.0, "ada")
        assert (runs.get("run-b").shredded_at, runs.get("run-b").shredded_by) == (None, "")

    def test_lists_show_it(self, both: Both) -> None:
        """What was kept for them before is made again."""
        runs, keys = both
        for name in ("run-a", "run-b"):
            runs.create(new_run(name), (), at=1.0)
            runs.commit([Transition(ended_run(name), 1)], at=2.0)
        keys.shred("run-a", by="ada", at=60.0)
        views = [from_json(RunView, loads(one.view)) for one in runs.listed(limit=9)]
        assert {view.id: (view.shredded_at, view.shredded_by) for view in views} == {
            "run-a": (60.0, "ada"),
            "run-b": (None, ""),
        }

    def test_a_run_that_has_not_ended_is_not_shredded(self, both: Both) -> None:
        """It needs what it has."""
        runs, keys = both
        runs.create(new_run("run-a"), (), at=1.0)
        salt = keys.salt("run-a")
        with pytest.raises(ConflictError, match="run-a has not ended"):
            keys.shred("run-a", by="ada", at=2.0)
        assert keys.salt("run-a") == salt
        assert (runs.get("run-a").shredded_at, list(keys.with_files())) == (None, [])

    def test_shredding_again_changes_nothing(self, both: Both) -> None:
        """Whoever did it first did it."""
        runs, keys = both
        runs.create(ended_run("run-a"), (), at=1.0)
        keys.shred("run-a", by="ada", at=2.0)
        keys.files_gone("run-a")
        keys.shred("run-a", by="bob", at=3.0)
        assert (runs.get("run-a").shredded_at, runs.get("run-a").shredded_by) == (2.0, "ada")
        assert list(keys.with_files()) == []

    def test_it_is_known_whose_files_may_be_left(self, both: Both) -> None:
        """Until it is said that they are gone."""
        runs, keys = both
        for name in ("run-a", "run-b", "run-c"):
            runs.create(ended_run(name), (), at=1.0)
        assert list(keys.with_files()) == []
        keys.shred("run-b", by="ada", at=2.0)
        keys.shred("run-a", by="ada", at=2.0)
        assert list(keys.with_files()) == ["run-a", "run-b"]
        keys.files_gone("run-a")
        assert list(keys.with_files()) == ["run-b"]
