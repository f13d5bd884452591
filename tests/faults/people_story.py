"""What do people do while the coordinator dies again and again? One story, in which each of their writes is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import pytest
from tests.coordinator.oidc_provider import OidcProvider

from septum.client import Access, Client
from septum.client.people import PeopleClient
from septum.coordinator import totp
from septum.errors import AuthError, ConflictError, NotFoundError, SecondFactorError, SeptumError
from septum.protocol.people_views import (
    ConfirmTotp,
    Invited,
    NewPerson,
    NewToken,
    PersonStatus,
    SessionView,
    SignIn,
    WaitView,
)
from septum.protocol.project_views import NewProject
from septum.protocol.rights import Grant, Role

PASSWORD = "a long enough password"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Peopled:
    """A coordinator that dies, its operator's access, and how to ask until it answers."""

    access: Access
    persist: Callable[[Callable[[], T]], T]
    provider: OidcProvider

    @contextmanager
    def by(self, token: str) -> Iterator[PeopleClient]:
        with closing(Client(replace(self.access, token=token))) as client:
            yield client.people

    def tried(self, call: Callable[[], T], done: type[SeptumError]) -> None:
        """Ask until it answers; `done` says that an answer was lost."""
        with suppress(done):
            self.persist(call)


def live_among_people(here: Peopled, number: int) -> None:
    """Everything that is changed about people, and that it is there once, as it was asked for."""
    org, empty, name = f"org-{number}", f"empty-{number}", f"person-{number}"
    with here.by(here.access.token) as people:
        for one in (org, empty):
            here.tried(partial(people.add_organisation, one), ConflictError)
        here.tried(lambda: people.remove_organisation(empty), NotFoundError)
        here.tried(lambda: people.invite(NewPerson(name, organisation=org)), ConflictError)
        once = here.persist(lambda: people.reset(name)).password
        with here.by(_first(here, people, name, once).token) as mine:
            assert here.persist(mine.who).name == name
            here.persist(lambda: people.set_grants(name, [Grant(Role.VIEWER)]))
            _second_factor(here, people, mine, name)
            _tokens(here, mine)
            once = here.persist(lambda: people.reset(name)).password
            with pytest.raises(AuthError):
                here.persist(mine.who)
        here.provider.person = {"sub": name, "preferred_username": "another"}
        with here.by(_by_provider(here, people, Invited(name, once)).token) as mine:
            assert here.persist(mine.who).name == name
            here.persist(lambda: people.suspend(name))
            with pytest.raises(AuthError):
                here.persist(mine.who)
        found = here.persist(lambda: people.person(name))
        assert (found.status, found.organisation, found.totp) == (PersonStatus.SUSPENDED, org, False)
        assert found.grants == (Grant(Role.VIEWER),)
        known = {one.name for one in here.persist(people.organisations)}
        assert (org in known, empty in known) == (True, False)


def live_in_projects(here: Peopled, number: int) -> None:
    """A group and a project come, change and end, each once."""
    group, spare, name, silo = f"group-{number}", f"spare-{number}", f"project-{number}", f"silo-{number}"
    with closing(Client(here.access)) as client:
        here.persist(lambda: client.invite(silo))
        for one in (group, spare):
            here.tried(partial(client.groups.add, one), ConflictError)
        assert here.persist(lambda: client.groups.put(spare, silo)).silos == (silo,)
        assert here.persist(lambda: client.groups.put(group, silo)).silos == (silo,)
        assert here.persist(lambda: client.groups.drop(group, silo)).silos == ()
        here.tried(lambda: client.groups.remove(spare), NotFoundError)
        here.tried(lambda: client.projects.add(NewProject(name, group)), ConflictError)
        assert here.persist(lambda: client.projects.close(name)).closed
        assert [one.name for one in here.persist(client.groups.all) if one.name in (group, spare)] == [group]
        assert here.persist(lambda: client.projects.get(name)).group == group


def _first(here: Peopled, people: PeopleClient, name: str, once: str) -> SessionView:
    """A password in place of the one-time one, which may have been taken already when an answer was lost."""
    try:
        return here.persist(lambda: people.sign_in(SignIn(name, once, new_password=PASSWORD)))
    except AuthError:
        return here.persist(lambda: people.sign_in(SignIn(name, PASSWORD)))


def _second_factor(here: Peopled, people: PeopleClient, mine: PeopleClient, name: str) -> None:
    offered = here.persist(mine.offer_totp).secret
    secret = totp.from_base32(offered)

    def code(ahead_s: float) -> str:
        return totp.code_at(secret, time.time() + ahead_s)

    codes = list(here.persist(lambda: mine.confirm_totp(ConfirmTotp(offered, code(0), PASSWORD))))
    here.tried(lambda: people.sign_in(SignIn(name, PASSWORD, code(30))), SecondFactorError)
    while True:  # a code is used up although its answer was lost
        try:
            session = here.persist(partial(people.sign_in, SignIn(name, PASSWORD, codes.pop())))
            break
        except SecondFactorError:
            assert len(codes) > 6
    with here.by(session.token) as other:
        here.tried(other.sign_out, AuthError)
        with pytest.raises(AuthError):
            here.persist(other.who)


def _tokens(here: Peopled, mine: PeopleClient) -> None:
    made = here.persist(lambda: mine.make_token(NewToken("for a program")))
    with here.by(made.token) as program:
        assert here.persist(program.who).via == "token"
        here.tried(lambda: mine.revoke_token(made.about.id), NotFoundError)
        with pytest.raises(AuthError):
            here.persist(program.who)


def _by_provider(here: Peopled, people: PeopleClient, invited: Invited) -> SessionView:
    """What has begun is forgotten with the coordinator's death, and the invitation may be used up."""
    here.provider.agreed.set()
    for one in (invited, invited, invited, Invited(), Invited()):
        try:
            begun = here.persist(partial(people.begin_device, one))
            while isinstance(told := here.persist(partial(people.ask_device, begun.handle)), WaitView):
                threading.Event().wait(told.wait_s)
        except AuthError:
            continue
        return told
    raise AssertionError("the identity provider's person does not come in")
