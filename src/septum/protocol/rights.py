"""Which rights does a role give, and over what? The one source: routes, tokens, the documentation's table ask here.

Role-based access control (NIST RBAC, INCITS 359-2012, its core): people have roles, roles give rights, and a role is
given over a scope. There is no right to refuse: what no role gives, nobody may do.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from septum.errors import ConfigError

FIRST_ORGANISATION = "default"  # it is there from the beginning, and owns what nobody else was given
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Right(Enum):
    """What a role can allow. Beside each route stands the right that it needs, with a sentence."""

    RUN_READ = "run.read"
    RUN_SUBMIT = "run.submit"
    RUN_STEER = "run.steer"
    RUN_URGE = "run.urge"
    RUN_SHRED = "run.shred"
    LOG_READ = "log.read"
    MODEL_READ = "model.read"
    MODEL_DOWNLOAD = "model.download"
    MODEL_INSPECT = "model.inspect"
    MODEL_PRUNE = "model.prune"
    MODEL_REGISTER = "model.register"
    MODEL_APPROVE = "model.approve"
    MODEL_DEPLOY = "model.deploy"
    APP_READ = "app.read"
    APP_PUSH = "app.push"
    APP_PRESET = "app.preset"
    APP_REMOVE = "app.remove"
    SILO_READ = "silo.read"
    SILO_INVITE = "silo.invite"
    SILO_REVOKE = "silo.revoke"
    GROUP_READ = "group.read"
    GROUP_MANAGE = "group.manage"
    PROJECT_READ = "project.read"
    PROJECT_MANAGE = "project.manage"
    ROSTER_READ = "roster.read"
    ROSTER_PUSH = "roster.push"
    ORG_READ = "org.read"
    ORG_MANAGE = "org.manage"
    USER_READ = "user.read"
    USER_MANAGE = "user.manage"
    METRICS_READ = "metrics.read"
    AUDIT_READ = "audit.read"


class Role(Enum):
    """What a person is to a federation, an organisation or a project."""

    FEDERATION_ADMIN = "federation-admin"
    SILO_ADMIN = "silo-admin"
    RESEARCHER = "researcher"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    VIEWER = "viewer"


class Over(Enum):
    """What kind of thing a role is given over."""

    FEDERATION = "federation"
    ORGANISATION = "organisation"
    PROJECT = "project"


_SEES = frozenset(
    {
        Right.RUN_READ,
        Right.MODEL_READ,
        Right.APP_READ,
        Right.SILO_READ,
        Right.GROUP_READ,
        Right.PROJECT_READ,
        Right.ROSTER_READ,
        Right.ORG_READ,
        Right.METRICS_READ,
    }
)

RIGHTS: Mapping[Role, frozenset[Right]] = types.MappingProxyType(
    {
        Role.FEDERATION_ADMIN: frozenset(Right),
        Role.SILO_ADMIN: _SEES
        | {
            Right.LOG_READ,
            Right.MODEL_INSPECT,
            Right.SILO_INVITE,
            Right.SILO_REVOKE,
            Right.USER_READ,
            Right.USER_MANAGE,
            Right.AUDIT_READ,
        },
        Role.RESEARCHER: _SEES
        | {
            Right.RUN_SUBMIT,
            Right.RUN_STEER,
            Right.LOG_READ,
            Right.MODEL_DOWNLOAD,
            Right.MODEL_REGISTER,
            Right.APP_PUSH,
            Right.APP_PRESET,
        },
        Role.REVIEWER: _SEES | {Right.LOG_READ, Right.MODEL_DOWNLOAD, Right.MODEL_INSPECT, Right.MODEL_APPROVE},
        Role.AUDITOR: _SEES | {Right.LOG_READ, Right.USER_READ, Right.AUDIT_READ},
        Role.VIEWER: _SEES,
    }
)
"""What each role allows within its scope."""

WHO: Mapping[Role, str] = types.MappingProxyType(
    {
        Role.FEDERATION_ADMIN: "Runs the federation: everything, and who gets which role.",
        Role.SILO_ADMIN: "Looks after an organisation: brings its silos and its people in and out.",
        Role.RESEARCHER: "Pushes apps, submits runs and steers them, downloads and registers models.",
        Role.REVIEWER: "Looks at apps, runs and models before others use them, and approves models.",
        Role.AUDITOR: "Sees everything that is told, people and the audit log as well, and changes nothing.",
        Role.VIEWER: "Sees runs, models, apps and silos, and changes nothing.",
    }
)
"""Each role in one sentence."""

# A role makes sense over these. Nobody is the federation's administrator over less than all of it.
GIVEN_OVER: Mapping[Role, frozenset[Over]] = types.MappingProxyType(
    {
        Role.FEDERATION_ADMIN: frozenset({Over.FEDERATION}),
        Role.SILO_ADMIN: frozenset({Over.FEDERATION, Over.ORGANISATION}),
        **{role: frozenset(Over) for role in (Role.RESEARCHER, Role.REVIEWER, Role.AUDITOR, Role.VIEWER)},
    }
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The federation (without a name), an organisation or a project.

    >>> str(Scope(Over.ORGANISATION, "st-marys"))
    'organisation:st-marys'
    """

    over: Over = Over.FEDERATION
    name: str = ""

    def __post_init__(self) -> None:
        if (self.over is Over.FEDERATION) != (not self.name):
            raise ConfigError(f"{self.over.value} {self.name!r}: the federation has no name, all else has one")
        if self.name:
            check_name(self.name, self.over.value)

    def __str__(self) -> str:
        return f"{self.over.value}:{self.name}" if self.name else self.over.value


FEDERATION = Scope()


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, and over what it is given.

    >>> str(Grant(Role.VIEWER)), str(Grant(Role.SILO_ADMIN, organisation("st-marys")))
    ('viewer', 'silo-admin@st-marys')
    """

    role: Role
    scope: Scope = FEDERATION

    def __post_init__(self) -> None:
        if self.scope.over not in GIVEN_OVER[self.role]:
            possible = " or ".join(sorted(over.value for over in GIVEN_OVER[self.role]))
            raise ConfigError(f"{self.role.value} is given over a {possible}, not over {self.scope}")

    def __str__(self) -> str:
        match self.scope.over:
            case Over.FEDERATION:
                return self.role.value
            case Over.ORGANISATION:
                return f"{self.role.value}@{self.scope.name}"
            case Over.PROJECT:
                return f"{self.role.value}@project:{self.scope.name}"


def organisation(name: str) -> Scope:
    """An organisation as a scope."""
    return Scope(Over.ORGANISATION, name)


def project(name: str) -> Scope:
    """A project as a scope."""
    return Scope(Over.PROJECT, name)


def read_grant(text: str) -> Grant:
    """A role as people write it: ROLE, ROLE@ORGANISATION or ROLE@project:NAME. Raises ConfigError.

    >>> read_grant("researcher@project:sepsis").scope.name
    'sepsis'
    """
    word, _, where = text.partition("@")
    known = {role.value: role for role in Role}
    if word not in known:
        raise ConfigError(f"there is no role {word[:40]!r}", hint=f"known: {', '.join(known)}")
    kind, colon, name = where.partition(":")
    if colon and kind != Over.PROJECT.value:
        raise ConfigError(f"{text[:80]!r} names no scope", hint="ROLE, ROLE@ORGANISATION or ROLE@project:NAME")
    scope = project(name) if colon else organisation(where) if "@" in text else FEDERATION
    return Grant(known[word], scope)


def may(grants: Iterable[Grant], right: Right, *within: Scope) -> bool:
    """Whether one of these roles allows it on a thing that lies `within` these scopes.

    Everything lies in the federation. A thing of the federation itself lies in nothing else.

    >>> may([Grant(Role.VIEWER)], Right.RUN_READ), may([Grant(Role.VIEWER)], Right.RUN_SUBMIT)
    (True, False)
    """
    places = {FEDERATION, *within}
    return any(grant.scope in places and right in RIGHTS[grant.role] for grant in grants)


def may_somewhere(grants: Iterable[Grant], right: Right) -> bool:
    """Whether one of these roles allows it on anything at all."""
    return any(right in RIGHTS[grant.role] for grant in grants)


def may_give(giver: Iterable[Grant], grant: Grant) -> bool:
    """Whether someone with the roles `giver` may give, or take back, this one.

    Nobody gives what they have not got: it takes the right to manage people there, and every right that the role gives.

    >>> admin = [Grant(Role.SILO_ADMIN, organisation("a"))]
    >>> may_give(admin, Grant(Role.VIEWER, organisation("a"))), may_give(admin, Grant(Role.VIEWER))
    (True, False)
    """
    held = tuple(giver)
    return all(may(held, right, grant.scope) for right in RIGHTS[grant.role] | {Right.USER_MANAGE})


def check_name(name: str, what: str) -> str:
    """`name` itself, if organisations and projects can have it. Raises ConfigError.

    >>> check_name("st-marys", "organisation")
    'st-marys'
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} is no name for a {what}".replace("a organisation", "an organisation"),
            hint="use 1 to 63 lower-case letters, digits and hyphens, as in st-marys",
        )
    return name
