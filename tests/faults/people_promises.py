"""What is promised of organisations and people while the coordinator dies? A story for each group of their writes.

What was acknowledged is there after the restart, and nothing is there twice. What works once works once, also where the
kill came between the commit and its answer: then whoever asked has to go on as if it had been answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from tests.faults.counting import until
from tests.faults.people_story import Peopled

from septum.client.people import PeopleClient
from septum.coordinator.totp import STEP_S, code_at, from_base32
from septum.errors import (
    AuthError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    NotFoundError,
    SecondFactorError,
    SeptumError,
)
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
from septum.protocol.rights import Grant, Right, Role, organisation

CHOSEN, ANOTHER = "four quite random words", "and four other ones again"
VIEWER, ADMIN = Grant(Role.VIEWER), Grant(Role.FEDERATION_ADMIN)
T = TypeVar("T")


def organising(here: Peopled, people: PeopleClient, number: int) -> None:
    """Organisations and people are there once, with the roles that they were given last."""
    name, first, second = f"person-{number}", f"org-{number}", f"empty-{number}"
    for one in (first, second):
        once(here, partial(people.add_organisation, one), ConflictError)
    once(here, lambda: people.remove_organisation(second), NotFoundError)
    password = invited(here, people, NewPerson(name, "A. B.", first, (VIEWER, ADMIN)))
    assert [one.name for one in here.persist(people.people)].count(name) == 1
    session = signed_in(here, SignIn(name, password, new_password=CHOSEN))
    here.persist(lambda: people.set_grants(name, [Grant(Role.SILO_ADMIN, organisation(first))]))
    assert who(here, session) == (name, [f"silo-admin@{first}"])  # the only other administrator of all goes ..
    assert who(here, here.access.token) == ("operator", ["federation-admin"])  # .. and never the last one
    here.persist(lambda: people.suspend(name))
    until_dead(here)
    refused(here, session)
    with pytest.raises(AuthError):
        sign_in(here, SignIn(name, CHOSEN))
    assert here.persist(lambda: people.restore(name)).status is PersonStatus.ACTIVE
    refused(here, session)  # it has ended for ever
    with pytest.raises(ConflictError):
        here.persist(lambda: people.remove_organisation(first))
    assert second not in {one.name for one in here.persist(people.organisations)}
    assert here.persist(lambda: people.person(name)).grants == (Grant(Role.SILO_ADMIN, organisation(first)),)


def signing_in(here: Peopled, people: PeopleClient, number: int) -> None:
    """A one-time password works once; a session ends when it is ended, and no other one with it, but by a reset."""
    name = f"person-{number}"
    password = invited(here, people, NewPerson(name))
    session = signed_in(here, SignIn(name, password, new_password=CHOSEN))
    with pytest.raises(AuthError):
        sign_in(here, SignIn(name, password, new_password=ANOTHER))
    ended = signed_in(here, SignIn(name, CHOSEN))
    assert who(here, session) == who(here, ended) == (name, [])
    with here.by(ended) as mine:
        once(here, mine.sign_out, AuthError)
    refused(here, ended)
    assert who(here, session) == (name, [])
    again = here.persist(lambda: people.reset(name)).password
    assert here.persist(lambda: people.person(name)).status is PersonStatus.INVITED
    refused(here, session)
    with pytest.raises(AuthError):
        sign_in(here, SignIn(name, CHOSEN))
    session = signed_in(here, SignIn(name, again, new_password=ANOTHER))
    until_dead(here)
    assert who(here, session) == (name, [])


def second_factor(here: Peopled, people: PeopleClient, number: int) -> None:
    """A code works once, and one that was not used is not lost."""
    name = f"person-{number}"
    session = signed_in(here, SignIn(name, invited(here, people, NewPerson(name)), new_password=CHOSEN))
    step, secret, codes = with_second_factor(here, session)
    now, later = (code_at(secret, one * STEP_S) for one in (step, step + 1))
    for code in (now, codes[0]):
        proof = SignIn(name, CHOSEN, code)
        once_in(here, proof, SecondFactorError)
        with pytest.raises(SecondFactorError):
            sign_in(here, proof)
    until_dead(here)
    for code in (later, codes[1]):
        assert who(here, sign_in(here, SignIn(name, CHOSEN, code)).token) == (name, [])
    assert here.persist(lambda: people.person(name)).totp


def with_second_factor(here: Peopled, session: str) -> tuple[int, bytes, list[str]]:
    """Have it asked for, by the code before this moment's: the time step of now, the secret, the recovery codes."""
    with here.by(session) as mine:
        offered = here.persist(mine.offer_totp)
        secret = from_base32(offered.secret)
        while True:
            step = int(time.time()) // STEP_S
            wanted = ConfirmTotp(offered.secret, code_at(secret, (step - 1) * STEP_S), CHOSEN)
            try:
                return step, secret, list(here.persist(partial(mine.confirm_totp, wanted)))
            except ForbiddenError:  # half a minute ended in between: its code is too old
                assert int(time.time()) // STEP_S > step


def tokens(here: Peopled, people: PeopleClient, number: int) -> None:
    """A token that was shown works until it is revoked; one whose answer was lost is listed, and can be revoked."""
    name = f"person-{number}"
    password = invited(here, people, NewPerson(name, grants=(VIEWER,)))
    with here.by(signed_in(here, SignIn(name, password, new_password=CHOSEN))) as mine:
        wanted = NewToken("for a script", rights=(Right.RUN_READ,))
        lost: list[object] = []
        made, kept = (here.persist(noting(lambda: mine.make_token(wanted), lost)) for _ in range(2))
        for one in (made, kept):
            assert who(here, one.token) == (name, ["viewer"])
        listed = {one.id: one for one in here.persist(mine.tokens)}
        assert all(listed[one.about.id].used_at > 0 for one in (made, kept))
        assert 2 <= len(listed) <= 2 + len(lost)
        for one_id in listed.keys() - {kept.about.id}:
            once(here, partial(mine.revoke_token, one_id), NotFoundError)
        refused(here, made.token)
        until_dead(here)
        assert [one.id for one in here.persist(mine.tokens)] == [kept.about.id]
        assert who(here, kept.token) == (name, ["viewer"])
        here.persist(lambda: people.suspend(name))
        refused(here, kept.token)


def provided(here: Peopled, people: PeopleClient, number: int) -> None:
    """Who comes by an identity provider is one person here, and never two; an invitation ties once."""
    name, admitted = f"person-{number}", f"admitted-{number}"
    invitation = Invited(name, invited(here, people, NewPerson(name)))
    here.provider.person = {"sub": admitted, "preferred_username": admitted, "groups": ["researchers"]}
    for _ in range(2):
        assert who(here, here.persist(lambda: by_provider(here, Invited())).token) == (admitted, ["researcher"])
    here.provider.person = {"sub": f"subject of {name}", "preferred_username": "somebody", "groups": []}
    once(here, lambda: by_provider(here, invitation), AuthError)
    with pytest.raises(AuthError):
        here.persist(lambda: by_provider(here, invitation))
    assert who(here, here.persist(lambda: by_provider(here, Invited())).token) == (name, [])
    until_dead(here)
    found = {one.name: one.status for one in here.persist(people.people)}
    assert (found[name], found[admitted]) == (PersonStatus.ACTIVE, PersonStatus.ACTIVE)
    assert "somebody" not in found


def by_provider(here: Peopled, invitation: Invited) -> SessionView:
    """A session by device authorisation, to which the person agrees at once. ConnectionFailedError: begin again."""
    here.provider.agreed.set()
    found: list[SessionView] = []
    with here.by("") as anybody:
        begun = anybody.begin_device(invitation)

        def complete() -> bool:
            told = anybody.ask_device(begun.handle)
            found.extend([] if isinstance(told, WaitView) else [told])
            return bool(found)

        until(complete, "the provider agrees")
    return found[0]


PROMISES: Mapping[str, Callable[[Peopled, PeopleClient, int], None]] = {
    "add an organisation": organising,
    "remove an organisation": organising,
    "add a person": organising,
    "give roles": organising,
    "suspend a person": organising,
    "choose a password": signing_in,
    "reset a person": signing_in,
    "ask for a second factor": second_factor,
    "use a code": second_factor,
    "use a recovery code": second_factor,
    "tie an identity": provided,
    "admit a person": provided,
    "begin a session": signing_in,
    "note that a session was used": signing_in,
    "close a session": signing_in,
    "make a token": tokens,
    "note that a token was used": tokens,
    "revoke a token": tokens,
}


# --- what they share -----------------------------------------------------------------------------------------------


def once(here: Peopled, call: Callable[[], T], done: type[SeptumError]) -> T | None:
    """Its answer; None when `done` is answered, as it is to a repetition of what had been done before its answer."""
    lost: list[object] = []
    try:
        return here.persist(noting(call, lost))
    except done:
        assert lost, "refused, though it was never asked before"
        return None


def noting(call: Callable[[], T], lost: list[object]) -> Callable[[], T]:
    """The same call; each answer that did not come is noted."""

    def told() -> T:
        try:
            return call()
        except ConnectionFailedError as error:
            lost.append(error)
            raise

    return told


def invited(here: Peopled, people: PeopleClient, wanted: NewPerson) -> str:
    """A one-time password of somebody new: by an invitation or, where its answer was lost, by a reset."""
    answered = once(here, lambda: people.invite(wanted), ConflictError)
    return (answered or here.persist(lambda: people.reset(wanted.name))).password


def sign_in(here: Peopled, proof: SignIn) -> SessionView:
    with here.by("") as anybody:
        return here.persist(lambda: anybody.sign_in(proof))


def once_in(here: Peopled, proof: SignIn, done: type[SeptumError]) -> SessionView | None:
    with here.by("") as anybody:
        return once(here, lambda: anybody.sign_in(proof), done)


def signed_in(here: Peopled, proof: SignIn) -> str:
    """A session; where the answer to a one-time password was lost, by the password that was chosen with it."""
    chosen = replace(proof, password=proof.new_password, new_password="")
    return (once_in(here, proof, AuthError) or sign_in(here, chosen)).token


def who(here: Peopled, token: str) -> tuple[str, list[str]]:
    """Whose token this is, and their roles."""
    with here.by(token) as mine:
        found = here.persist(mine.who)
    return found.name, list(map(str, found.grants))


def refused(here: Peopled, token: str) -> None:
    with here.by(token) as mine, pytest.raises(AuthError):
        here.persist(mine.who)


def until_dead(here: Peopled) -> None:
    """What follows is asked after the last restart."""
    until(lambda: not here.outstanding(), f"the story comes by: {here.outstanding()}")
