"""What do people and tools see of organisations, people, sessions and tokens, and what do they say to change them?

Fields with a secret are never in a `repr`, and so in no log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from septum.protocol.codec import LATER
from septum.protocol.rights import FIRST_ORGANISATION, Grant, Right


class PersonStatus(Enum):
    """How a person stands."""

    INVITED = "invited"
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """A member of the federation. `created_at`: Unix seconds, 0 for the first one."""

    name: str
    title: str
    created_at: float


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """An organisation to be. `title` is how people call it; without one it is the name."""

    name: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person. `totp`: a second factor is asked for. `created_at`: Unix seconds."""

    name: str
    full_name: str
    organisation: str
    status: PersonStatus
    totp: bool
    grants: tuple[Grant, ...]
    created_at: float


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to be invited."""

    name: str
    full_name: str = ""
    organisation: str = FIRST_ORGANISATION
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Grants:
    """The roles that a person is to have, all of them."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class InvitationView:
    """How a person comes in, once. `link` holds the one-time password; both are shown this once."""

    name: str
    link: str = field(repr=False)
    password: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class SignIn:
    """What somebody proves themselves by.

    code          of the second factor, or a recovery code
    new_password  to choose, where `password` is a one-time password
    cookie        whether the session is kept in a cookie, as browsers do, and not told
    """

    name: str
    password: str = field(repr=False)
    code: str = field(default="", repr=False)
    new_password: str = field(default="", repr=False)
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class Invited:
    """The invitation of whoever comes by an identity provider; both empty for somebody who is known or in a group."""

    name: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ProviderView:
    """Whether one can come in by an identity provider, and by which; empty where there is none."""

    issuer: str


@dataclass(frozen=True, slots=True)
class RedirectView:
    """Where a browser goes to sign in."""

    url: str


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A sign-in to be completed at `uri` with `code`.

    handle      by which the command line asks whether it is complete
    uri_whole   the same with the code in it
    interval_s  how long to wait between two questions
    expires_at  Unix seconds
    """

    handle: str = field(repr=False)
    code: str
    uri: str
    uri_whole: str
    interval_s: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class DeviceQuestion:
    """Whether a sign-in is complete."""

    handle: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WaitView:
    """A sign-in that is not complete yet: ask again after so long."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session that was opened.

    token  the bearer token; empty where it is in a cookie
    csrf   what requests that change something carry in `x-septum-csrf` beside the cookie; empty without one
    idle_s after which it ends when nothing is asked
    """

    name: str
    token: str = field(repr=False)
    csrf: str = field(repr=False)
    expires_at: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class LinkView:
    """The code of a link by which a browser signs in, once: `/enter#code=...`. `expires_at`: Unix seconds."""

    code: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class Entering:
    """Such a code."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WhoView:
    """Who asks, by what (`operator`, `session` or `token`), and what they may do somewhere.

    approve_own  whether whoever registers a model here may approve it too
    """

    name: str
    full_name: str
    organisation: str
    via: str
    grants: tuple[Grant, ...]
    rights: tuple[Right, ...]
    totp: bool
    csrf: str = field(default="", repr=False)
    approve_own: bool = field(default=False, metadata=LATER)


@dataclass(frozen=True, slots=True)
class NewPassword:
    """One's own password, and the one to have in its place."""

    password: str = field(repr=False)
    new_password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TotpView:
    """A second factor that is offered: for an authenticator program, as base32 and as a URI (it makes a QR code)."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConfirmTotp:
    """The offered second factor, and a code that shows that it was taken over."""

    secret: str = field(repr=False)
    code: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnPassword:
    """One's own password, for what one must not be able to do with a session alone."""

    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecoveryView:
    """Codes for the day on which the second factor is lost. Each works once, and is shown this once."""

    codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenView:
    """A personal token, without its secret. Times are Unix seconds; `used_at` is 0 if it never was."""

    id: str
    title: str
    rights: tuple[Right, ...]
    created_at: float
    expires_at: float
    used_at: float


@dataclass(frozen=True, slots=True)
class NewToken:
    """A personal token to be. Without rights: all that its person has now."""

    title: str
    days: int = 90
    rights: tuple[Right, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A personal token with its secret, which is shown this once."""

    token: str = field(repr=False)
    about: TokenView
