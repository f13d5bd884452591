"""How does a machine become a silo? With a one-time token: a key made here, the coordinator's CA, and `silo.toml`.

With another one it brings a new key in place of the old one, and pins the coordinator's CA anew; all else stays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.channel import enroll as wire
from septum.adapters.files import sync_folder
from septum.adapters.identity.keys import load_private_key, make_private_key
from septum.adapters.identity.roster_keys import public_text
from septum.adapters.identity.token import read_token
from septum.errors import ConfigError, ConflictError
from septum.silo.audit import SiloKind, record
from septum.silo.config import CONFIG_NAME, AppSettings, Network, SiloConfig, check_url, read_config, write_config
from septum.silo.line import CA_NAME, KEY_NAME, proxies_of
from septum.silo.policy import Policy

NEXT_KEY_NAME = "silo.key.next"


def enroll(
    silo_dir: Path,
    *,
    url: str,
    token: str,
    apps: Mapping[str, AppSettings] | None = None,
    network: Network | None = None,
    policy: Policy | None = None,
) -> SiloConfig:
    """Make `silo_dir` (mode 0700) the directory of the silo that the token invites; its configuration.

    The private key never leaves the directory. When the coordinator's answer is lost, the same call again finishes: the
    key is there, and the same token with the same key is accepted again. Raises ConflictError for a directory that is
    enrolled already, AuthError, ConfigError and ConnectionFailedError as they are met.
    """
    if (silo_dir / CONFIG_NAME).exists():
        raise ConflictError(
            f"{silo_dir} is enrolled already: it has a {CONFIG_NAME}", hint=f"septum silo start --dir {silo_dir}"
        )
    network = network or Network()
    if network.ca_file is not None:
        network = Network(network.proxy, network.ca_file.absolute())
    config = SiloConfig(
        read_token(token).silo,
        check_url(url, "--url"),
        _absolute(apps or {}),
        policy=policy or Policy(),
        network=network,
    )
    try:
        silo_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        silo_dir.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{silo_dir} cannot be made: {error.strerror}") from error
    key_path = silo_dir / KEY_NAME
    key = load_private_key(key_path) if key_path.exists() else make_private_key(key_path)
    _bring(silo_dir, config, token, key)
    write_config(silo_dir / CONFIG_NAME, config)
    about = {"silo": config.name, "coordinator": config.coordinator, "key": public_text(key)}
    record(silo_dir, SiloKind.ENROLLED, **about)
    return config


def rekey(silo_dir: Path, token: str) -> SiloConfig:
    """Put a new key in place of this silo's, with a token that was made to renew it; its configuration.

    The old key counts no more once the coordinator has answered; an agent that runs has to be started again. When that
    answer is lost, the same call again finishes: the new key waits beside the old one. Raises ConfigError for a
    directory that is not enrolled and for a token of another silo, AuthError and ConnectionFailedError as they are met.
    """
    config = read_config(silo_dir / CONFIG_NAME)
    if (invited := read_token(token).silo) != config.name:
        raise ConfigError(
            f"the token is for silo {invited!r}, {silo_dir} is {config.name!r}", hint=f"septum silo renew {config.name}"
        )
    next_path = silo_dir / NEXT_KEY_NAME
    key = load_private_key(next_path) if next_path.exists() else make_private_key(next_path)
    _bring(silo_dir, config, token, key)
    next_path.replace(silo_dir / KEY_NAME)
    sync_folder(silo_dir)
    record(silo_dir, SiloKind.KEY_RENEWED, key=public_text(key))
    return config


def _bring(silo_dir: Path, config: SiloConfig, token: str, key: Ed25519PrivateKey) -> None:
    """Show the token and prove the key; pin the coordinator's CA."""
    network = config.network
    proxies = proxies_of(network.proxy, os.environ)
    enrolment = wire.enroll(config.coordinator, token, key, extra_ca=network.ca_file, proxies=proxies)
    if enrolment.ca_pem is not None:
        (silo_dir / CA_NAME).write_bytes(enrolment.ca_pem)


def _absolute(apps: Mapping[str, AppSettings]) -> dict[str, AppSettings]:
    """The agent may be started from another folder than this command."""
    return {
        name: replace(app, path=app.path.absolute() if app.path else None, data=app.data.absolute())
        for name, app in sorted(apps.items())
    }
