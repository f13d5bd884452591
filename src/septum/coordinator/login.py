"""How does somebody come in, and who are they with the next request? Passwords, sessions and personal tokens.

Sessions and tokens are random, so their SHA-256 is enough to know them by. A request with one costs one small read;
silos, which sign what they send, do not come through here.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass

from septum.coordinator import totp
from septum.coordinator.attempts import Attempts
from septum.coordinator.audit import Audit
from septum.coordinator.caller import OPERATOR, Caller, Via
from septum.coordinator.feed import Feed
from septum.coordinator.operator import token_digest
from septum.coordinator.passwords import MAX_CHARS, Passwords, check_new
from septum.errors import AuthError, MessageError, PasswordChangeError, RateLimitedError, SecondFactorError, SeptumError
from septum.ports.clock import Clock
from septum.ports.credentials import Credentials, CredentialStore
from septum.ports.sessions import Session, SessionStore
from septum.protocol.audit import AuditKind, Record
from septum.protocol.feed import Change, Kind
from septum.protocol.people_views import Invited, SessionView, SignIn

log = logging.getLogger("septum.coordinator.login")

SESSION_PREFIX = "septum_s_"
TOKEN_PREFIX = "septum_t_"  # noqa: S105 - what tokens begin with
MOST_SESSIONS = 20  # of one person; the one that was not used for longest ends
SEEN_EVERY_S = 60.0  # how often it is noted that a session was used: a commit each
TOKEN_SEEN_EVERY_S = 600.0
CODES = 5  # wrong ones in 15 minutes: who has the password guesses one with 0.15 % in a day


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For how long one stays signed in: at most, and without asking anything."""

    session_s: float = 12 * 3600.0
    idle_s: float = 3600.0


class Login:
    """Lets people in, and knows them again."""

    def __init__(
        self,
        credentials: CredentialStore,
        sessions: SessionStore,
        clock: Clock,
        operator_digest: bytes,
        feed: Feed,
        audit: Audit,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._performer = feed.performer
        self._clock = clock
        self._operator_digest = operator_digest
        self._feed = feed
        self._audit = audit
        self._lifetimes = lifetimes or Lifetimes()
        self._attempts = Attempts()
        self._codes = Attempts(per_account=CODES)
        self.passwords = Passwords()

    async def sign_in(self, proof: SignIn, address: str) -> SessionView:
        """A session for whoever proves themselves.

        Raises AuthError, the same for a wrong name and a wrong password; SecondFactorError when a code is wanted,
        PasswordChangeError when a new password is, RateLimitedError when it was tried too often.
        """
        if max(len(proof.name), len(proof.password), len(proof.code)) > MAX_CHARS:
            raise MessageError(f"names and passwords have at most {MAX_CHARS} characters")
        try:
            self._attempts.take(proof.name, address, self._clock.monotonic())
        except RateLimitedError:
            await self._refused("", address, "tried too often")
            raise
        known = await self._performer.read(self._credentials.credentials, proof.name)
        if known is None or not _is_one_time(known, proof.password):
            known = await self._checked(known, proof, address)
        else:
            await self._choose(known, proof, address)
        self._attempts.forgive(proof.name, address)
        log.info("signed_in", extra={"person": known.name, "address": address})
        return await self.open(known.name, cookie=proof.cookie, proven="password", address=address)

    async def _refused(self, person: str, address: str, why: str) -> None:
        """Record that somebody was not let in. Of a name that is nobody's there is nothing: it may be a password."""
        about = {"person": person, "address": address, "because": why}
        await self._audit.refused(Record(AuditKind.SIGN_IN_REFUSED, about=about))

    async def _checked(self, known: Credentials | None, proof: SignIn, address: str) -> Credentials:
        fits = await self.passwords.fits(known.password_hash if known else "", proof.password)
        if known is None or not fits or known.suspended:
            # Not the name: people type their password there.
            log.warning("sign_in_refused", extra={"person": known.name if known else "", "address": address})
            await self._refused(known.name if known else "", address, "name and password")
            raise AuthError(
                "this name and password do not belong together", hint="septum user reset, by an administrator"
            )
        await self._second_factor(known, proof.code, address)
        return known

    async def _choose(self, known: Credentials, proof: SignIn, address: str) -> None:
        """A password in place of the one-time one, which is right."""
        if known.suspended or self._clock.unix() >= known.until:
            await self._refused(known.name, address, "one-time password")
            raise AuthError("this one-time password has expired", hint=f"septum user reset {known.name}")
        if not proof.new_password:
            self._attempts.take_back(known.name, address)
            raise PasswordChangeError(
                "this is a one-time password: choose one of your own", hint="septum login asks for it"
            )
        check_new(proof.new_password, known.name)
        kept = await self.passwords.hash(proof.new_password)
        choose = self._credentials.choose_password
        joined = Change(Kind.PERSON_JOINED, known.name, person=known.name, organisation=known.organisation)
        if not await self._feed.write(joined, choose, known.name, kept, one_time_hash=known.one_time_hash):
            raise AuthError("this one-time password has been used", hint=f"septum user reset {known.name}")

    async def check_invitation(self, invited: Invited) -> None:
        """Whether this is a person's open invitation. Raises AuthError."""
        known = await self._performer.read(self._credentials.credentials, invited.name)
        fits = known is not None and _is_one_time(known, invited.password)
        if known is None or not fits or known.suspended or self._clock.unix() >= known.until:
            raise AuthError("this invitation was used, is void or has expired", hint="septum user reset NAME")

    async def _second_factor(self, known: Credentials, code: str, address: str) -> None:
        """Whether the code is the second factor's, if there is one. Raises SecondFactorError."""
        if not known.totp_secret:
            return
        if not code:
            self._attempts.take_back(known.name, address)
            raise SecondFactorError("the code of the second factor is wanted, too", hint="septum login asks for it")
        self._codes.take(known.name, "", self._clock.monotonic())
        step = totp.step_of(known.totp_secret, code.strip(), self._clock.unix(), known.totp_step)
        write, store = self._performer.write, self._credentials
        if step and await write(store.use_step, known.name, step):
            self._codes.forgive(known.name, "")
            return
        if not step and await write(store.use_recovery, known.name, totp.recovery_hash(code)):
            self._codes.forgive(known.name, "")
            log.warning("recovery_code_used", extra={"person": known.name})
            return
        log.warning("second_factor_refused", extra={"person": known.name})
        await self._refused(known.name, address, "second factor")
        raise SecondFactorError(
            "this code does not fit, or was used before",
            hint="wait for the next one; compare `date -u` on both machines",
        )

    async def open(self, name: str, *, cookie: bool, proven: str, address: str = "") -> SessionView:
        """A session of somebody who has proven themselves; `proven`: by what, for the audit log."""
        secret, now = SESSION_PREFIX + secrets.token_urlsafe(32), self._clock.unix()
        session = Session(name, now, now, now + self._lifetimes.session_s)
        record = Record(AuditKind.SIGNED_IN, name, {"with": proven, "address": address})
        await self._audit.write(record, self._sessions.open, secret_hash(secret), session, most=MOST_SESSIONS)
        csrf = csrf_of(secret) if cookie else ""
        return SessionView(name, secret, csrf, session.expires_at, self._lifetimes.idle_s)

    async def in_session(self, kept: bytes) -> str:
        """Whose session it is, by its hash; empty where it has ended."""
        found = await self._performer.read(self._sessions.session, kept)
        now = self._clock.unix()
        if found is None or now >= found[0].expires_at or now - found[0].seen_at >= self._lifetimes.idle_s:
            return ""
        return found[1].name

    async def sign_out(self, caller: Caller) -> None:
        """End the session of whoever asks."""
        if caller.via is not Via.SESSION:
            raise AuthError(
                f"there is no session to end: this is a {caller.via.value}'s token", hint="septum token list"
            )
        await self._audit.write(Record(AuditKind.SIGNED_OUT, caller.name), self._sessions.close, caller.secret_hash)
        log.info("signed_out", extra={"person": caller.name})

    async def caller(self, secret: str) -> Caller:
        """Whose bearer token this is. Raises AuthError."""
        if secret.startswith(SESSION_PREFIX):
            return await self._of_session(secret)
        if secret.startswith(TOKEN_PREFIX):
            return await self._of_token(secret)
        if secrets.compare_digest(token_digest(secret), self._operator_digest):
            return OPERATOR
        raise unknown("this token is not known here")

    async def _of_session(self, secret: str) -> Caller:
        kept = secret_hash(secret)
        found = await self._performer.read(self._sessions.session, kept)
        if found is None:
            raise unknown("this session has ended")
        session, person = found
        now = self._clock.unix()
        if now >= session.expires_at or now - session.seen_at >= self._lifetimes.idle_s:
            await self._quietly(self._performer.write(self._sessions.close, kept))
            raise unknown("this session has expired")
        if now - session.seen_at >= SEEN_EVERY_S:
            await self._quietly(self._performer.write(self._sessions.touch, kept, at=now))
        return Caller(person, Via.SESSION, None, kept, csrf_of(secret))

    async def _of_token(self, secret: str) -> Caller:
        kept, now = secret_hash(secret), self._clock.unix()
        found = await self._performer.read(self._sessions.token, kept)
        if found is None or now >= found[0].expires_at:
            raise unknown("this token is not known here, has expired or was revoked")
        token, person = found
        if now - token.used_at >= TOKEN_SEEN_EVERY_S:
            await self._quietly(self._performer.write(self._sessions.touch_token, token.id, at=now))
        return Caller(person, Via.TOKEN, token.rights, kept)

    async def _quietly(self, noting: Awaitable[None]) -> None:
        """A full disk keeps nobody from looking."""
        try:
            await noting
        except SeptumError as error:
            log.warning("session_not_noted", extra={"error": error.message})


def secret_hash(secret: str) -> bytes:
    """Under what a session, a token or a one-time password is kept: random ones need no slow hash."""
    return hashlib.sha256(b"septum-people-v1\0" + secret.encode()).digest()


def csrf_of(secret: str) -> str:
    """What a page that may read it repeats, and another site's page cannot know: made from the session's secret."""
    return hmac.new(secret.encode(), b"septum-csrf-v1", hashlib.sha256).hexdigest()


def unknown(what: str) -> AuthError:
    """The error for a token that lets nobody in."""
    return AuthError(what, hint="septum login; on the coordinator's machine: operator.json in its data directory")


def _is_one_time(known: Credentials, password: str) -> bool:
    return bool(known.one_time_hash) and secrets.compare_digest(known.one_time_hash, secret_hash(password))
