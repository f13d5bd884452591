"""How does somebody come in by an identity provider? OpenID Connect, and who its people are here.

In a browser: authorisation code with PKCE (RFC 7636), state and nonce; from the command line: device authorisation
(RFC 8628), which this coordinator asks for, so that its secret stays here. Begun sign-ins are kept in memory: after a
restart one begins again.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from septum.coordinator.attempts import Attempts
from septum.coordinator.feed import Feed
from septum.coordinator.login import Login, secret_hash
from septum.errors import AuthError, ConflictError, ConnectionFailedError, ForbiddenError
from septum.ports.clock import Clock
from septum.ports.credentials import CredentialStore
from septum.ports.people import PeopleStore, Person, check_person_name
from septum.protocol.codec import Json
from septum.protocol.feed import Change, Kind
from septum.protocol.people_views import DeviceView, Invited, SessionView, WaitView
from septum.protocol.rights import Grant

if TYPE_CHECKING:
    from septum.coordinator.provider import Provider

log = logging.getLogger("septum.coordinator.oidc")

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
BEGUN_S = 600.0
MOST_BEGUN = 2000
PER_ADDRESS = 120  # sign-ins begun in 15 minutes
MAX_FIELD_CHARS = 4096
_PENDING = {"authorization_pending": 0.0, "slow_down": 5.0}  # RFC 8628, section 3.5: seconds to add


@dataclass(slots=True)
class _Begun:
    """A sign-in that has begun. `browser`: the hash of what its browser keeps."""

    until: float
    invited: Invited
    browser: bytes = b""
    nonce: str = field(default="", repr=False)
    verifier: str = field(default="", repr=False)
    device_code: str = field(default="", repr=False)
    interval_s: float = 5.0
    asked_at: float = -math.inf  # monotonic


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a browser has to go, and what it has to keep until it comes back."""

    url: str
    browser: str = field(repr=False)


class Oidc:
    """Sign-ins by one identity provider."""

    def __init__(
        self,
        provider: Provider,
        login: Login,
        people: PeopleStore,
        credentials: CredentialStore,
        feed: Feed,
        clock: Clock,
        callback_url: str,
    ) -> None:
        self._provider = provider
        self._login = login
        self._people = people
        self._credentials = credentials
        self._performer = feed.performer
        self._clock = clock
        self._callback_url = callback_url
        self._feed = feed
        self._begun: dict[str, _Begun] = {}
        self._attempts = Attempts(PER_ADDRESS, PER_ADDRESS, PER_ADDRESS)

    @property
    def issuer(self) -> str:
        """The provider's, as it names itself."""
        return self._provider.config.issuer

    async def begin(self, invited: Invited, address: str) -> Redirect:
        """Send a browser to the provider. With an invitation, who comes back is the person who was invited."""
        self._attempts.take(address, address, self._clock.monotonic())
        state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        begun = self._keep(state, _Begun(0.0, invited, secret_hash(browser)))
        begun.nonce, begun.verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._provider.config.client_id,
            "redirect_uri": self._callback_url,
            "scope": " ".join(self._provider.config.scopes),
            "state": state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Redirect(f"{await self._provider.endpoint('authorization_endpoint')}?{urlencode(query)}", browser)

    async def come_back(self, state: str, code: str, browser: str) -> SessionView:
        """The session of whoever comes back from the provider in the browser that went there. Raises AuthError."""
        begun = self._taken(state)
        if not begun.browser or not secrets.compare_digest(begun.browser, secret_hash(browser)):
            raise AuthError("this sign-in was begun in another browser", hint="begin again")
        form = {
            "grant_type": "authorization_code",
            "code": code[:MAX_FIELD_CHARS],
            "redirect_uri": self._callback_url,
            "code_verifier": begun.verifier,
        }
        status, answer = await self._provider.tokens(form)
        if status != 200:
            raise _refused(answer)
        return await self._open(await self._provider.claims(answer, begun.nonce), begun.invited, cookie=True)

    async def begin_device(self, invited: Invited, address: str) -> DeviceView:
        """Begin a sign-in that the person completes with any browser."""
        self._attempts.take(address, address, self._clock.monotonic())
        told = await self._provider.device()
        code, uri = (str(told.get(name, "")) for name in ("user_code", "verification_uri"))
        device_code, interval = told.get("device_code"), told.get("interval", 5)
        if not isinstance(device_code, str) or not code or not uri.startswith("https://"):
            raise ConnectionFailedError("the identity provider began a device authorisation without saying how")
        handle = secrets.token_urlsafe(32)
        begun = self._keep(handle, _Begun(0.0, invited, device_code=device_code))
        begun.interval_s = float(interval) if isinstance(interval, int | float) and 0 < interval < 60 else 5.0
        whole = told.get("verification_uri_complete", uri)
        return DeviceView(handle, code, uri, str(whole), begun.interval_s, begun.until)

    async def ask_device(self, handle: str) -> SessionView | WaitView:
        """The session, once the person has agreed at the provider. Raises AuthError when they refuse or it expired."""
        begun = self._begun.get(handle)
        if begun is None or not begun.device_code or self._clock.unix() >= begun.until:
            raise _over()
        now = self._clock.monotonic()
        if now - begun.asked_at < begun.interval_s:
            return WaitView(begun.interval_s)
        begun.asked_at = now
        form = {"grant_type": DEVICE_GRANT, "device_code": begun.device_code}
        status, answer = await self._provider.tokens(form)
        if status != 200:
            error = str(answer.get("error", ""))
            if error in _PENDING:
                begun.interval_s += _PENDING[error]
                return WaitView(begun.interval_s)
            self._begun.pop(handle, None)
            raise _refused(answer)
        self._taken(handle)
        return await self._open(await self._provider.claims(answer, ""), begun.invited, cookie=False)

    def _keep(self, name: str, begun: _Begun) -> _Begun:
        begun.until = self._clock.unix() + BEGUN_S
        self._begun[name] = begun
        while len(self._begun) > MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        return begun

    def _taken(self, name: str) -> _Begun:
        """A sign-in that has begun; it cannot be taken twice."""
        begun = self._begun.pop(name, None)
        if begun is None or self._clock.unix() >= begun.until:
            raise _over()
        return begun

    async def _open(self, claims: Mapping[str, object], invited: Invited, *, cookie: bool) -> SessionView:
        issuer, subject = self._provider.config.issuer, str(claims["sub"])
        name = await self._performer.read(self._credentials.known_as, issuer, subject)
        if invited.name:
            name = await self._accept(invited, issuer, subject, name)
        elif not name:
            name = await self._admit(claims, issuer, subject)
        person = await self._by_groups(await self._performer.read(self._people.person, name), claims)
        if person.suspended:
            raise _nobody()
        log.info("signed_in", extra={"person": name, "issuer": issuer})
        return await self._login.open(name, cookie=cookie, proven=issuer)

    async def _accept(self, invited: Invited, issuer: str, subject: str, known: str) -> str:
        """Tie the provider's person to the one who was invited."""
        await self._login.check_invitation(invited)
        if known and known != invited.name:
            raise ConflictError(f"this identity belongs to {known!r} already", hint=f"septum user show {known}")
        if not known:
            person = await self._performer.read(self._people.person, invited.name)
            await self._feed.write(_joined(person), self._credentials.know_as, invited.name, issuer, subject)
            log.warning("identity_tied", extra={"person": invited.name, "issuer": issuer})
        return invited.name

    async def _admit(self, claims: Mapping[str, object], issuer: str, subject: str) -> str:
        """Somebody uninvited, who is in a group that may come in. Raises ForbiddenError for anybody else."""
        grants, config = self._granted(claims), self._provider.config
        if not grants:
            raise _nobody()
        wanted = claims.get(config.name_claim)
        name = check_person_name(re.sub(r"\s+", ".", str(wanted or "").strip().lower())[:64])
        full_name = "".join(char for char in str(claims.get("name", ""))[:200] if char.isprintable())
        person = Person(name, full_name, config.organisation, self._clock.unix(), grants=grants)
        try:
            await self._feed.write(_joined(person), self._credentials.admit, person, issuer, subject)
        except ConflictError:  # not tied by the name alone: the provider's names are not ours
            raise ConflictError(
                f"there is a person {name!r} here already, who has not come from the identity provider",
                hint="septum user reset, by an administrator; its link ties the two",
            ) from None
        log.warning("person_admitted", extra={"person": name, "issuer": issuer, "roles": sorted(map(str, grants))})
        return name

    async def _by_groups(self, person: Person, claims: Mapping[str, object]) -> Person:
        """The roles that groups give, as they are now. Those that were given here stay."""
        by_any = {grant for grants in self._provider.config.groups.values() for grant in grants}
        now = tuple(sorted((set(person.grants) - by_any) | set(self._granted(claims)), key=str))
        if not by_any or set(now) == set(person.grants):
            return person
        log.warning("roles_changed", extra={"person": person.name, "by": "groups", "roles": list(map(str, now))})
        roles = replace(_joined(person), kind=Kind.PERSON_ROLES, by="", roles=tuple(map(str, now)))
        return await self._feed.write(roles, self._people.set_grants, person.name, now)

    def _granted(self, claims: Mapping[str, object]) -> tuple[Grant, ...]:
        config = self._provider.config
        groups = claims.get(config.groups_claim, [])
        mine = set(map(str, groups)) if isinstance(groups, list) else {str(groups)}
        grants = {grant for group, some in config.groups.items() if group in mine for grant in some}
        return tuple(sorted(grants, key=str))


def _over() -> AuthError:
    return AuthError("this sign-in was not begun here, or too long ago", hint="begin again: septum login --oidc")


def _nobody() -> ForbiddenError:
    return ForbiddenError(
        "the identity provider knows you, and here you are nobody yet",
        hint="ask an administrator for an invitation, then: septum login --oidc --invitation",
    )


def _refused(answer: Mapping[str, Json]) -> AuthError:
    known = ("access_denied", "expired_token", "invalid_grant")
    error = str(answer.get("error", ""))
    return AuthError(
        f"the identity provider refused the sign-in: {error if error in known else 'it did not say why'}",
        hint="begin again; its own log says more",
    )


def _joined(person: Person) -> Change:
    return Change(
        Kind.PERSON_JOINED,
        person.name,
        person=person.name,
        organisation=person.organisation,
        roles=tuple(map(str, person.grants)),
    )
