"""How does a program ask about organisations, people, sessions and tokens? Part of `Client`, as `client.people`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from septum.client.wire import Ask, all_of
from septum.protocol.codec import from_json, to_json
from septum.protocol.people_views import (
    ConfirmTotp,
    DeviceQuestion,
    DeviceView,
    Grants,
    InvitationView,
    Invited,
    LinkView,
    MadeToken,
    NewOrganisation,
    NewPassword,
    NewPerson,
    NewToken,
    OrganisationView,
    OwnPassword,
    PersonView,
    ProviderView,
    RecoveryView,
    SessionView,
    SignIn,
    TokenView,
    TotpView,
    WaitView,
    WhoView,
)
from septum.protocol.rights import Grant, Role


class PeopleClient:
    """The public API's people. Each method raises what the coordinator answered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def sign_in(self, proof: SignIn) -> SessionView:
        """Open a session.

        Raises SecondFactorError when a code is wanted, PasswordChangeError when a new password is, AuthError when they
        do not belong together, RateLimitedError when it was tried too often.
        """
        return from_json(SessionView, self._ask("POST", "/session", to_json(proof)))

    def provider(self) -> ProviderView:
        """Whether one can come in by an identity provider, and by which."""
        return from_json(ProviderView, self._ask("GET", "/oidc"))

    def begin_device(self, invited: Invited) -> DeviceView:
        """Begin a sign-in at the identity provider, to be completed with any browser. Raises NotFoundError: none."""
        return from_json(DeviceView, self._ask("POST", "/oidc/device", to_json(invited)))

    def ask_device(self, handle: str) -> SessionView | WaitView:
        """The session once the sign-in is complete, or how long to wait before asking again."""
        told = self._ask("POST", "/oidc/device/session", to_json(DeviceQuestion(handle)))
        waiting = isinstance(told, dict) and "wait_s" in told
        return from_json(WaitView, told) if waiting else from_json(SessionView, told)

    def who(self) -> WhoView:
        """Who asks, and what they may do."""
        return from_json(WhoView, self._ask("GET", "/session"))

    def link(self) -> LinkView:
        """The code of a link by which one's own browser signs in, once. Raises ForbiddenError without a session."""
        return from_json(LinkView, self._ask("POST", "/session/link"))

    def sign_out(self) -> None:
        """End this session."""
        self._ask("DELETE", "/session")

    def organisations(self, *, text: str = "") -> tuple[OrganisationView, ...]:
        """Those that one may see, by name; `text` is in their name or title."""
        return all_of(OrganisationView, self._ask, "/organisations", q=text)

    def organisation(self, name: str) -> OrganisationView:
        """One of them. Raises NotFoundError."""
        return from_json(OrganisationView, self._ask("GET", f"/organisations/{quote(name, safe='')}"))

    def add_organisation(self, name: str, title: str = "") -> OrganisationView:
        """A new organisation. Raises ConflictError when the name is taken."""
        return from_json(OrganisationView, self._ask("POST", "/organisations", to_json(NewOrganisation(name, title))))

    def remove_organisation(self, name: str) -> None:
        """Remove one. Raises ConflictError while it has silos or people."""
        self._ask("DELETE", f"/organisations/{quote(name, safe='')}")

    def people(self, *, role: Role | None = None, organisation: str = "", text: str = "") -> tuple[PersonView, ...]:
        """Those whom one may see, by name; of a role, over whatever; `text` is in a name of theirs."""
        given = {"role": role.value if role else "", "organisation": organisation, "q": text}
        return all_of(PersonView, self._ask, "/people", **given)

    def person(self, name: str) -> PersonView:
        """One of them. Raises NotFoundError."""
        return from_json(PersonView, self._ask("GET", _path(name)))

    def invite(self, wanted: NewPerson) -> InvitationView:
        """A new person, and the link by which they come in once. Raises ConflictError when the name is taken."""
        return from_json(InvitationView, self._ask("POST", "/people", to_json(wanted)))

    def set_grants(self, name: str, grants: Sequence[Grant]) -> PersonView:
        """Give a person these roles in place of those they had."""
        return from_json(PersonView, self._ask("PUT", f"{_path(name)}/grants", to_json(Grants(tuple(grants)))))

    def reset(self, name: str) -> InvitationView:
        """Forget by what a person proves themselves, and let them come in once by a link."""
        return from_json(InvitationView, self._ask("POST", f"{_path(name)}/reset"))

    def suspend(self, name: str) -> PersonView:
        """Let a person in no more."""
        return from_json(PersonView, self._ask("POST", f"{_path(name)}/suspend"))

    def restore(self, name: str) -> PersonView:
        """Let a suspended person in again."""
        return from_json(PersonView, self._ask("POST", f"{_path(name)}/restore"))

    def change_password(self, wanted: NewPassword) -> None:
        """Change one's own password; one's sessions and tokens end."""
        self._ask("PUT", "/account/password", to_json(wanted))

    def offer_totp(self) -> TotpView:
        """A second factor for an authenticator program."""
        return from_json(TotpView, self._ask("POST", "/account/totp"))

    def confirm_totp(self, wanted: ConfirmTotp) -> tuple[str, ...]:
        """Have it asked for from now on; the recovery codes."""
        return from_json(RecoveryView, self._ask("PUT", "/account/totp", to_json(wanted))).codes

    def drop_totp(self, password: str) -> None:
        """Have it asked for no longer."""
        self._ask("POST", "/account/totp/off", to_json(OwnPassword(password)))

    def tokens(self) -> tuple[TokenView, ...]:
        """One's own tokens, newest first."""
        return all_of(TokenView, self._ask, "/tokens")

    def make_token(self, wanted: NewToken) -> MadeToken:
        """A new token with some of one's own rights."""
        return from_json(MadeToken, self._ask("POST", "/tokens", to_json(wanted)))

    def revoke_token(self, token_id: str) -> None:
        """End one of one's own tokens. Raises NotFoundError."""
        self._ask("DELETE", f"/tokens/{quote(token_id, safe='')}")


def _path(name: str) -> str:
    return f"/people/{quote(name, safe='')}"
