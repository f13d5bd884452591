"""How does a silo reach its coordinator? By its directory alone: address, key, pinned authority, proxy."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.channel.proxy import ProxySettings, proxies_from
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import load_private_key
from septum.silo.config import SiloConfig

KEY_NAME = "silo.key"
CA_NAME = "ca.pem"


def proxies_of(config_proxy: str, environment: Mapping[str, str]) -> ProxySettings:
    """The proxy of the configuration if there is one, else the environment's.

    >>> proxies_of("http://proxy:3128", {"https_proxy": "http://other:1"}).https_proxy
    'http://proxy:3128'
    """
    found = proxies_from(environment)
    return ProxySettings(config_proxy, found.no_proxy) if config_proxy else found


def open_line(
    silo_dir: Path, config: SiloConfig, on_traceparent: Callable[[str, str], None] | None = None
) -> HttpsChannel:
    """A line to the coordinator; nothing is connected yet. Raises ConfigError."""
    ca_file = silo_dir / CA_NAME
    return HttpsChannel(
        config.coordinator,
        Ed25519Signer(config.name, load_private_key(silo_dir / KEY_NAME)),
        ca_file=ca_file if ca_file.exists() else None,
        extra_ca=config.network.ca_file,
        proxies=proxies_of(config.network.proxy, os.environ),
        egress_hosts=config.policy.egress_hosts,
        on_traceparent=on_traceparent,
    )
