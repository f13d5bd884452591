"""How is a silo's agent put together and run? The silo's composition root: the only place that reads its configuration.

A silo's directory: `silo.toml`, `silo.key` (0600), `ca.pem`, `lock`, `runs/`.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.channel.proxy import ProxySettings, proxies_from
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import load_private_key
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import ConfigError, ConflictError, SeptumError
from septum.sdk.package import digest_of
from septum.silo.agent import Agent
from septum.silo.config import CONFIG_NAME, AppSettings, SiloConfig, read_config
from septum.silo.consent import ApprovedApp
from septum.silo.log import Log, log_to_stderr
from septum.silo.session import Tools

KEY_NAME = "silo.key"
CA_NAME = "ca.pem"


def start(silo_dir: Path) -> None:
    """Run the agent of the silo in this directory, until SIGTERM or SIGINT. Raises when it cannot be started."""
    config = read_config(silo_dir / CONFIG_NAME)
    log_to_stderr()
    log = Log(silo=config.name)
    lock = _lock(silo_dir)
    try:
        apps = approve(config.apps)
        agent = _agent(silo_dir, config, apps, log)
        for name, app in apps.items():
            log.info("app_approved", app=name, app_digest=app.digest, path=str(app.settings.path))
        log.info("ready", coordinator=config.coordinator, pid=os.getpid())
        _serve(agent, log)
    finally:
        os.close(lock)


def approve(apps: Mapping[str, AppSettings]) -> dict[str, ApprovedApp]:
    """The apps with their folders' digests. Raises ConfigError for a folder that is not as it was pinned."""
    approved = {}
    for name, settings in apps.items():
        found = digest_of(settings.path)
        if settings.digest and settings.digest != found:
            raise ConfigError(
                f"[apps.{name}]: {settings.path} has the digest {found}, but {settings.digest} is approved",
                hint="restore the app; or read what changed, and write the new digest into silo.toml",
            )
        approved[name] = ApprovedApp(settings, found)
    return approved


def proxies_of(config_proxy: str, environment: Mapping[str, str]) -> ProxySettings:
    """The proxy of the configuration if there is one, else the environment's.

    >>> proxies_of("http://proxy:3128", {"https_proxy": "http://other:1"}).https_proxy
    'http://proxy:3128'
    """
    found = proxies_from(environment)
    return ProxySettings(config_proxy, found.no_proxy) if config_proxy else found


def _agent(silo_dir: Path, config: SiloConfig, apps: Mapping[str, ApprovedApp], log: Log) -> Agent:
    ca_file = silo_dir / CA_NAME
    channel = HttpsChannel(
        config.coordinator,
        Ed25519Signer(config.name, load_private_key(silo_dir / KEY_NAME)),
        ca_file=ca_file if ca_file.exists() else None,
        extra_ca=config.network.ca_file,
        proxies=proxies_of(config.network.proxy, os.environ),
    )
    tools = Tools(
        channel=channel,
        launcher=SubprocessLauncher(),
        limits=config.limits.of_worker(),
        stop=threading.Event(),
        rand=random.SystemRandom().random,
        log=log,
        send_error_texts=config.policy.send_error_texts,
    )
    return Agent(config.name, config.policy, apps, silo_dir / "runs", config.limits.max_runs, tools)


def _serve(agent: Agent, log: Log) -> None:
    """Run the agent in a thread; this one waits for a signal, so that a held request cannot delay the end."""
    ending = threading.Event()
    failed: list[Exception] = []

    def serve() -> None:
        try:
            agent.serve()
        except Exception as error:  # noqa: BLE001  raised again in the main thread
            failed.append(error)
        finally:
            ending.set()

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        log.info("ending", signal=signal.Signals(number).name)
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    thread = threading.Thread(target=serve, name="agent", daemon=True)
    thread.start()
    ending.wait()
    agent.shut_down()
    thread.join(10)
    if failed:
        raise SeptumError(f"the agent ended by itself: {failed[0]}") from failed[0]


def _lock(silo_dir: Path) -> int:
    """Keep a second agent out of this directory; the system takes the lock back when the process dies."""
    descriptor = os.open(silo_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise ConflictError(
            f"the silo in {silo_dir} already has an agent, with process id {owner}", hint=f"kill {owner} ends it"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
