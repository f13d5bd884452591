"""What is the coordinator made of? Its composition root: the one place that makes its adapters and wires them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.clock import SystemClock
from septum.adapters.machine_use import MachineUse
from septum.adapters.server.granian import GranianServer
from septum.adapters.store.sqlite import Stores, open_store
from septum.adapters.telemetry.open import Telemetry, open_telemetry
from septum.adapters.tls import ensure_server_certificate
from septum.coordinator.account import Account
from septum.coordinator.administrator import ensure_administrator
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import PREFIX, create_app
from septum.coordinator.apps import VERIFY, Apps
from septum.coordinator.asgi import App, Receive, Scope, Send
from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.driver import Driver, Pace
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.feed import Feed
from septum.coordinator.fleet import Fleet
from septum.coordinator.groups import Groups
from septum.coordinator.links import Links
from septum.coordinator.loads import Loads
from septum.coordinator.login import Lifetimes, Login
from septum.coordinator.logs import Logs
from septum.coordinator.loopback import HOST as LOOPBACK
from septum.coordinator.loopback import Loopback
from septum.coordinator.oidc import Oidc
from septum.coordinator.operator import ensure_operator
from septum.coordinator.people import People
from septum.coordinator.presence import Presence
from septum.coordinator.projects import Projects
from septum.coordinator.pruning import Pruning
from septum.coordinator.registered import Registered
from septum.coordinator.rosters import Rosters
from septum.coordinator.seats import Seats
from septum.coordinator.service import RunService
from septum.coordinator.silo_api import PREFIX as SILO_PREFIX
from septum.coordinator.silo_api import SiloApi, SiloApiParts
from septum.coordinator.silos import Silos
from septum.coordinator.tracking import Tracking, make_trackers
from septum.coordinator.web import Web
from septum.errors import ConnectionFailedError
from septum.ports.blobs import BlobStore

log = logging.getLogger("septum.coordinator.root")

LOCAL_CONNECTIONS = 256  # of browsers on this machine
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Ready:
    """That the coordinator takes requests now, and where. `console_url`: for this machine alone; empty: not so."""

    url: str
    port: int
    data_dir: Path
    console_url: str = ""


@dataclass(frozen=True, slots=True)
class Adapters:
    """How the coordinator's stores are opened; a fault test puts something of its own around them."""

    open_store: Callable[[Path], Stores] = open_store
    open_blobs: Callable[[Path], BlobStore] = DirectoryBlobs
    open_telemetry: Callable[[Path], Telemetry] = open_telemetry


ADAPTERS = Adapters()


def serve(
    config: CoordinatorConfig, ready: Callable[[Ready], None] | None = None, adapters: Adapters = ADAPTERS
) -> None:
    """Run the coordinator until SIGTERM or SIGINT. `ready` is called once it takes requests.

    A second signal ends it at once, as a kill would: what was acknowledged is on disk at any time.

    Raises:
        ConflictError: the data directory or the port is in use, or another coordinator took over.
        ConfigError: a setting, the certificate or the data directory cannot be used.
    """
    asyncio.run(_until_signal(config, ready or (lambda _: None), adapters))


async def _until_signal(config: CoordinatorConfig, ready: Callable[[Ready], None], adapters: Adapters) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    await run_coordinator(config, stop, ready, adapters)


async def run_coordinator(
    config: CoordinatorConfig, stop: asyncio.Event, ready: Callable[[Ready], None], adapters: Adapters = ADAPTERS
) -> None:
    """Run the coordinator in this event loop until `stop` is set or it fails."""
    async with AsyncExitStack() as stack:
        stores = adapters.open_store(config.data_dir)
        stack.callback(stores.close)
        certificate = _certificate(config)
        router = _Router()
        server = GranianServer(
            router,
            host=config.host,
            port=config.port,
            cert_path=certificate.cert,
            key_path=certificate.key,
            max_connections=config.max_connections,
        )
        local = _local_server(config, router)
        url = config.public_url(server.port)
        digest = ensure_operator(config.data_dir, url=url, ca_file=str(certificate.ca or ""))
        blobs = adapters.open_blobs(config.data_dir / "blobs")
        entry = _Entry(url, digest)
        telemetry = adapters.open_telemetry(config.data_dir)
        stack.callback(telemetry.close)
        kept = _Kept(stores, blobs, telemetry)
        driver = await _start_engine(config, kept, certificate, entry, router, stack)
        log.info("coordinator_starts", extra={"url": url, "data_dir": str(config.data_dir), "epoch": stores.epoch})
        console = f"http://{LOOPBACK}:{local.port}" if local else ""
        found = Ready(url, server.port, config.data_dir, console)
        servers = [server] if local is None else [server, local]
        await _serve(servers, driver, stop, lambda: ready(found))
        log.info("coordinator_stops", extra={"url": url})


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where everything is kept."""

    stores: Stores
    blobs: BlobStore
    telemetry: Telemetry


async def _start_engine(
    config: CoordinatorConfig,
    kept: _Kept,
    certificate: _Certificate,
    entry: _Entry,
    router: _Router,
    stack: AsyncExitStack,
) -> Driver:
    clock, stores, blobs = SystemClock(), kept.stores, kept.blobs
    pace = Pace(hold_s=config.hold_s, per_silo=config.held_per_silo)
    driver = Driver(stores.runs, blobs, clock, pace, stores.feed)
    feed = Feed(stores.feed, driver.performer, clock, config.feed_entries)
    driver.on_changes.append(feed.told)
    driver.on_drain.append(feed.entries.end)
    max_blob_bytes = config.max_blob_mb * 2**20
    service = RunService(driver, blobs, max_blob_bytes=max_blob_bytes)
    door = await _open_door(config, stores, driver, feed, certificate, entry, stack)
    fleet = Fleet(stores.accounts, driver.performer, clock, feed, lambda silo: silos.owner(silo))
    silos = Silos(stores.registry, driver.performer, clock, driver.held.silos, feed, fleet.of)
    presence = Presence(silos.views, feed, clock)
    driver.queue.offers = lambda: {
        silo: capacity for silo, capacity in fleet.capacities().items() if silos.public_key(silo) is not None
    }
    fleet.on_capacity.append(driver.reckon)
    service.machine_of = fleet.machine
    enrolment = Enrolment(silos, service, clock, name=config.name, url=entry.url, ca_digest=certificate.digest)
    apps = Apps(stores.apps, blobs, driver.performer, clock, VERIFY, max_blob_bytes, feed)
    rosters = Rosters(config.data_dir)
    groups = Groups(stores.groups, stores.projects, silos, driver.performer, clock, feed)
    projects = Projects(stores.projects, stores.groups, driver.performer, clock, feed)
    registered = Registered(
        stores.registered,
        service,
        projects,
        stores.groups,
        feed,
        clock,
        approve_own=config.approve_own,
    )
    logs, loads = _telemetry(config, kept.telemetry, driver, service, stack)
    silo_api = SiloApi(
        SiloApiParts(
            service=service,
            silos=silos,
            fleet=fleet,
            enrolment=enrolment,
            apps=apps,
            rosters=rosters,
            registered=registered,
            clock=clock,
            ca_path=certificate.ca,
            max_blob_bytes=max_blob_bytes,
            logs=logs,
            loads=loads,
        )
    )
    router.silo_api = silo_api
    driver.on_drain.append(silo_api.drain)
    enrolment.on_revoked.append(silo_api.end_silo)
    pruning = Pruning(driver, blobs, clock, registered)
    parts = ApiParts(
        service=service,
        silos=silos,
        enrolment=enrolment,
        apps=apps,
        rosters=rosters,
        clock=clock,
        login=door.login,
        people=door.people,
        account=door.account,
        pruning=pruning,
        oidc=door.oidc,
        groups=groups,
        projects=projects,
        registered=registered,
        feed=feed,
        seats=Seats(config.streams_per_person),
        logs=logs,
        loads=loads,
        links=Links(door.login, clock),
        started_at=clock.unix(),
    )
    router.public_api = create_app(parts)
    tracking = Tracking(driver, make_trackers(config.tracking, config.data_dir), config.data_dir, feed)
    await silos.load()
    await fleet.load()
    await driver.start()
    await feed.trim()
    presence.start(await driver.performer.read(stores.feed.silos_online))
    tracking.start()
    logs.start()
    loads.start()
    stack.callback(silo_api.close)
    stack.push_async_callback(driver.close)
    stack.push_async_callback(tracking.close)
    stack.push_async_callback(presence.close)
    stack.push_async_callback(silos.note, at_once=True)
    return driver


def _telemetry(
    config: CoordinatorConfig, telemetry: Telemetry, driver: Driver, service: RunService, stack: AsyncExitStack
) -> tuple[Logs, Loads]:
    """Logs of runs and loads of machines: they end after all that tells of them."""
    logs = Logs(telemetry.logs, service, driver.clock, config.logs_kept)
    loads = Loads(telemetry.system, driver.clock, MachineUse(config.data_dir))
    driver.on_facts.append(logs.noted)
    driver.on_drain.append(logs.hubs.end)
    stack.push_async_callback(logs.close)
    stack.push_async_callback(loads.close)
    return logs, loads


@dataclass(frozen=True, slots=True)
class _Entry:
    """By which URL people reach the coordinator, and what the operator's token is compared with."""

    url: str
    operator_digest: bytes


@dataclass(frozen=True, slots=True)
class _Door:
    """What lets people in."""

    login: Login
    people: People
    account: Account
    oidc: Oidc | None


async def _open_door(
    config: CoordinatorConfig,
    stores: Stores,
    driver: Driver,
    feed: Feed,
    certificate: _Certificate,
    entry: _Entry,
    stack: AsyncExitStack,
) -> _Door:
    performer, clock, credentials = driver.performer, driver.clock, stores.credentials
    await performer.write(ensure_administrator, config.data_dir, stores.people, credentials, clock.unix())
    lifetimes = Lifetimes(config.session_hours * 3600.0, config.idle_logout_min * 60.0)
    login = Login(credentials, stores.sessions, performer, clock, entry.operator_digest, feed, lifetimes)
    stack.callback(login.passwords.close)
    people = People(stores.people, credentials, performer, clock, entry.url, certificate.digest, feed)
    account = Account(credentials, stores.sessions, login, performer, clock, config.name, feed)
    if config.oidc is None:
        return _Door(login, people, account, None)
    from septum.coordinator.provider import Provider  # httpx and PyJWT: 8 MB that others need not hold

    provider = Provider(config.oidc)
    stack.push_async_callback(provider.close)
    callback = f"{entry.url}{PREFIX}/oidc/callback"
    oidc = Oidc(provider, login, stores.people, credentials, feed, clock, callback)
    return _Door(login, people, account, oidc)


def _local_server(config: CoordinatorConfig, router: _Router) -> GranianServer | None:
    """The listener for this machine alone, if there is to be one."""
    if config.console_port < 0:
        return None
    made: list[GranianServer] = []
    most = min(config.max_connections, LOCAL_CONNECTIONS)
    local = Loopback(router, lambda: made[0].port)
    made.append(
        GranianServer(
            local, host=LOOPBACK, port=config.console_port, max_connections=most, cert_path=None, key_path=None
        )
    )
    return made[0]


async def _serve(
    servers: Sequence[GranianServer], driver: Driver, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Serve until `stop`, or until a server or the driver fails: then that error is raised."""
    up = itertools.count(1)

    def one_is_up() -> None:
        if next(up) == len(servers):
            ready()

    serving = [asyncio.create_task(server.serve(one_is_up)) for server in servers]
    working = asyncio.create_task(driver.wait())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({*serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    log.info("coordinator_drains")
    driver.drain(ConnectionFailedError("the coordinator is going down", hint="it is asked again by itself"))
    for server in servers:
        server.stop()
    await asyncio.wait(serving)
    if working.done():
        working.result()
    working.cancel()
    for ended in serving:
        ended.result()


@dataclass(frozen=True, slots=True)
class _Certificate:
    """What the listener shows, and what silos and the operator's tools trust (None: the system's authorities)."""

    cert: Path
    key: Path
    ca: Path | None
    digest: str | None


def _certificate(config: CoordinatorConfig) -> _Certificate:
    if config.certificate:
        return _Certificate(Path(config.certificate), Path(config.key), None, None)
    made = ensure_server_certificate(config.data_dir / "tls", config.names)
    return _Certificate(made.cert_path, made.key_path, made.ca_path, made.digest)


class _Router:
    """The silos' hot routes go past FastAPI, and so do the console's files."""

    silo_api: App
    public_api: App

    def __init__(self) -> None:
        self._web: App = Web()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path.startswith(SILO_PREFIX):
            app = self.silo_api
        elif path.startswith("/api/"):
            app = self.public_api
        else:
            app = self._web
        await app(scope, receive, send)
