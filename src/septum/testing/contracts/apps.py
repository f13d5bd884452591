"""What must every AppRegistry do? Subclass `AppsContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from septum.errors import ConflictError, NotFoundError
from septum.ports.apps import AppRecord, AppRegistry

HEART = AppRecord("sha256:" + "1" * 64, "heart", "1.0.0", "blake3:" + "2" * 64, 1000, 5.0, "[]")


class AppsContract(ABC):
    """The contract of `ports.apps.AppRegistry`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[AppRegistry]:
        """A new, empty registry. It may keep its files in `directory`; what it needs is closed on exit."""

    @pytest.fixture
    def apps(self, tmp_path: Path) -> Iterator[AppRegistry]:
        """The registry under test."""
        with self.make(tmp_path) as apps:
            yield apps

    def test_a_package_that_was_added_is_known(self, apps: AppRegistry) -> None:
        """By its digest, and among all."""
        assert apps.add(HEART) == HEART
        assert apps.get(HEART.digest) == HEART
        assert list(apps.all()) == [HEART]

    def test_a_second_push_replaces_the_signatures_alone(self, apps: AppRegistry) -> None:
        """More signers may follow; when it came first stays."""
        apps.add(HEART)
        signed = apps.add(replace(HEART, signatures="[1]", pushed_at=9.0))
        assert signed == replace(HEART, signatures="[1]") == apps.get(HEART.digest)

    def test_a_version_belongs_to_one_digest(self, apps: AppRegistry) -> None:
        """Whoever approved a version means these bytes."""
        apps.add(HEART)
        other = replace(HEART, digest="sha256:" + "3" * 64)
        with pytest.raises(ConflictError, match=r"heart 1\.0\.0 has been pushed already, as sha256:111"):
            apps.add(other)
        assert list(apps.all()) == [HEART]
        newer = replace(other, version="1.0.1", pushed_at=6.0)
        apps.add(newer)
        assert list(apps.all()) == [newer, HEART]

    def test_presets_are_kept_by_package_and_name(self, apps: AppRegistry) -> None:
        """Of one name the newest counts; another package has its own; types stay."""
        other = replace(HEART, digest="sha256:" + "3" * 64, name="lung")
        for record in (HEART, other):
            apps.add(record)
        apps.set_preset(HEART.digest, "quick", {"rounds": 2, "lr": 0.5, "fast": True, "note": "é"})
        apps.set_preset(HEART.digest, "quick", {"rounds": 3, "lr": 1.0})
        kept = apps.set_preset(HEART.digest, "long", {"rounds": 90})
        assert kept.presets == {"long": {"rounds": 90}, "quick": {"rounds": 3, "lr": 1.0}}
        assert type(kept.presets["quick"]["lr"]) is float
        assert apps.get(HEART.digest) == kept
        assert list(apps.all()) == [kept, other]
        assert apps.drop_preset(HEART.digest, "quick").presets == {"long": {"rounds": 90}}
        assert apps.get(HEART.digest).presets == {"long": {"rounds": 90}}

    def test_a_push_changes_no_preset(self, apps: AppRegistry) -> None:
        """They are given beside the package, by others, at another time."""
        assert apps.add(replace(HEART, presets={"mine": {"lr": 1.0}})).presets == {}
        apps.set_preset(HEART.digest, "quick", {"rounds": 2})
        assert apps.add(replace(HEART, signatures="[1]")).presets == {"quick": {"rounds": 2}}

    def test_a_preset_of_nothing_and_no_preset_are_named(self, apps: AppRegistry) -> None:
        """With those that are close."""
        with pytest.raises(NotFoundError, match="no app 'sha256:111"):
            apps.set_preset(HEART.digest, "quick", {"rounds": 2})
        apps.add(HEART)
        with pytest.raises(NotFoundError, match=r"heart 1\.0\.0 was given no preset 'quick'; it was given none"):
            apps.drop_preset(HEART.digest, "quick")
        apps.set_preset(HEART.digest, "quick", {"rounds": 2})
        with pytest.raises(NotFoundError, match="did you mean 'quick'"):
            apps.drop_preset(HEART.digest, "quik")

    def test_what_was_removed_is_forgotten_with_its_presets(self, apps: AppRegistry) -> None:
        """Removing it again changes nothing."""
        other = replace(HEART, digest="sha256:" + "3" * 64, name="lung")
        for record in (HEART, other):
            apps.add(record)
            apps.set_preset(record.digest, "quick", {"rounds": 2})
        for _ in range(2):
            apps.remove(HEART.digest)
            assert [one.name for one in apps.all()] == ["lung"]
            assert apps.get(other.digest).presets == {"quick": {"rounds": 2}}
        with pytest.raises(NotFoundError):
            apps.get(HEART.digest)

    def test_what_was_removed_keeps_its_version_and_may_come_back(self, apps: AppRegistry) -> None:
        """Whoever approved a version means these bytes, for good."""
        apps.add(HEART)
        apps.set_preset(HEART.digest, "quick", {"rounds": 2})
        apps.remove(HEART.digest)
        other = replace(HEART, digest="sha256:" + "3" * 64)
        with pytest.raises(ConflictError, match=r"heart 1\.0\.0 has been pushed already and removed, as sha256:111"):
            apps.add(other)
        again = replace(HEART, pushed_at=9.0)
        assert apps.add(again) == again
        assert list(apps.all()) == [again]
        with pytest.raises(ConflictError, match=r"heart 1\.0\.0 has been pushed already, as sha256:111"):
            apps.add(other)
        apps.remove(HEART.digest)
        assert list(apps.all()) == []

    def test_one_that_is_not_there_is_named(self, apps: AppRegistry) -> None:
        """With those that are close."""
        apps.add(HEART)
        with pytest.raises(NotFoundError, match="no app 'sha256:111"):
            apps.get(HEART.digest[:-1] + "2")
