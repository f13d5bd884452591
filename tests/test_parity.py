"""One plan, one model: the simulator and the coordinator with real agents over the in-memory channel agree bit for bit.

The same plan over HTTPS between processes is compared with the simulator in tests/e2e/test_demo.py.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.channel.memory import MemoryChannel
from septum.adapters.clock import SystemClock
from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.store.sqlite import open_store
from septum.cli.shipped import example
from septum.cli.silo_files import silo_files
from septum.coordinator.driver import Driver
from septum.coordinator.memory import MemoryService
from septum.coordinator.service import RunService
from septum.ports.launcher import WorkerLimits
from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
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
from septum.simulate.run import read_silos, simulate

APP_DIR = example("heart_disease")
APP = load_app(APP_DIR)
FILES = silo_files(example("heart_disease") / "data")


KEYS = {silo: Ed25519PrivateKey.generate() for silo in FILES}


def a_plan(strategy: StrategyRef, clip_norm: float | None, masking: Masking | None) -> Plan:
    hyper = APP.app.hyper_values(APP.app.resolve({"rounds": 4, "seed": 3}))
    ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
    silos = tuple(sorted(FILES))
    return Plan("parity", ref, hyper, silos, 4, seed=3, strategy=strategy, clip_norm=clip_norm, masking=masking)


def masking_tools(silo: str, folder: Path) -> MaskingTools:
    return MaskingTools(
        keys=lambda silos: {one: public_bytes(KEYS[one]) for one in silos},
        sign=KEYS[silo].sign,
        primitives=openssl(),
        journal=Journal(folder / silo, silo),
        min_cohort=3,
    )


@contextmanager
def agents(service: MemoryService, folder: Path) -> Iterator[None]:
    started = []
    for silo, records in FILES.items():
        tools = Tools(
            channel=MemoryChannel(silo, service),
            launcher=InlineLauncher(),
            limits=WorkerLimits(),
            stop=threading.Event(),
            rand=lambda: 0.0,
            log=Log(silo=silo),
            masking=masking_tools(silo, folder),
        )
        manifest = APP.manifest
        app = ApprovedApp(APP_DIR, APP.digest, APP.digest, manifest.columns, manifest.leaves, plain_file(records))
        tables = Tables(folder / silo / "tables")
        admission = Admission(
            silo=silo,
            policy=Policy(require_masking=False),
            library=Folders({APP.app.name: app}),
            roster=lambda _: None,
            table=lambda app, keep, tables=tables: tables.get(app.dataset, app.columns, keep),
            receipts=Receipts(folder / silo),
            sandbox=1,
            log=Log(silo=silo),
        )
        agent = Agent(silo, admission.admit, folder / silo / "runs", 1, tools)
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


async def over_the_memory_channel(plan: Plan, folder: Path) -> tuple[RunView, bytes]:
    with open_store(folder / "coordinator") as stores:
        blobs = DirectoryBlobs(folder / "coordinator" / "blobs")
        driver = Driver(stores.runs, blobs, SystemClock())
        service = RunService(driver, blobs, max_blob_bytes=2**30)
        await driver.start()
        loop = asyncio.get_running_loop()
        run = await service.submit(plan, "key")
        around = agents(MemoryService(service, loop), folder)
        await loop.run_in_executor(None, around.__enter__)
        try:
            async for _ in service.follow(run.id, after=0):
                pass
        finally:
            await loop.run_in_executor(None, around.__exit__, None, None, None)
        ended = await service.run(run.id)
        assert ended.model is not None
        model = service.model_path(ended.model).read_bytes()
        await driver.close()
    return ended, model


@pytest.mark.processes
@pytest.mark.parametrize(
    ("strategy", "clip_norm", "masking"),
    [
        (StrategyRef(), None, None),
        (StrategyRef("fedprox", {"mu": 0.5}), None, None),
        (StrategyRef("fedadam", {"lr": 0.05}), 0.01, None),
        (StrategyRef("median"), None, None),
        (StrategyRef("geometric-median"), None, None),
        (StrategyRef(), None, Masking()),
        (StrategyRef("fedadam", {"lr": 0.05}), 0.01, Masking(max_update=0.01, max_weight=500)),
    ],
    ids=[
        "fedavg",
        "fedprox",
        "fedadam-clipped",
        "median",
        "geometric-median",
        "fedavg-masked",
        "fedadam-clipped-masked",
    ],
)
def test_simulator_and_memory_channel_give_the_same_bytes(tmp_path, strategy, clip_norm, masking):
    plan = a_plan(strategy, clip_norm, masking)
    simulated = simulate(APP, plan, read_silos(APP, APP.app.resolve(plan.hyper), FILES))
    ended, model = asyncio.run(over_the_memory_channel(plan, tmp_path))
    assert ended.status.value == "finished"
    assert model == simulated.model
    assert ended.model == simulated.model_digest
    assert ended.metrics == simulated.metrics


def test_a_masked_model_is_as_good_as_a_plain_one_and_is_another():
    """Fixed point rounds each coordinate of an update to one of 2^31 steps, and the histogram has fewer bins."""
    rows = read_silos(APP, APP.app.resolve(a_plan(StrategyRef(), None, None).hyper), FILES)
    plain, masked = (simulate(APP, a_plan(StrategyRef(), None, masking), rows) for masking in (None, Masking()))
    assert plain.model_digest != masked.model_digest
    assert masked.metrics.rows == plain.metrics.rows == sum(one.rows for one in plain.silos.values())
    assert abs(masked.metrics.accuracy - plain.metrics.accuracy) < 0.01
    assert abs(masked.metrics.log_loss - plain.metrics.log_loss) < 1e-5
    assert abs(masked.metrics.roc_auc - plain.metrics.roc_auc) <= masked.metrics.roc_auc_bound + 0.001
    assert masked.silos.keys() == plain.silos.keys()  # a simulation knows what nobody would be told
