"""A whole federation in this process: the coordinator's own code, and an agent with its rules for each silo.

Silos reach it over the in-memory channel, which encodes and decodes what passes. What the coordinator is sent is kept
as well: `Held` is all that it ever gets to know of the silos, whatever it writes to its disk or drops.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.channel.memory import MemoryChannel, SiloService
from septum.adapters.clock import SystemClock
from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.store.sqlite import open_store
from septum.coordinator.driver import Driver
from septum.coordinator.memory import MemoryService
from septum.coordinator.service import RunService
from septum.ports.launcher import WorkerLimits
from septum.protocol.messages import Instruction, Masked, Poll, PollAnswer, Report, SiloMessage, Stage
from septum.protocol.plan import Plan
from septum.protocol.views import RunView
from septum.sdk.package import load_app
from septum.silo.admission import Admission
from septum.silo.agent import Agent
from septum.silo.consent import ApprovedApp
from septum.silo.datasets import plain_file
from septum.silo.journal import Journal
from septum.silo.library import Folders
from septum.silo.log import Log
from septum.silo.masking_tools import MaskingTools
from septum.silo.policy import Policy
from septum.silo.receipts import Receipts
from septum.silo.session import Tools
from septum.silo.tables import Tables


@dataclass
class Held:
    """What silos sent: every message, and every file."""

    messages: list[tuple[str, SiloMessage]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def payloads(self, stage: Stage, round_: int = 1) -> dict[str, bytes]:
        """What each silo sent as its result for a stage, plain or masked; the newest, if it sent several."""
        return {
            silo: self.files[message.payload.digest] if message.payload.inline is None else message.payload.inline
            for silo, message in self.messages
            if isinstance(message, Report | Masked) and (message.stage, message.round) == (stage, round_)
        }


class _Listening:
    """The coordinator's side of the channel; what comes in is kept."""

    def __init__(self, service: MemoryService, held: Held) -> None:
        self._service = service
        self._held = held

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        return self._service.poll(silo, message)

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        self._held.messages.append((silo, message))
        return self._service.exchange(silo, run, message)

    def put_blob(self, silo: str, run: str, digest: str, path: Path) -> None:
        self._held.files[digest] = path.read_bytes()
        self._service.put_blob(silo, run, digest, path)

    def blob_path(self, silo: str, run: str, digest: str) -> Path:
        return self._service.blob_path(silo, run, digest)

    def release(self, silo: str) -> None:
        self._service.release(silo)


@dataclass(frozen=True)
class Ended:
    """How a run ended, its last model, and what its coordinator was sent."""

    run: RunView
    model: bytes
    held: Held


def run_in_memory(plan: Plan, app_dir: Path, files: Mapping[str, Path], folder: Path) -> Ended:
    """Let silos with these files do what the plan says; everything on disk is in `folder`."""
    return asyncio.run(_run(plan, app_dir, files, folder))


async def _run(plan: Plan, app_dir: Path, files: Mapping[str, Path], folder: Path) -> Ended:
    held = Held()
    with open_store(folder / "coordinator") as stores:
        blobs = DirectoryBlobs(folder / "coordinator" / "blobs")
        driver = Driver(stores.runs, blobs, SystemClock())
        service = RunService(driver, blobs, max_blob_bytes=2**30)
        await driver.start()
        loop = asyncio.get_running_loop()
        run = await service.submit(plan, "key")
        around = _agents(_Listening(MemoryService(service, loop), held), app_dir, files, folder)
        await loop.run_in_executor(None, around.__enter__)
        try:
            async for _ in service.follow(run.id, after=0):
                pass
        finally:
            await loop.run_in_executor(None, around.__exit__, None, None, None)
        ended = await service.run(run.id)
        assert ended.model is not None, ended.reason
        model = service.model_path(ended.model).read_bytes()
        await driver.close()
    return Ended(ended, model, held)


@contextmanager
def _agents(service: SiloService, app_dir: Path, files: Mapping[str, Path], folder: Path) -> Iterator[None]:
    keys = {silo: Ed25519PrivateKey.generate() for silo in files}
    started = []
    for silo, records in files.items():
        tools = Tools(
            channel=MemoryChannel(silo, service),
            launcher=InlineLauncher(),
            limits=WorkerLimits(),
            stop=threading.Event(),
            rand=lambda: 0.0,
            log=Log(silo=silo),
            masking=_masking_tools(silo, keys, folder),
        )
        agent = Agent(silo, _admission(silo, app_dir, records, folder).admit, folder / silo / "runs", 1, tools)
        thread = threading.Thread(target=agent.serve, daemon=True)
        thread.start()
        started.append((agent, thread))
    try:
        yield
    finally:
        for agent, _ in started:
            agent.shut_down()
        for _, thread in started:
            thread.join(10)


def _masking_tools(silo: str, keys: Mapping[str, Ed25519PrivateKey], folder: Path) -> MaskingTools:
    return MaskingTools(
        keys=lambda silos: {one: public_bytes(keys[one]) for one in silos},
        sign=keys[silo].sign,
        primitives=openssl(),
        journal=Journal(folder / silo, silo),
        min_cohort=3,
    )


def _admission(silo: str, app_dir: Path, records: Path, folder: Path) -> Admission:
    app = load_app(app_dir)
    manifest = app.manifest
    approved = ApprovedApp(app_dir, app.digest, app.digest, manifest.columns, manifest.leaves, plain_file(records))
    tables = Tables(folder / silo / "tables")
    return Admission(
        silo=silo,
        policy=Policy(require_masking=False),
        library=Folders({app.app.name: approved}),
        roster=lambda _: None,
        table=lambda app, keep: tables.get(app.dataset, app.columns, keep),
        receipts=Receipts(folder / silo),
        sandbox=1,
        log=Log(silo=silo),
    )
