"""Is this ID token what an identity provider says of somebody, for us, now? OpenID Connect Core 1.0, section 3.1.3.7.

Signatures and times are checked by PyJWT; what it may accept is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from septum.errors import AuthError
from septum.protocol.codec import Json

# Signatures with a key that only the provider has. No HMAC: its key would be our client secret, or the public key.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 60.0
MAX_TOKEN_CHARS = 32 * 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """What an ID token has to say. `nonce` is empty where none was sent, as in the device flow."""

    issuer: str
    client_id: str
    nonce: str = ""


def key_id(token: str) -> str:
    """Which of the provider's keys has signed it; empty when it does not say. Raises AuthError."""
    if len(token) > MAX_TOKEN_CHARS:
        raise _refused("it is too long")
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.InvalidTokenError:
        raise _refused("it is no JWT") from None


def key_of(keys: Mapping[str, Json], kid: str) -> jwt.PyJWK | None:
    """The key of this name in a JSON Web Key Set; without a name the only one that signs. None if there is none."""
    found: list[jwt.PyJWK] = []
    listed = keys.get("keys")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and one.get("use", "sig") == "sig" and one.get("kty") != "oct":
            try:
                found.append(jwt.PyJWK(one))
            except (jwt.InvalidKeyError, jwt.PyJWKError, NotImplementedError):
                continue  # of a kind that is not known here
    named = [key for key in found if not kid or key.key_id == kid]
    return named[0] if len(named) == 1 else None


def claims_of(token: str, key: jwt.PyJWK, expected: Expected) -> Mapping[str, object]:
    """What the token says, once everything about it holds. Raises AuthError, which does not quote it."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=expected.client_id,
            issuer=expected.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.InvalidTokenError as error:
        raise _refused(type(error).__name__) from None
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", expected.client_id) != expected.client_id or (several and "azp" not in claims):
        raise _refused("it was issued to another program")
    if claims.get("nonce", "") != expected.nonce:
        raise _refused("it belongs to another sign-in")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise _refused("it names nobody")
    return claims


def _refused(why: str) -> AuthError:
    return AuthError(
        f"the identity provider's token is not accepted: {why}",
        hint="sign in again; [oidc] in coordinator.toml, and `date -u` on both machines",
    )
