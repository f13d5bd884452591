"""Who belongs to the federation? Organisations and people, as those may see and change them who ask."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlencode

from septum.coordinator.caller import Caller
from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.coordinator.login import secret_hash
from septum.errors import ForbiddenError, NotFoundError
from septum.ports.clock import Clock
from septum.ports.people import Organisation, PeopleStore, Person, check_person_name, check_title
from septum.protocol.feed import Change, Kind
from septum.protocol.people_views import (
    InvitationView,
    NewOrganisation,
    NewPerson,
    OrganisationView,
    PersonStatus,
    PersonView,
)
from septum.protocol.rights import Grant, Right, check_name, organisation

log = logging.getLogger("septum.coordinator.people")

INVITATION_S = 3 * 24 * 3600.0


class People:
    """Organisations and people. Each method is told who asks, and does no more than they may.

    `url` and `ca_digest` go into the links by which people come in.
    """

    def __init__(
        self,
        store: PeopleStore,
        resets: Resets,
        performer: Performer,
        clock: Clock,
        url: str,
        ca_digest: str | None,
        feed: Feed,
    ) -> None:
        self._store = store
        self._resets = resets
        self._performer = performer
        self._clock = clock
        self._url = url
        self._ca_digest = ca_digest
        self._feed = feed

    async def organisations(self, caller: Caller) -> tuple[OrganisationView, ...]:
        """Those that the caller may see, by name."""
        found = await self._performer.read(self._store.organisations)
        return tuple(_organisation(one) for one in found if caller.may(Right.ORG_READ, organisation(one.name)))

    async def organisation(self, caller: Caller, name: str) -> OrganisationView:
        """One of them. Raises NotFoundError, also for one that the caller may not see."""
        found = next((one for one in await self.organisations(caller) if one.name == name), None)
        if found is None:
            raise NotFoundError(f"there is no organisation {name[:80]!r}", hint="septum org list")
        return found

    async def add_organisation(self, wanted: NewOrganisation, by: str) -> OrganisationView:
        """A new organisation. Raises ConflictError when its name is taken."""
        name = check_name(wanted.name, "organisation")
        made = Organisation(name, check_title(wanted.title or name, "a title"), self._clock.unix())
        change = Change(Kind.ORGANISATION_ADDED, by, organisation=name)
        await self._feed.write(change, self._store.add_organisation, made)
        log.info("organisation_added", extra={"organisation": name})
        return _organisation(made)

    async def remove_organisation(self, name: str, by: str) -> None:
        """Forget an organisation that has neither silos nor people. Raises ConflictError."""
        change = Change(Kind.ORGANISATION_REMOVED, by, organisation=name)
        await self._feed.write(change, self._store.remove_organisation, name)
        log.warning("organisation_removed", extra={"organisation": name})

    async def people(self, caller: Caller) -> tuple[PersonView, ...]:
        """Those whom the caller may see, by name."""
        return tuple(person_view(one) for one in await self._performer.read(self._store.people) if _sees(caller, one))

    async def person(self, caller: Caller, name: str) -> Person:
        """One of them. Raises NotFoundError, the same for one whom the caller may not see."""
        try:
            found = await self._performer.read(self._store.person, name)
        except NotFoundError:
            found = None
        if found is None or not _sees(caller, found):
            raise NotFoundError(f"there is no user {name[:80]!r}", hint="septum user list")
        return found

    async def invite(self, caller: Caller, wanted: NewPerson) -> InvitationView:
        """A new person, and the link by which they come in once. Raises ConflictError when the name is taken."""
        caller.need(Right.USER_MANAGE, organisation(wanted.organisation))
        _need_all(caller, wanted.grants)
        person = Person(
            check_person_name(wanted.name),
            check_title(wanted.full_name, "a full name"),
            wanted.organisation,
            self._clock.unix(),
            grants=wanted.grants,
        )
        password, until = secrets.token_urlsafe(24), self._clock.unix() + INVITATION_S
        change = _change(Kind.PERSON_INVITED, caller, person, person.grants)
        await self._feed.write(change, self._store.add, person, secret_hash(password), until=until)
        log.info("person_invited", extra={"person": person.name, "by": caller.name, "roles": _texts(person.grants)})
        return self._invitation(person.name, password, until)

    async def reset(self, caller: Caller, person: Person) -> InvitationView:
        """Forget by what a person proves themselves, and let them in once, as at the beginning."""
        _need_all(caller, person.grants)
        password, until = secrets.token_urlsafe(24), self._clock.unix() + INVITATION_S
        change, reset = _change(Kind.PERSON_RESET, caller, person), self._resets.reset
        await self._feed.write(change, reset, person.name, secret_hash(password), until=until)
        log.warning("person_reset", extra={"person": person.name, "by": caller.name})
        return self._invitation(person.name, password, until)

    async def set_grants(self, caller: Caller, person: Person, grants: tuple[Grant, ...]) -> PersonView:
        """Give a person these roles in place of theirs. The caller may give, or take, each that is new or goes."""
        _need_all(caller, set(grants) ^ set(person.grants))
        if set(grants) == set(person.grants):
            return person_view(person)
        change = _change(Kind.PERSON_ROLES, caller, person, grants)
        changed = await self._feed.write(change, self._store.set_grants, person.name, grants)
        log.warning("roles_changed", extra={"person": person.name, "by": caller.name, "roles": _texts(grants)})
        return person_view(changed)

    async def suspend(self, caller: Caller, person: Person, *, suspended: bool) -> PersonView:
        """Let a person in no more, or again."""
        _need_all(caller, person.grants)
        if suspended == person.suspended:
            return person_view(person)
        change = _change(Kind.PERSON_SUSPENDED if suspended else Kind.PERSON_RESTORED, caller, person)
        changed = await self._feed.write(change, self._store.suspend, person.name, suspended=suspended)
        event = "person_suspended" if suspended else "person_restored"
        log.warning(event, extra={"person": person.name, "by": caller.name})
        return person_view(changed)

    def _invitation(self, name: str, password: str, until: float) -> InvitationView:
        # In the fragment, which browsers do not send: it is in no log of a proxy.
        fields = {"name": name, "password": password, **({"ca": self._ca_digest} if self._ca_digest else {})}
        return InvitationView(name, f"{self._url}/invitation#{urlencode(fields)}", password, until)


class Resets(Protocol):
    """What of `ports.credentials.CredentialStore` is needed here."""

    def reset(self, name: str, one_time_hash: bytes, *, until: float) -> None:
        """Forget by what a person proves themselves; let them in by a one-time password."""


def person_view(person: Person) -> PersonView:
    """What is told of a person."""
    if person.suspended:
        status = PersonStatus.SUSPENDED
    else:
        status = PersonStatus.ACTIVE if person.proven else PersonStatus.INVITED
    return PersonView(
        person.name, person.full_name, person.organisation, status, person.totp, person.grants, person.created_at
    )


def _organisation(one: Organisation) -> OrganisationView:
    return OrganisationView(one.name, one.title, one.created_at)


def _change(kind: Kind, caller: Caller, person: Person, grants: Iterable[Grant] = ()) -> Change:
    roles = tuple(_texts(grants))
    return Change(kind, caller.name, person=person.name, organisation=person.organisation, roles=roles)


def _sees(caller: Caller, person: Person) -> bool:
    return caller.may(Right.USER_READ, organisation(person.organisation))


def _need_all(caller: Caller, grants: Iterable[Grant]) -> None:
    """Whether the caller could give all these roles: who cannot has no power over those who have them, either."""
    for grant in sorted(grants, key=str):
        if not caller.may_give(grant):
            raise ForbiddenError(
                f"{caller.name!r} cannot give or take the role {grant}, nor change who has it",
                hint="one gives roles whose rights one has, where one manages people: docs/reference/permissions.md",
            )


def _texts(grants: Iterable[Grant]) -> list[str]:
    return sorted(map(str, grants))
