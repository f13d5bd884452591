"""What must the stores of people, credentials and sessions do? Subclass `PeopleContract`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from septum.errors import ConflictError, NotFoundError
from septum.ports.credentials import Credentials, CredentialStore
from septum.ports.people import Organisation, PeopleStore, Person
from septum.ports.sessions import ApiToken, Session, SessionStore
from septum.protocol.rights import Grant, Right, Role, organisation

ONCE, OTHER, SECRET = sha256(b"once").digest(), sha256(b"other").digest(), sha256(b"secret").digest()
ST_MARYS = Organisation("st-marys", "St Mary's", 1.0)
ADA = Person("ada", "Ada L.", "st-marys", 2.0, grants=(Grant(Role.VIEWER, organisation("st-marys")),))
VIEWER = Grant(Role.VIEWER)


@dataclass(frozen=True, slots=True)
class PeopleStores:
    """The three stores over one database."""

    people: PeopleStore
    credentials: CredentialStore
    sessions: SessionStore


def session(at: float, *, expires_at: float = 1000.0) -> Session:
    """A session of Ada's."""
    return Session("ada", at, at, expires_at)


def token(name: str, *, at: float = 5.0, expires_at: float = 1000.0) -> ApiToken:
    """A token of Ada's."""
    return ApiToken(name, "ada", "for a script", frozenset({Right.RUN_READ, Right.MODEL_READ}), at, expires_at)


class PeopleContract(ABC):
    """The contracts of `ports.people`, `ports.credentials` and `ports.sessions`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[PeopleStores]:
        """New, empty stores. They may keep their files in `directory`; what they need is closed on exit."""

    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[PeopleStores]:
        """The stores under test, with one organisation and one invited person."""
        with self.make(tmp_path) as stores:
            stores.people.add_organisation(ST_MARYS)
            stores.people.add(ADA, ONCE, until=100.0)
            yield stores

    def test_the_first_organisation_is_there_from_the_beginning(self, stores: PeopleStores) -> None:
        """Listed by name, and it cannot be removed."""
        assert [one.name for one in stores.people.organisations()] == ["default", "st-marys"]
        with pytest.raises(ConflictError, match="first organisation"):
            stores.people.remove_organisation("default")

    def test_a_name_of_an_organisation_is_given_once(self, stores: PeopleStores) -> None:
        """The title stays as it was."""
        with pytest.raises(ConflictError, match="st-marys"):
            stores.people.add_organisation(Organisation("st-marys", "Another", 9.0))
        assert stores.people.organisations()[1] == ST_MARYS

    def test_an_organisation_with_people_or_roles_over_it_stays(self, stores: PeopleStores) -> None:
        """One without either goes."""
        with pytest.raises(ConflictError, match="people and roles over it"):
            stores.people.remove_organisation("st-marys")
        stores.people.add_organisation(Organisation("empty", "Empty", 1.0))
        stores.people.remove_organisation("empty")
        with pytest.raises(NotFoundError, match="empty"):
            stores.people.remove_organisation("empty")

    def test_an_invited_person_is_known_and_has_proven_nothing(self, stores: PeopleStores) -> None:
        """What they may prove themselves by is the one-time password."""
        assert stores.people.person("ada") == ADA
        assert stores.people.people() == [ADA]
        assert stores.credentials.credentials("ada") == Credentials(
            "ada", one_time_hash=ONCE, until=100.0, organisation="st-marys"
        )
        assert stores.credentials.credentials("nobody") is None

    def test_a_persons_name_is_given_once_and_needs_an_organisation(self, stores: PeopleStores) -> None:
        """Nothing is changed by what is refused."""
        with pytest.raises(ConflictError, match="ada"):
            stores.people.add(Person("ada", "Another Ada"), OTHER, until=100.0)
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.people.add(Person("bob", organisation="nowhere"), OTHER, until=100.0)
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.people.add(Person("bob", grants=(Grant(Role.VIEWER, organisation("nowhere")),)), OTHER, until=1.0)
        assert [one.name for one in stores.people.people()] == ["ada"]

    def test_an_unknown_person_is_not_found(self, stores: PeopleStores) -> None:
        """By whatever is asked of them."""
        people, credentials, sessions = stores.people, stores.credentials, stores.sessions
        asked = (
            lambda: people.person("nobody"),
            lambda: people.set_grants("nobody", ()),
            lambda: people.suspend("nobody", suspended=True),
            lambda: credentials.choose_password("nobody", "hash"),
            lambda: credentials.reset("nobody", ONCE, until=1.0),
            lambda: credentials.set_totp("nobody", b"s", 1, ()),
            lambda: credentials.know_as("nobody", "https://idp", "1"),
            lambda: sessions.open(SECRET, Session("nobody", 1.0, 1.0, 2.0), most=1),
        )
        for ask in asked:
            with pytest.raises(NotFoundError, match="nobody"):
                ask()

    def test_roles_are_replaced_as_a_whole(self, stores: PeopleStores) -> None:
        """Each once, in an order of the store's own; an unknown organisation changes nothing."""
        changed = stores.people.set_grants("ada", (VIEWER, Grant(Role.RESEARCHER), VIEWER))
        assert set(changed.grants) == {VIEWER, Grant(Role.RESEARCHER)}
        assert len(changed.grants) == 2
        with pytest.raises(NotFoundError, match="nowhere"):
            stores.people.set_grants("ada", (Grant(Role.VIEWER, organisation("nowhere")),))
        assert stores.people.person("ada") == changed

    def test_a_chosen_password_voids_the_one_time_password(self, stores: PeopleStores) -> None:
        """It works once."""
        assert stores.credentials.choose_password("ada", "phc", one_time_hash=ONCE)
        assert stores.credentials.credentials("ada") == Credentials(
            "ada",
            password_hash="phc",  # noqa: S106
            organisation="st-marys",
        )
        assert not stores.credentials.choose_password("ada", "another", one_time_hash=ONCE)
        assert stores.people.person("ada").proven

    def test_of_concurrent_uses_of_a_one_time_password_exactly_one_succeeds(self, stores: PeopleStores) -> None:
        """And its password is the one that is kept."""

        def attempt(number: int) -> bool:
            return stores.credentials.choose_password("ada", f"phc-{number}", one_time_hash=ONCE)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(8)))
        assert sum(won) == 1
        kept = stores.credentials.credentials("ada")
        assert kept is not None
        assert kept.password_hash == f"phc-{won.index(True)}"

    def test_a_reset_forgets_everything_that_was_proven(self, stores: PeopleStores) -> None:
        """Password, second factor, recovery codes, identities, sessions and tokens."""
        stores.credentials.choose_password("ada", "phc")
        stores.credentials.set_totp("ada", b"secret", 7, [OTHER])
        stores.credentials.know_as("ada", "https://idp", "1")
        stores.sessions.open(SECRET, session(5.0), most=9)
        stores.sessions.add_token(OTHER, token("t1"), most=9)
        stores.credentials.reset("ada", OTHER, until=200.0)
        assert stores.credentials.credentials("ada") == Credentials(
            "ada", one_time_hash=OTHER, until=200.0, organisation="st-marys"
        )
        assert not stores.credentials.use_recovery("ada", OTHER)
        assert stores.credentials.known_as("https://idp", "1") == ""
        assert stores.sessions.session(SECRET) is None
        assert stores.sessions.token(OTHER) is None
        assert stores.people.person("ada") == ADA

    def test_a_time_step_is_used_once_and_none_before_it_afterwards(self, stores: PeopleStores) -> None:
        """Of concurrent uses exactly one succeeds."""
        stores.credentials.set_totp("ada", b"secret", 7, ())
        assert stores.people.person("ada").totp
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: stores.credentials.use_step("ada", 9), range(4))) == 1
        assert not stores.credentials.use_step("ada", 8)
        assert stores.credentials.use_step("ada", 10)

    def test_a_recovery_code_works_once(self, stores: PeopleStores) -> None:
        """New ones replace those before them."""
        stores.credentials.set_totp("ada", b"secret", 7, [ONCE, OTHER])
        assert stores.credentials.use_recovery("ada", ONCE)
        assert not stores.credentials.use_recovery("ada", ONCE)
        stores.credentials.set_totp("ada", b"another", 7, [SECRET])
        assert not stores.credentials.use_recovery("ada", OTHER)
        stores.credentials.set_totp("ada", b"", 0, ())
        assert not stores.credentials.use_recovery("ada", SECRET)
        assert not stores.people.person("ada").totp

    def test_an_identity_belongs_to_one_person(self, stores: PeopleStores) -> None:
        """Issuer and subject together; and whoever has one is proven, and needs no one-time password."""
        stores.people.add(Person("bob"), OTHER, until=100.0)
        stores.credentials.know_as("ada", "https://idp", "1")
        with pytest.raises(ConflictError, match="ada"):
            stores.credentials.know_as("bob", "https://idp", "1")
        stores.credentials.know_as("bob", "https://other", "1")
        assert stores.credentials.known_as("https://idp", "1") == "ada"
        assert stores.credentials.known_as("https://other", "1") == "bob"
        assert stores.credentials.known_as("https://idp", "2") == ""
        assert stores.people.person("ada").proven
        assert stores.credentials.credentials("ada") == Credentials("ada", organisation="st-marys")

    def test_who_is_admitted_is_known_and_tied_or_neither(self, stores: PeopleStores) -> None:
        """A name and an identity are each one person's; what is refused leaves nothing."""
        bob = Person("bob", "Bob", "st-marys", 3.0, proven=True, grants=(VIEWER,))
        stores.credentials.admit(bob, "https://idp", "1")
        assert stores.people.person("bob") == bob
        assert stores.credentials.known_as("https://idp", "1") == "bob"
        assert stores.credentials.credentials("bob") == Credentials("bob", organisation=bob.organisation)
        with pytest.raises(ConflictError, match="ada"):
            stores.credentials.admit(Person("ada"), "https://idp", "2")
        assert stores.credentials.known_as("https://idp", "2") == ""
        with pytest.raises(ConflictError, match="bob"):
            stores.credentials.admit(Person("eve"), "https://idp", "1")
        with pytest.raises(NotFoundError):
            stores.credentials.admit(Person("eve", organisation="nowhere"), "https://idp", "3")
        assert [one.name for one in stores.people.people()] == ["ada", "bob"]

    def test_a_session_is_found_with_its_person_as_they_are_now(self, stores: PeopleStores) -> None:
        """Until it is closed."""
        stores.sessions.open(SECRET, session(5.0), most=9)
        stores.people.set_grants("ada", (VIEWER,))
        stores.sessions.touch(SECRET, at=8.0)
        stores.sessions.touch(SECRET, at=7.0)
        found = stores.sessions.session(SECRET)
        assert found == (Session("ada", 5.0, 8.0, 1000.0), stores.people.person("ada"))
        stores.sessions.close(SECRET)
        stores.sessions.close(SECRET)
        assert stores.sessions.session(SECRET) is None
        assert stores.sessions.session(OTHER) is None

    def test_unused_and_expired_sessions_end_when_one_is_opened(self, stores: PeopleStores) -> None:
        """Of one person the one that was not used for longest, of everybody the expired."""
        hashes = [sha256(bytes([number])).digest() for number in range(4)]
        for number, secret in enumerate(hashes[:3]):
            stores.sessions.open(secret, session(float(number)), most=3)
        stores.sessions.touch(hashes[0], at=2.5)  # the oldest is in use
        stores.sessions.open(hashes[3], session(3.0), most=3)
        assert [stores.sessions.session(secret) is None for secret in hashes] == [False, True, False, False]
        stores.sessions.open(SECRET, session(1000.0, expires_at=2000.0), most=3)
        assert all(stores.sessions.session(secret) is None for secret in hashes)

    def test_sessions_and_tokens_end_with_a_new_password_and_with_a_suspension(self, stores: PeopleStores) -> None:
        """And a suspended person's are not found even if one is opened."""
        for end in (
            lambda: stores.credentials.choose_password("ada", "phc"),
            lambda: stores.people.suspend("ada", suspended=True),
        ):
            stores.sessions.open(SECRET, session(5.0), most=9)
            stores.sessions.add_token(OTHER, token("t1"), most=9)
            end()
            assert stores.sessions.session(SECRET) is None
            assert stores.sessions.token(OTHER) is None
        stores.sessions.open(SECRET, session(5.0), most=9)
        assert stores.sessions.session(SECRET) is None
        assert not stores.people.suspend("ada", suspended=False).suspended
        assert stores.sessions.session(SECRET) is not None

    def test_a_token_is_found_with_its_rights_until_it_is_revoked(self, stores: PeopleStores) -> None:
        """By its own person alone."""
        stores.sessions.add_token(SECRET, token("t1"), most=9)
        stores.sessions.add_token(OTHER, token("t2", at=6.0), most=9)
        assert stores.sessions.token(SECRET) == (token("t1"), ADA)
        assert [one.id for one in stores.sessions.tokens("ada")] == ["t2", "t1"]
        stores.sessions.touch_token("t1", at=8.0)
        assert stores.sessions.tokens("ada")[1].used_at == 8.0
        with pytest.raises(NotFoundError, match="t1"):
            stores.sessions.revoke_token("bob", "t1")
        stores.sessions.revoke_token("ada", "t1")
        assert stores.sessions.token(SECRET) is None
        assert [one.id for one in stores.sessions.tokens("ada")] == ["t2"]

    def test_a_person_has_so_many_tokens_at_most_and_expired_ones_do_not_count(self, stores: PeopleStores) -> None:
        """They are forgotten."""
        stores.sessions.add_token(SECRET, token("t1", expires_at=50.0), most=1)
        with pytest.raises(ConflictError, match="1 tokens"):
            stores.sessions.add_token(OTHER, token("t2"), most=1)
        stores.sessions.add_token(OTHER, token("t2", at=50.0), most=1)
        assert [one.id for one in stores.sessions.tokens("ada")] == ["t2"]
