"""What must every SiloRegistry do? Subclass `RegistryContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from septum.errors import AuthError, ConflictError, NotFoundError
from septum.ports.registry import SiloRecord, SiloRegistry

TOKEN, OTHER = sha256(b"token").digest(), sha256(b"other").digest()
KEY, OTHER_KEY = bytes(range(32)), bytes(32)


class RegistryContract(ABC):
    """The contract of `ports.registry.SiloRegistry`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[SiloRegistry]:
        """A new, empty registry, where the organisation `st-marys` is known.

        It may keep its files in `directory`; what it needs is closed on exit.
        """

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Iterator[SiloRegistry]:
        """The registry under test."""
        with self.make(tmp_path) as registry:
            yield registry

    def test_an_invited_silo_is_known_without_a_key(self, registry: SiloRegistry) -> None:
        """It may not speak yet."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        assert registry.get("cleveland") == SiloRecord("cleveland", b"", 0.0, 0.0)

    def test_an_invited_silo_enrols_with_its_token(self, registry: SiloRegistry) -> None:
        """Its key is known from then on."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        enrolled = registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        assert enrolled == SiloRecord("cleveland", KEY, 5.0, 0.0)
        assert registry.get("cleveland") == enrolled

    def test_a_wrong_token_is_refused_and_burns_nothing(self, registry: SiloRegistry) -> None:
        """The right one still works."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        with pytest.raises(AuthError, match="cleveland"):
            registry.enroll("cleveland", OTHER, KEY, at=5.0)
        assert registry.enroll("cleveland", TOKEN, KEY, at=6.0).public_key == KEY

    def test_a_token_is_bound_to_one_name(self, registry: SiloRegistry) -> None:
        """Whether the other name is invited or not."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.invite("hungary", OTHER, expires_at=100.0)
        for silo in ("hungary", "nobody"):
            with pytest.raises(AuthError):
                registry.enroll(silo, TOKEN, KEY, at=5.0)

    def test_an_expired_token_is_refused(self, registry: SiloRegistry) -> None:
        """From the very second of its expiry."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        with pytest.raises(AuthError, match="expired"):
            registry.enroll("cleveland", TOKEN, KEY, at=100.0)
        assert registry.get("cleveland").public_key == b""

    def test_a_token_works_once(self, registry: SiloRegistry) -> None:
        """A second key cannot use it."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        with pytest.raises(AuthError, match="used"):
            registry.enroll("cleveland", TOKEN, OTHER_KEY, at=6.0)
        assert registry.get("cleveland").public_key == KEY

    def test_an_enrolled_silo_is_invited_again_only_to_bring_another_key(self, registry: SiloRegistry) -> None:
        """Its own counts until the other one has come."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        with pytest.raises(ConflictError, match="already enrolled"):
            registry.invite("cleveland", OTHER, expires_at=100.0)
        registry.invite("cleveland", OTHER, expires_at=100.0, renew=True)
        assert registry.get("cleveland").public_key == KEY
        renewed = registry.enroll("cleveland", OTHER, OTHER_KEY, at=6.0)
        assert renewed == registry.get("cleveland") == SiloRecord("cleveland", OTHER_KEY, 6.0, 0.0)

    def test_a_repeated_enrolment_gets_the_same_answer(self, registry: SiloRegistry) -> None:
        """Its answer was lost; even after the invitation's time."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        first = registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        assert registry.enroll("cleveland", TOKEN, KEY, at=500.0) == first

    def test_of_concurrent_enrolments_with_one_token_exactly_one_succeeds(self, registry: SiloRegistry) -> None:
        """Each thread comes with a key of its own."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)

        def attempt(number: int) -> bool:
            try:
                registry.enroll("cleveland", TOKEN, bytes([number]) * 32, at=5.0)
            except AuthError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(1, 9)))
        assert sum(won) == 1
        assert registry.get("cleveland").public_key == bytes([won.index(True) + 1]) * 32

    def test_a_newer_invitation_replaces_an_older_one(self, registry: SiloRegistry) -> None:
        """The older token is void."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.invite("cleveland", OTHER, expires_at=100.0)
        with pytest.raises(AuthError):
            registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        assert registry.enroll("cleveland", OTHER, KEY, at=6.0).enrolled_at == 6.0

    def test_an_enrolled_silo_cannot_be_invited(self, registry: SiloRegistry) -> None:
        """Its key could be replaced by whoever holds the new token."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        with pytest.raises(ConflictError, match="cleveland"):
            registry.invite("cleveland", OTHER, expires_at=100.0)
        with pytest.raises(AuthError):
            registry.enroll("cleveland", OTHER, OTHER_KEY, at=6.0)

    def test_a_revoked_silo_stays_revoked_whatever_it_repeats(self, registry: SiloRegistry) -> None:
        """Its burned token does not bring it back."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        registry.revoke("cleveland")
        with pytest.raises(AuthError):
            registry.enroll("cleveland", TOKEN, KEY, at=6.0)
        assert registry.get("cleveland").revoked

    def test_revoking_voids_an_open_invitation(self, registry: SiloRegistry) -> None:
        """The silo never was there, and does not come."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.revoke("cleveland")
        with pytest.raises(AuthError):
            registry.enroll("cleveland", TOKEN, KEY, at=5.0)

    def test_a_revoked_silo_comes_back_by_a_new_invitation_only_once_it_enrols(self, registry: SiloRegistry) -> None:
        """Until then the old key stays refused."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        registry.enroll("cleveland", TOKEN, KEY, at=5.0)
        registry.revoke("cleveland")
        registry.invite("cleveland", OTHER, expires_at=100.0)
        assert registry.get("cleveland").revoked
        assert registry.enroll("cleveland", OTHER, OTHER_KEY, at=7.0) == SiloRecord("cleveland", OTHER_KEY, 7.0, 0.0)

    def test_a_silo_belongs_to_the_organisation_that_it_was_invited_for(self, registry: SiloRegistry) -> None:
        """From the invitation on; without one named it is the first organisation's."""
        registry.invite("basel", TOKEN, expires_at=100.0, organisation="st-marys")
        registry.invite("chur", TOKEN, expires_at=100.0)
        registry.enroll("basel", TOKEN, KEY, at=5.0)
        assert [silo.organisation for silo in registry.all()] == ["st-marys", "default"]
        assert registry.get("basel") == SiloRecord("basel", KEY, 5.0, 0.0, organisation="st-marys")

    def test_no_other_organisation_can_invite_a_silo_of_that_name(self, registry: SiloRegistry) -> None:
        """Not even once it was revoked; and the open invitation stays."""
        registry.invite("basel", TOKEN, expires_at=100.0, organisation="st-marys")
        with pytest.raises(ConflictError, match="another organisation"):
            registry.invite("basel", OTHER, expires_at=100.0)
        assert registry.enroll("basel", TOKEN, KEY, at=5.0).organisation == "st-marys"
        registry.revoke("basel")
        with pytest.raises(ConflictError, match="another organisation"):
            registry.invite("basel", OTHER, expires_at=100.0)

    def test_all_silos_are_listed_by_name(self, registry: SiloRegistry) -> None:
        """Invited, enrolled and revoked ones."""
        for silo in ("zurich", "basel", "chur"):
            registry.invite(silo, TOKEN, expires_at=100.0)
        registry.enroll("zurich", TOKEN, KEY, at=5.0)
        registry.revoke("chur")
        assert [(silo.name, silo.public_key, silo.revoked) for silo in registry.all()] == [
            ("basel", b"", False),
            ("chur", b"", True),
            ("zurich", KEY, False),
        ]

    def test_an_unknown_silo_is_not_found(self, registry: SiloRegistry) -> None:
        """And close names are given."""
        registry.invite("cleveland", TOKEN, expires_at=100.0)
        for ask in (registry.get, registry.revoke):
            with pytest.raises(NotFoundError, match="'clevelnd'; close to it: cleveland"):
                ask("clevelnd")

    def test_seen_is_remembered_and_never_goes_back(self, registry: SiloRegistry) -> None:
        """Unknown names are ignored."""
        registry.invite("basel", TOKEN, expires_at=100.0)
        registry.invite("chur", TOKEN, expires_at=100.0)
        registry.seen(["basel", "nobody"], at=50.0)
        registry.seen(["basel"], at=40.0)
        assert [(silo.name, silo.seen_at) for silo in registry.all()] == [("basel", 50.0), ("chur", 0.0)]
        registry.seen(["basel"], at=60.0)
        assert registry.get("basel").seen_at == 60.0
