"""Which forward proxy a request goes through: HTTPS_PROXY and NO_PROXY."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from septum.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that tunnels (CONNECT). `authorization` is the value of Proxy-Authorization, a secret, or empty."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What the environment says about proxies.

    https_proxy  `http://[user:password@]host[:port]`, or empty
    no_proxy     comma-separated: a host, a domain (with its subdomains), an address, a network as in 10.0.0.0/8, each
                 with an optional :port; or *
    """

    https_proxy: str = field(default="", repr=False)
    no_proxy: str = ""

    def proxy_for(self, host: str, port: int) -> Proxy | None:
        """The proxy for this host, or None for a direct connection. Raises ConfigError if the setting is malformed.

        >>> ProxySettings("http://proxy.example:3128", "example.org").proxy_for("fl.example.org", 443)
        >>> ProxySettings("http://proxy.example:3128", "example.org").proxy_for("fl.example.com", 443).host
        'proxy.example'
        """
        if not self.https_proxy or any(_matches(rule.strip(), host, port) for rule in self.no_proxy.split(",")):
            return None
        return _proxy(self.https_proxy)


def proxies_from(environment: Mapping[str, str]) -> ProxySettings:
    """The settings in an environment. Lower-case names win, as in curl.

    >>> proxies_from({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost"}).no_proxy
    'localhost'
    """
    return ProxySettings(_variable(environment, "https_proxy"), _variable(environment, "no_proxy"))


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def _proxy(setting: str) -> Proxy:
    url = urlsplit(setting if "://" in setting else f"http://{setting}")
    try:
        port = url.port
    except ValueError:
        port = 0
    if url.scheme != "http" or not url.hostname or port == 0:
        # The setting is not quoted: it may hold a password.
        raise ConfigError(
            "HTTPS_PROXY cannot be used: it is not a plain HTTP proxy",
            hint="write it as http://host:port; what passes through it is TLS all the same",
        )
    credentials = ""
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(url.hostname, port or 80, credentials)


def _matches(rule: str, host: str, port: int) -> bool:
    if rule in ("", "*"):
        return rule == "*"
    name, rule_port = _split_port(rule)
    if rule_port is not None and rule_port != port:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name, host = name.lstrip("*").strip(".").lower(), host.rstrip(".").lower()
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _split_port(rule: str) -> tuple[str, int | None]:
    if rule.startswith("["):
        name, _, rest = rule[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdigit() else None
    if rule.count(":") == 1:
        name, _, port = rule.partition(":")
        return name, int(port) if port.isdigit() else None
    return rule, None
