"""A coordinator and a silo's agent for each file, all in one process: real machines, real training, no socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.channel.memory import MemoryChannel
from septum.adapters.clock import SystemClock
from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.store.open import open_store
from septum.coordinator.driver import Driver
from septum.coordinator.memory import MemoryService
from septum.coordinator.service import RunService
from septum.ports.channel import Channel
from septum.ports.launcher import Launcher, WorkerLimits
from septum.protocol.plan import Plan
from septum.protocol.resources import Capacity
from septum.protocol.views import RunView
from septum.sdk.package import LoadedApp
from septum.silo.admission import Admission
from septum.silo.agent import Agent
from septum.silo.consent import ApprovedApp
from septum.silo.datasets import plain_file
from septum.silo.journal import Journal
from septum.silo.kept import KeptModels
from septum.silo.library import Folders
from septum.silo.log import Log
from septum.silo.masking_tools import MaskingTools
from septum.silo.policy import Policy
from septum.silo.receipts import Receipts
from septum.silo.tables import Tables
from septum.silo.taking_part import Tools


@dataclass(frozen=True)
class Place:
    """Which app, on which files; `channel` and `launcher` may be wrapped by a test that looks on."""

    app: LoadedApp
    app_dir: Path
    files: Mapping[str, Path]
    folder: Path
    policy: Policy = field(default_factory=lambda: Policy(require_masking=False))
    channel: Callable[[Channel], Channel] = lambda channel: channel
    launcher: Callable[[], Launcher] = InlineLauncher
    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys.update({silo: Ed25519PrivateKey.generate() for silo in self.files})

    def silo_dir(self, silo: str) -> Path:
        """Where a silo has what it keeps."""
        return self.folder / silo

    def run(self, plan: Plan, key: str = "key") -> tuple[RunView, bytes]:
        """The run as it ended, and its model."""
        return asyncio.run(_run(self, plan, key))


def _masking_tools(place: Place, silo: str) -> MaskingTools:
    return MaskingTools(
        keys=lambda silos: {one: public_bytes(place.keys[one]) for one in silos},
        sign=place.keys[silo].sign,
        primitives=openssl(),
        journal=Journal(place.silo_dir(silo), silo),
        min_cohort=3,
    )


def _agent(place: Place, silo: str, records: Path, service: MemoryService) -> Agent:
    folder = place.silo_dir(silo)
    tools = Tools(
        channel=place.channel(MemoryChannel(silo, service)),
        launcher=place.launcher(),
        limits=WorkerLimits(),
        stop=threading.Event(),
        rand=lambda: 0.0,
        log=Log(silo=silo),
        masking=_masking_tools(place, silo),
        kept=KeptModels(folder) if place.policy.keep_models else None,
    )
    app = place.app
    manifest = app.manifest
    approved = ApprovedApp(
        path=place.app_dir,
        digest=app.digest,
        tree=app.digest,
        columns=manifest.columns,
        leaves=manifest.leaves,
        dataset=plain_file(records),
        private=manifest.private,
    )
    tables = Tables(folder / "tables")
    admission = Admission(
        silo=silo,
        policy=place.policy,
        library=Folders({app.app.name: approved}),
        roster=lambda _: None,
        table=lambda app, keep: tables.get(app.dataset, app.columns, keep),
        receipts=Receipts(folder),
        sandbox=1,
        log=Log(silo=silo),
    )
    return Agent(silo, admission.admit, folder / "runs", Capacity(1), tools)


@contextmanager
def _agents(place: Place, service: MemoryService) -> Iterator[None]:
    started = []
    for silo, records in place.files.items():
        agent = _agent(place, silo, records, service)
        thread = threading.Thread(target=agent.serve, daemon=True)
        thread.start()
        started.append((agent, thread))
    try:
        yield
        for agent, _ in started:  # each hears of the run's end, and leaves its directory in order
            while agent.serving:
                threading.Event().wait(0.01)
    finally:
        for agent, _ in started:
            agent.shut_down()
        for _, thread in started:
            thread.join(10)


async def _run(place: Place, plan: Plan, key: str) -> tuple[RunView, bytes]:
    with open_store(place.folder / "coordinator") as stores:
        blobs = DirectoryBlobs(place.folder / "coordinator" / "blobs")
        driver = Driver(stores.runs, blobs, SystemClock())
        service = RunService(driver, blobs, max_blob_bytes=2**30)
        await driver.start()
        loop = asyncio.get_running_loop()
        run = await service.submit(plan, key)
        around = _agents(place, MemoryService(service, loop))
        await loop.run_in_executor(None, around.__enter__)
        try:
            with service.journals.watch(run.id) as viewer:
                while await viewer.take(60.0) is not None:
                    pass
        finally:
            await loop.run_in_executor(None, around.__exit__, None, None, None)
        ended = await service.run(run.id)
        model = b"" if ended.model is None else await read_model(service, run.id, ended.model)
        await driver.close()
    return ended, model


async def read_model(service: RunService, run_id: str, digest: str) -> bytes:
    async with service.model(run_id, digest) as opened:
        return b"".join(opened.chunks())
