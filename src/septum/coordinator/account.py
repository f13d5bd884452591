"""What may a person do with their own account? Change the password, have a second factor, make tokens for programs."""

from __future__ import annotations

import logging
import secrets

from septum.coordinator import totp
from septum.coordinator.attempts import PER_PAIR, Attempts
from septum.coordinator.audit import Audit
from septum.coordinator.caller import Caller
from septum.coordinator.feed import Feed
from septum.coordinator.login import TOKEN_PREFIX, Login, secret_hash
from septum.coordinator.passwords import check_new
from septum.errors import AuthError, ConfigError, ForbiddenError
from septum.ports.clock import Clock
from septum.ports.credentials import Credentials, CredentialStore
from septum.ports.people import check_title
from septum.ports.sessions import ApiToken, SessionStore
from septum.protocol.audit import AuditKind, Record
from septum.protocol.feed import Change, Kind
from septum.protocol.people_views import ConfirmTotp, MadeToken, NewPassword, NewToken, TokenView, TotpView
from septum.protocol.rights import Right

log = logging.getLogger("septum.coordinator.account")

MAX_TOKEN_DAYS = 366
MOST_TOKENS = 50  # of one person


class Account:
    """Everybody's own. Changes are asked for in a session, never with a personal token."""

    def __init__(
        self,
        credentials: CredentialStore,
        sessions: SessionStore,
        login: Login,
        clock: Clock,
        issuer: str,
        feed: Feed,
        audit: Audit,
    ) -> None:
        self._credentials = credentials
        self._sessions = sessions
        self._login = login
        self._performer = feed.performer
        self._clock = clock
        self._issuer = issuer
        self._feed = feed
        self._audit = audit
        self._attempts = Attempts(per_account=PER_PAIR)

    async def change_password(self, caller: Caller, wanted: NewPassword) -> None:
        """A new password. All sessions and tokens of the person end, this one as well."""
        await self._proven(caller, wanted.password)
        check_new(wanted.new_password, caller.name)
        kept = await self._login.passwords.hash(wanted.new_password)
        record = Record(AuditKind.PASSWORD_CHANGED, caller.name, {"person": caller.name})
        await self._audit.write(record, self._credentials.choose_password, caller.name, kept)
        log.info("password_changed", extra={"person": caller.name})

    def offer_totp(self, caller: Caller) -> TotpView:
        """A second factor to be taken over by an authenticator program. Nothing is kept until it is confirmed."""
        secret = totp.new_secret()
        return TotpView(totp.to_base32(secret), totp.uri_of(secret, caller.name, self._issuer))

    async def confirm_totp(self, caller: Caller, wanted: ConfirmTotp) -> tuple[str, ...]:
        """Ask for the second factor from now on; the recovery codes. Raises AuthError for a wrong password or code."""
        await self._proven(caller, wanted.password)
        secret = totp.from_base32(wanted.secret)
        step = totp.step_of(secret, wanted.code.strip(), self._clock.unix(), 0)
        if not step:
            raise ForbiddenError(
                "this code does not fit the secret; nothing was changed", hint="compare `date -u` on both machines"
            )
        codes = totp.new_recovery_codes()
        hashes = [totp.recovery_hash(code) for code in codes]
        await self._audit.write(
            _second_factor(caller, "on"), self._credentials.set_totp, caller.name, secret, step, hashes
        )
        log.info("second_factor_on", extra={"person": caller.name})
        return codes

    async def drop_totp(self, caller: Caller, password: str) -> None:
        """Ask for no second factor any more. Raises AuthError for a wrong password."""
        await self._proven(caller, password)
        await self._audit.write(_second_factor(caller, "off"), self._credentials.set_totp, caller.name, b"", 0, ())
        log.warning("second_factor_off", extra={"person": caller.name})

    async def tokens(self, caller: Caller) -> tuple[TokenView, ...]:
        """The person's tokens, newest first, without their secrets."""
        return tuple(_view(one) for one in await self._performer.read(self._sessions.tokens, caller.name))

    async def make_token(self, caller: Caller, wanted: NewToken) -> MadeToken:
        """A token with some of the person's rights. Raises ForbiddenError for one that they have nowhere."""
        if not 1 <= wanted.days <= MAX_TOKEN_DAYS:
            raise ConfigError(f"a token lasts 1 to {MAX_TOKEN_DAYS} days, not {wanted.days}")
        for right in wanted.rights:
            if not caller.may_somewhere(right):
                raise caller.refused(right)
        rights = frozenset(wanted.rights) or frozenset(right for right in Right if caller.may_somewhere(right))
        secret, now = TOKEN_PREFIX + secrets.token_urlsafe(32), self._clock.unix()
        title = check_title(wanted.title, "a title")
        token = ApiToken(secrets.token_hex(6), caller.name, title, rights, now, now + wanted.days * 86_400.0)
        change, add = _change(Kind.TOKEN_MADE, caller, token.id), self._sessions.add_token
        await self._feed.write(change, add, secret_hash(secret), token, most=MOST_TOKENS)
        log.info("token_made", extra={"person": caller.name, "token_id": token.id})
        return MadeToken(secret, _view(token))

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        """End one of the person's tokens. Raises NotFoundError."""
        change = _change(Kind.TOKEN_REVOKED, caller, token_id)
        await self._feed.write(change, self._sessions.revoke_token, caller.name, token_id)
        log.info("token_revoked", extra={"person": caller.name, "token_id": token_id})

    async def _proven(self, caller: Caller, password: str) -> Credentials:
        """Whether it is the person, and not somebody at their open session. Raises AuthError."""
        known = await self._performer.read(self._credentials.credentials, caller.name)
        assert known is not None
        self._attempts.take(caller.name, "", self._clock.monotonic())
        if not known.password_hash:
            raise ForbiddenError(f"{caller.name!r} signs in at an identity provider and has no password here")
        if not await self._login.passwords.fits(known.password_hash, password):
            raise AuthError("this is not your password", hint="an administrator can reset it: septum user reset")
        self._attempts.forgive(caller.name, "")
        return known


def _second_factor(caller: Caller, now: str) -> Record:
    return Record(AuditKind.SECOND_FACTOR, caller.name, {"person": caller.name, "is": now})


def _change(kind: Kind, caller: Caller, token_id: str) -> Change:
    return Change(kind, caller.name, person=caller.name, organisation=caller.person.organisation, token=token_id)


def _view(token: ApiToken) -> TokenView:
    rights = tuple(right for right in Right if right in token.rights)
    return TokenView(token.id, token.title, rights, token.created_at, token.expires_at, token.used_at)
