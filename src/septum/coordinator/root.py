"""What is the coordinator made of? Its composition root: the one place that makes its adapters and wires them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.clock import SystemClock
from septum.adapters.ending import SIGNALS
from septum.adapters.machine_use import MachineUse
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.ring import Ring
from septum.adapters.sealing.seal import is_sealed
from septum.adapters.server.granian import GranianServer
from septum.adapters.store.open import Stores, open_store
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.telemetry.open import Telemetry, open_telemetry
from septum.adapters.tls import ensure_server_certificate
from septum.adapters.tracing.open import open_spans
from septum.coordinator.account import Account
from septum.coordinator.administrator import ensure_administrator
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import PREFIX, create_app
from septum.coordinator.apps import VERIFY, Apps
from septum.coordinator.asgi import App, Receive, Scope, Send
from septum.coordinator.audit import Audit
from septum.coordinator.blob_place import BlobPlace, open_blobs
from septum.coordinator.blobs_config import BlobsConfig
from septum.coordinator.config import CoordinatorConfig
from septum.coordinator.driver import Driver, Pace
from septum.coordinator.earlier_models import move_earlier_models
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.feed import Feed
from septum.coordinator.final_models import FinalModels
from septum.coordinator.fleet import Fleet
from septum.coordinator.groups import Groups
from septum.coordinator.links import Links
from septum.coordinator.loads import Loads
from septum.coordinator.login import Lifetimes, Login
from septum.coordinator.logs import Logs
from septum.coordinator.loopback import HOST as LOOPBACK
from septum.coordinator.loopback import Loopback
from septum.coordinator.metering import metered
from septum.coordinator.metrics import Meters
from septum.coordinator.oidc import Oidc
from septum.coordinator.operator import ensure_operator
from septum.coordinator.people import People
from septum.coordinator.presence import Presence
from septum.coordinator.probes import LIVES, METRICS, READY, LocalProbes, Probes
from septum.coordinator.projects import Projects
from septum.coordinator.pruning import Pruning
from septum.coordinator.registered import Registered
from septum.coordinator.restore import record_restored
from septum.coordinator.rosters import Rosters
from septum.coordinator.run_keys import RunKeys
from septum.coordinator.scrape import Observed, Scrape
from septum.coordinator.sealed_credentials import SealedCredentials, about
from septum.coordinator.seats import Seats
from septum.coordinator.secrets_config import blob_key, keys_of
from septum.coordinator.service import RunService
from septum.coordinator.shredding import RunSecrets, Shredding, finish_shredding
from septum.coordinator.silo_api import PREFIX as SILO_PREFIX
from septum.coordinator.silo_api import SiloApi, SiloApiParts
from septum.coordinator.silo_models import SiloModels
from septum.coordinator.silos import Silos
from septum.coordinator.traces import Traces
from septum.coordinator.tracking import Tracking, make_trackers
from septum.coordinator.web import Web
from septum.errors import ConflictError, ConnectionFailedError, StorageError
from septum.ports.clock import Clock
from septum.ports.credentials import CredentialStore

log = logging.getLogger("septum.coordinator.root")

TRY_EVERY_S = 0.5  # to have the database that another coordinator had
DEAD_AFTER_S = 8.0  # it has said for longer than its lease that it lives
LOCAL_CONNECTIONS = 256  # of browsers on this machine


@dataclass(frozen=True, slots=True)
class Ready:
    """That the coordinator takes requests now, and where.

    console_url, metrics_url  for this machine alone; empty: not so
    """

    url: str
    port: int
    data_dir: Path
    console_url: str = ""
    metrics_url: str = ""


@dataclass(frozen=True, slots=True)
class Adapters:
    """How the coordinator's stores are opened; a fault test puts something of its own around them."""

    open_store: Callable[[Path, PostgresAddress | None], Stores] = open_store
    open_blobs: Callable[[Path, BlobsConfig | None, Keys | None], AbstractContextManager[BlobPlace]] = open_blobs
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
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in SIGNALS:
        loop.add_signal_handler(number, end)
    await run_coordinator(config, stop, ready, adapters)


async def run_coordinator(
    config: CoordinatorConfig, stop: asyncio.Event, ready: Callable[[Ready], None], adapters: Adapters = ADAPTERS
) -> None:
    """Run the coordinator in this event loop until `stop` is set or it fails."""
    async with AsyncExitStack() as stack:
        stores = await _opened(config, adapters, stop)
        if stores is None:
            return
        stack.callback(stores.close)
        ring = keys_of(config.data_dir, config.secrets)  # without the master key nothing is begun
        credentials = _credentials(ring, stores)
        record_restored(config.data_dir, stores.audit, SystemClock().unix())
        certificate = _certificate(config)
        router = _Router(Meters())
        server = GranianServer(
            router,
            host=config.host,
            port=config.port,
            cert_path=certificate.cert,
            key_path=certificate.key,
            max_connections=config.max_connections,
        )
        console = _local_server(config.console_port, config, lambda port: Loopback(router, port))
        watched = _local_server(
            config.metrics_port, config, lambda port: LocalProbes(router.answer_probe, router.page, port)
        )
        url = config.public_url(server.port)
        digest = ensure_operator(config.data_dir, url=url, ca_file=str(certificate.ca or ""))
        run_keys = _run_keys(config, ring, stores)
        keys = run_keys.keys if run_keys else None
        opening = adapters.open_blobs(config.data_dir, config.blobs, keys)
        place = await asyncio.to_thread(opening.__enter__)  # S3 may take its time, and another coordinator waits
        stack.push(opening.__exit__)
        await asyncio.to_thread(finish_shredding, stores.run_keys, place.blobs)
        await asyncio.to_thread(move_earlier_models, stores.runs, place.blobs)
        entry = _Entry(url, digest, credentials)
        telemetry = adapters.open_telemetry(config.data_dir)
        stack.callback(telemetry.close)
        kept = _Kept(stores, place, telemetry, _secrets_of_runs(stores, run_keys, keys))
        driver = await _start_engine(config, kept, certificate, entry, router, stack)
        log.info("coordinator_starts", extra={"url": url, "data_dir": str(config.data_dir), "epoch": stores.epoch})
        found = Ready(url, server.port, config.data_dir, *map(_url_here, (console, watched)))
        servers = [one for one in (server, console, watched) if one is not None]
        await _serve(servers, driver, stop, stores.lost, lambda: ready(found))
        log.info("coordinator_stops", extra={"url": url})


async def _opened(config: CoordinatorConfig, adapters: Adapters, stop: asyncio.Event) -> Stores | None:
    """The stores. None if `stop` came while another coordinator had them.

    On a PostgreSQL server it may be one that was killed just now: it has the database until its lease has run out.
    """
    if config.store is None:
        return adapters.open_store(config.data_dir, None)
    address, began, clock = config.store.address(), SystemClock().monotonic(), SystemClock()
    while True:
        try:
            return await asyncio.to_thread(adapters.open_store, config.data_dir, address)
        except ConflictError as error:
            if not config.store.standby and clock.monotonic() - began > DEAD_AFTER_S:
                raise
            log.info("coordinator_waits", extra={"reason": error.message})
        except StorageError as error:
            if not config.store.standby:
                raise
            log.warning("coordinator_waits", extra={"reason": error.message})
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TRY_EVERY_S)
        if stop.is_set():
            return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where everything is kept."""

    stores: Stores
    place: BlobPlace
    telemetry: Telemetry
    secrets: RunSecrets


async def _start_engine(
    config: CoordinatorConfig,
    kept: _Kept,
    certificate: _Certificate,
    entry: _Entry,
    router: _Router,
    stack: AsyncExitStack,
) -> Driver:
    clock, stores, blobs = SystemClock(), kept.stores, kept.place.blobs
    driver = _driver(config, kept, clock)
    audit = Audit(stores.audit, driver.performer, clock)
    feed = Feed(stores.feed, driver.performer, clock, config.feed_entries)
    driver.on_changes.append(feed.told)
    driver.on_drain.append(feed.entries.end)
    max_blob_bytes = config.max_blob_mb * 2**20
    service = RunService(driver, blobs, max_blob_bytes=max_blob_bytes)
    door = await _open_door(config, stores, _Evidence(feed, audit, clock), certificate, entry, stack)
    fleet = Fleet(stores.accounts, driver.performer, clock, feed, lambda silo: silos.owner(silo))
    silos = Silos(stores.registry, driver.performer, clock, driver.held.silos, feed, fleet.of)
    presence = Presence(silos.views, feed, clock)
    driver.queue.offers = lambda: {
        silo: capacity for silo, capacity in fleet.capacities().items() if silos.public_key(silo) is not None
    }
    fleet.on_capacity.append(driver.reckon)
    service.machine_of = fleet.machine
    service.address_of = kept.place.address
    enrolment = Enrolment(silos, service, clock, name=config.name, url=entry.url, ca_digest=certificate.digest)
    apps = Apps(stores.apps, blobs, driver.performer, clock, VERIFY, max_blob_bytes, feed)
    rosters = Rosters(config.data_dir, kept.place.keep_roster)
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
            audit=audit,
            traces=_traces(config, driver, stack),
        )
    )
    router.silo_api = silo_api
    driver.on_drain.append(silo_api.drain)
    enrolment.on_revoked.append(silo_api.end_silo)
    pruning = Pruning(driver, blobs, clock, registered)
    find = FinalModels(stores.runs, stores.apps, blobs)
    tracking = Tracking(driver, make_trackers(config.tracking, config.data_dir, find), config.data_dir, feed)
    router.observe(Observed(driver, service, silos, feed, logs, tracking, blobs), stores.check)
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
        shredding=Shredding(driver, blobs, service, registered, feed, kept.secrets, clock),
        oidc=door.oidc,
        groups=groups,
        projects=projects,
        registered=registered,
        silo_models=SiloModels(driver, blobs),
        feed=feed,
        audit=audit,
        seats=Seats(config.streams_per_person),
        logs=logs,
        loads=loads,
        links=Links(door.login, clock),
        scrape=router.scrape,
        labels=tuple(sorted(config.labels)),
        started_at=clock.unix(),
    )
    router.public_api = create_app(parts)
    await silos.load()
    await fleet.load()
    await driver.start()
    await feed.trim()
    presence.start(await driver.performer.read(stores.feed.silos_online))
    for part in (tracking, logs, loads, audit):
        part.start()
    stack.callback(silo_api.close)
    stack.push_async_callback(driver.close)
    stack.push_async_callback(audit.close)
    stack.push_async_callback(tracking.close)
    stack.push_async_callback(presence.close)
    stack.push_async_callback(silos.note, at_once=True)
    return driver


def _driver(config: CoordinatorConfig, kept: _Kept, clock: Clock) -> Driver:
    pace = Pace(hold_s=config.hold_s, per_silo=config.held_per_silo)
    driver = Driver(kept.stores.runs, kept.place.blobs, clock, pace, kept.stores.feed, kept.stores.audit)
    driver.queue.labels = frozenset(config.labels)
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


def _traces(config: CoordinatorConfig, driver: Driver, stack: AsyncExitStack) -> Traces | None:
    """The rounds' traces, if somebody wants them."""
    if not config.traces_endpoint:
        return None
    spans = open_spans(config.traces_endpoint, "septum-coordinator")
    stack.callback(spans.close)
    traces = Traces(spans)
    driver.on_committed.append(traces.committed)
    return traces


@dataclass(frozen=True, slots=True)
class _Entry:
    """By which URL people reach the coordinator, and what their proofs and the operator's token are compared with."""

    url: str
    operator_digest: bytes
    credentials: CredentialStore


def _credentials(ring: Ring | None, stores: Stores) -> CredentialStore:
    """The credentials, sealed where there is a key; what was there before is sealed now."""
    if ring is None:
        return stores.credentials
    sealer = ring.secrets
    sealed = stores.seal_secrets(lambda name, secret: secret if is_sealed(secret) else sealer.seal(secret, about(name)))
    log.info("secrets_sealed", extra={"new": sealed})
    return SealedCredentials(stores.credentials, sealer)


def _run_keys(config: CoordinatorConfig, ring: Ring | None, stores: Stores) -> RunKeys | None:
    """What makes the keys of runs, where files are sealed, or were."""
    common = blob_key(config.secrets, ring)
    return None if common is None else RunKeys(stores.run_keys, common)


def _secrets_of_runs(stores: Stores, run_keys: RunKeys | None, keys: Keys | None) -> RunSecrets:
    if run_keys is None or keys is None:
        return RunSecrets(stores.run_keys)
    return RunSecrets(stores.run_keys, run_keys.forget, keys.common.seal_new)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Where it is told and recorded what happens, and when that is."""

    feed: Feed
    audit: Audit
    clock: SystemClock


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
    evidence: _Evidence,
    certificate: _Certificate,
    entry: _Entry,
    stack: AsyncExitStack,
) -> _Door:
    feed, audit, clock, credentials = evidence.feed, evidence.audit, evidence.clock, entry.credentials
    performer = feed.performer
    await performer.write(ensure_administrator, config.data_dir, stores.people, credentials, clock.unix())
    lifetimes = Lifetimes(config.session_hours * 3600.0, config.idle_logout_min * 60.0)
    login = Login(credentials, stores.sessions, clock, entry.operator_digest, feed, audit, lifetimes)
    stack.callback(login.passwords.close)
    people = People(stores.people, credentials, performer, clock, entry.url, certificate.digest, feed)
    account = Account(credentials, stores.sessions, login, clock, config.name, feed, audit)
    if config.oidc is None:
        return _Door(login, people, account, None)
    from septum.coordinator.provider import Provider  # httpx and PyJWT: 8 MB that others need not hold

    provider = Provider(config.oidc)
    stack.push_async_callback(provider.close)
    callback = f"{entry.url}{PREFIX}/oidc/callback"
    oidc = Oidc(provider, login, stores.people, credentials, feed, clock, callback)
    return _Door(login, people, account, oidc)


def _local_server(
    port: int, config: CoordinatorConfig, app_of: Callable[[Callable[[], int]], App]
) -> GranianServer | None:
    """A listener for this machine alone, if there is to be one. `app_of` gets what says its port."""
    if port < 0:
        return None
    made: list[GranianServer] = []
    app, most = app_of(lambda: made[0].port), min(config.max_connections, LOCAL_CONNECTIONS)
    made.append(GranianServer(app, host=LOOPBACK, port=port, max_connections=most, cert_path=None, key_path=None))
    return made[0]


def _url_here(server: GranianServer | None) -> str:
    return f"http://{LOOPBACK}:{server.port}" if server else ""


async def _serve(
    servers: Sequence[GranianServer],
    driver: Driver,
    stop: asyncio.Event,
    lost: Future[None],
    ready: Callable[[], None],
) -> None:
    """Serve until `stop`, or until a server or the driver fails, or the database is lost: then that error is raised."""
    up = itertools.count(1)

    def one_is_up() -> None:
        if next(up) == len(servers):
            ready()

    serving = [asyncio.create_task(server.serve(one_is_up)) for server in servers]
    working = asyncio.create_task(driver.wait())
    stopping = asyncio.create_task(stop.wait())
    losing = asyncio.create_task(_end_of(lost))
    losing.add_done_callback(lambda task: task.cancelled() or task.exception())  # the driver may say it first
    await asyncio.wait({*serving, working, stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    log.info("coordinator_drains")
    driver.drain(ConnectionFailedError("the coordinator is going down", hint="it is asked again by itself"))
    for server in servers:
        server.stop()
    await asyncio.wait(serving)
    if working.done():
        working.result()
    working.cancel()
    if losing.done():
        losing.result()
    losing.cancel()
    for ended in serving:
        ended.result()


async def _end_of(lost: Future[None]) -> None:
    await asyncio.wrap_future(lost)


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
    """The silos' hot routes go past FastAPI, and so do the console's files and the probes. All are counted."""

    silo_api: App
    public_api: App
    probes: App
    scrape: Scrape

    def __init__(self, meters: Meters) -> None:
        self._web: App = Web()
        self.meters = meters

    def observe(self, observed: Observed, check: Callable[[], None]) -> None:
        """Count what happens there. `check` raises unless the store takes a write."""
        observed.driver.on_committed.append(self.meters.committed)
        observed.service.on_refused = self.meters.refused
        self.probes = Probes(observed.driver, observed.blobs, check)
        self.scrape = Scrape(self.meters, observed)

    async def answer_probe(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say how the coordinator is."""
        await self.probes(scope, receive, send)

    async def page(self) -> str:
        """The metrics."""
        return await self.scrape.page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path.startswith(SILO_PREFIX):
            app, part = self.silo_api, "silo"
        elif path.startswith("/api/"):
            app, part = self.public_api, "api"
        elif path in (LIVES, READY):
            app, part = self.probes, "probe"
        elif path == METRICS:  # where Prometheus looks unless it is told otherwise
            app, part = self.public_api, "probe"
            scope = {**scope, "path": PREFIX + METRICS, "raw_path": (PREFIX + METRICS).encode()}
        else:
            app, part = self._web, "console"
        await metered(app, part, self.meters, scope, receive, send)
