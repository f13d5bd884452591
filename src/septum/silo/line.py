"""How does a silo reach its coordinator? By its directory alone: address, key, pinned authority, proxy."""

from __future__ import annotations

import os
from pathlib import Path

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import load_private_key
from septum.silo.config import SiloConfig
from septum.silo.root import CA_NAME, KEY_NAME, proxies_of


def open_line(silo_dir: Path, config: SiloConfig) -> HttpsChannel:
    """A line to the coordinator; nothing is connected yet. Raises ConfigError."""
    ca_file = silo_dir / CA_NAME
    return HttpsChannel(
        config.coordinator,
        Ed25519Signer(config.name, load_private_key(silo_dir / KEY_NAME)),
        ca_file=ca_file if ca_file.exists() else None,
        extra_ca=config.network.ca_file,
        proxies=proxies_of(config.network.proxy, os.environ),
    )
