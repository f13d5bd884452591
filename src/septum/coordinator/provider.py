"""How is an identity provider asked? Discovery, keys, and its token endpoint, over HTTPS with limits."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from septum.coordinator.id_tokens import Expected, claims_of, key_id, key_of
from septum.coordinator.oidc_config import OidcConfig
from septum.errors import AuthError, ConfigError, ConnectionFailedError, MessageError
from septum.protocol.codec import Json, loads

MAX_ANSWER_BYTES = 2**20
TIMEOUT_S = 10.0
KEYS_AT_MOST_EVERY_S = 30.0  # a token with an invented key's name must not make us ask each time
DISCOVERED_FOR_S = 3600.0


class Provider:
    """One OpenID Connect provider. Raises ConnectionFailedError when it cannot be reached or makes no sense."""

    def __init__(self, config: OidcConfig) -> None:
        self.config = config
        self._secret = _secret_in(config.client_secret_file)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, verify=_trust(config.ca_file), follow_redirects=False)
        self._found: dict[str, Json] = {}
        self._found_at = -DISCOVERED_FOR_S
        self._keys: dict[str, Json] = {}
        self._keys_at = -KEYS_AT_MOST_EVERY_S

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def endpoint(self, name: str) -> str:
        """The URL of an endpoint. What the provider calls itself has to be the issuer (OIDC Discovery 1.0, 4.3)."""
        if time.monotonic() - self._found_at >= DISCOVERED_FOR_S:
            url = self.config.issuer.rstrip("/") + "/.well-known/openid-configuration"
            status, found = await self._ask("GET", url)
            if status != httpx.codes.OK or found.get("issuer") != self.config.issuer:
                raise ConnectionFailedError(
                    f"{url} is no configuration of {self.config.issuer}", hint="issuer under [oidc] in coordinator.toml"
                )
            self._found, self._found_at = found, time.monotonic()
        value = self._found.get(name)
        if not isinstance(value, str) or not value.startswith("https://"):
            raise ConnectionFailedError(f"{self.config.issuer} has no {name}", hint="ask the provider's administrator")
        return value

    async def tokens(self, form: Mapping[str, str]) -> tuple[int, dict[str, Json]]:
        """What the token endpoint answers: status and JSON. The client's secret goes along, if there is one."""
        url = await self.endpoint("token_endpoint")
        return await self._ask("POST", url, {"client_id": self.config.client_id, **form})

    async def device(self) -> dict[str, Json]:
        """Begin a device authorisation, RFC 8628, section 3.1."""
        url = await self.endpoint("device_authorization_endpoint")
        form = {"client_id": self.config.client_id, "scope": " ".join(self.config.scopes)}
        status, found = await self._ask("POST", url, form)
        if status != httpx.codes.OK:
            raise ConnectionFailedError(
                f"{self.config.issuer} begins no device authorisation", hint="is it allowed there?"
            )
        return found

    async def claims(self, answer: Mapping[str, Json], nonce: str) -> Mapping[str, object]:
        """What the ID token in an answer of the token endpoint says, checked. Raises AuthError."""
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise AuthError("the identity provider gave no ID token", hint="scopes under [oidc] in coordinator.toml")
        kid = key_id(token)
        key = key_of(self._keys, kid)
        if key is None and time.monotonic() - self._keys_at >= KEYS_AT_MOST_EVERY_S:
            _, self._keys = await self._ask("GET", await self.endpoint("jwks_uri"))
            self._keys_at = time.monotonic()
            key = key_of(self._keys, kid)
        if key is None:
            raise AuthError("the identity provider's token is signed with a key that it does not publish")
        return claims_of(token, key, Expected(self.config.issuer, self.config.client_id, nonce))

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Json]]:
        auth = (self.config.client_id, self._secret) if form is not None and self._secret else None
        content = bytearray()
        try:
            async with self._http.stream(method, url, data=form, auth=auth) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise ConnectionFailedError(f"{url} answered more than {MAX_ANSWER_BYTES} bytes")
            value = loads(bytes(content), MAX_ANSWER_BYTES)
        except httpx.HTTPError as error:
            raise ConnectionFailedError(
                f"the identity provider at {url} cannot be reached: {type(error).__name__}",
                hint="[oidc] in coordinator.toml; curl -v there, from this machine",
            ) from error
        except MessageError:
            raise ConnectionFailedError(f"{url} answered {response.status_code} and no JSON") from None
        if not isinstance(value, dict):
            raise ConnectionFailedError(f"{url} answered no JSON object")
        return response.status_code, value


def _secret_in(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"oidc.client_secret_file {file} cannot be read", hint=f"ls -l {file}") from error


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"oidc.ca_file {ca_file} cannot be used: {error}", hint=f"ls -l {ca_file}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # other people's providers
    return context
