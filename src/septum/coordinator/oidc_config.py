"""What can be set about an identity provider? `[oidc]` in coordinator.toml, parsed once, into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.coordinator.config_table import values_in
from septum.errors import ConfigError
from septum.protocol.rights import FIRST_ORGANISATION, Grant, read_grant


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """An OpenID Connect provider.

    issuer              its URL, as it names itself; `/.well-known/openid-configuration` is beneath
    client_id           as which this coordinator is registered there
    client_secret_file  a file with the secret, if it has one; relative to coordinator.toml
    ca_file             a PEM file with the certificate to trust, if it is no public one; relative as well
    scopes              that are asked for
    name_claim          by which claim people who come by a group are named here
    groups_claim        which claim lists somebody's groups
    organisation        to which people who come by a group belong
    groups              roles by group: whoever is in one comes in uninvited, with these, and has them while in it
    """

    issuer: str
    client_id: str
    client_secret_file: str = ""
    ca_file: str = ""
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    organisation: str = FIRST_ORGANISATION
    groups: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.issuer.startswith("https://"):
            raise ConfigError(f"oidc: issuer {self.issuer!r} does not begin with https://")
        if not self.client_id:
            raise ConfigError("oidc: client_id is empty")
        if "openid" not in self.scopes:
            raise ConfigError("oidc: scopes has no 'openid', without which there is no ID token")


def read_oidc(table: object, folder: Path, where: str) -> OidcConfig:
    """The settings in a table `[oidc]`. Raises ConfigError naming the key."""
    needed = dict.fromkeys(("issuer", "client_id"), "as the identity provider's administrator has it")
    values = values_in(table, "oidc", OidcConfig, folder, where, needed)
    if "groups" in values:
        values["groups"] = _groups(values["groups"], where)
    return OidcConfig(**values)  # type: ignore[arg-type] # `values_in` has compared the types


def _groups(value: object, where: str) -> dict[str, tuple[Grant, ...]]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: oidc.groups is a table", hint='[oidc.groups], then "GROUP" = ["viewer"]')
    return {
        group: tuple(read_grant(text) for text in _texts(roles, f"{where}: oidc.groups.{group}"))
        for group, roles in value.items()
    }


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{what} is a list of texts, not {value!r}")
    return value
