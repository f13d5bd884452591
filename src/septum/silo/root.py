"""How is a silo's agent put together and run? The silo's composition root: the only place that reads its configuration.

A silo's directory: `silo.toml`, `silo.key` (0600), `ca.pem`, `lock`, `runs/`.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from septum.adapters.accountant_process import AccountantProcess
from septum.adapters.identity.keys import load_private_key
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.identity.roster_keys import public_text
from septum.adapters.launch.confine import keep_out
from septum.errors import ConflictError, SeptumError
from septum.privacy.ledger import Budget
from septum.protocol.plan import Plan
from septum.protocol.silo import Denied
from septum.silo.admission import Admission, tell_unusable
from septum.silo.agent import Agent, Hooks
from septum.silo.config import CONFIG_NAME, SiloConfig, read_config
from septum.silo.consent import ApprovedApp, Granted
from septum.silo.deployed import DeployedModels
from septum.silo.deploying import Deciding, Deploying
from septum.silo.describing import Describing
from septum.silo.egress import WatchedChannel
from septum.silo.environment import Environments
from septum.silo.gauge import Gauge
from septum.silo.journal import Journal
from septum.silo.kept import KeptModels
from septum.silo.launchers import launcher
from septum.silo.ledger import Ledger
from septum.silo.library import Folders, Library, approve_folders
from septum.silo.line import KEY_NAME, open_line
from septum.silo.log import Log, log_to_stderr
from septum.silo.low_budget import LowBudgets
from septum.silo.masking_tools import MaskingTools
from septum.silo.packages import Packages
from septum.silo.private_budget import affordable
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.private_run import PrivacyTools
from septum.silo.reading import ReadLimits
from septum.silo.receipts import Receipts
from septum.silo.removal import fold_revoked
from septum.silo.roster import Rosters
from septum.silo.roster_rule import RosterRule
from septum.silo.session import Tools
from septum.silo.stance import Stances, denied
from septum.silo.tables import Table, Tables, key_of
from septum.silo.telling import Telling

HEED_S = 2.0  # how soon a steward's word about runs at work is heeded


def start(silo_dir: Path) -> None:
    """Run the agent of the silo in this directory, until SIGTERM or SIGINT. Raises when it cannot be started."""
    config = read_config(silo_dir / CONFIG_NAME)
    log_to_stderr()
    telling = Telling(config.policy, Log(silo=config.name))
    log = telling.log
    keep_out()
    lock = _lock(silo_dir)
    try:
        folders = approve_folders(config)
        for name, app in folders.apps.items():
            log.info("app_approved", app=name, app_digest=app.digest, path=str(app.path))
        agent, deploying = _agent(silo_dir, config, folders, telling)
        log.info("ready", coordinator=config.coordinator, pid=os.getpid())
        _serve(agent, deploying, log)
    finally:
        os.close(lock)


def _agent(silo_dir: Path, config: SiloConfig, folders: Folders, telling: Telling) -> tuple[Agent, Deploying]:
    log = telling.log
    channel = open_line(silo_dir, config)
    key = load_private_key(silo_dir / KEY_NAME)
    rosters = RosterRule(config, Rosters(silo_dir), public_text(key), channel.roster, log)
    starts, level = launcher(config.launcher, config.limits.level, silo_dir, telling.heard)
    accountant = AccountantProcess()
    purse = PrivacyTools(
        ledger=Ledger(silo_dir, accountant, time.time),
        budget=Budget(config.policy.epsilon_budget, config.policy.budget_delta),
        accountant=accountant,
        receipts=PrivateReceipts(silo_dir),
        max_delta=config.policy.max_delta,
    )
    tools = Tools(
        channel=WatchedChannel(channel, log),
        launcher=starts,
        limits=config.limits.of_worker(),
        stop=threading.Event(),
        rand=random.SystemRandom().random,
        log=log,
        send_error_texts=config.policy.send_error_texts,
        tell_dataset=config.policy.tell_dataset,
        hours=config.policy.hours,
        masking=MaskingTools(
            keys=rosters.keys,
            sign=key.sign,
            primitives=openssl(),
            journal=Journal(silo_dir, config.name),
            min_cohort=config.policy.min_cohort,
        ),
        privacy=purse,
        kept=KeptModels(silo_dir) if config.policy.keep_models else None,
    )
    tables = Tables(silo_dir / "tables", ReadLimits(config.limits.task_s))
    packages = Packages(silo_dir)
    if swept := packages.sweep():
        log.info("packages_swept", folders=swept)
    fold = partial(_fold, silo_dir, log)
    fold()
    contracts = {app.dataset.name: tuple(app.columns) for app in folders.apps.values()}
    describing = Describing(config, contracts, channel.tell, log)
    library = Library(
        folders=folders,
        packages=packages,
        environments=Environments(silo_dir / "envs"),
        datasets={name: config.dataset_of(app) for name, app in config.apps.items()},
        policy=config.policy,
        offers=channel,
        fetch=silo_dir / "fetched",
        log=log,
    )
    low = LowBudgets(silo_dir, purse.budget, accountant, config.policy.tell_budget_below, log)
    stances = Stances(silo_dir, channel.tell, log, low.names)
    admission = Admission(
        silo=config.name,
        policy=config.policy,
        library=library,
        roster=rosters.check,
        table=lambda app, keep: _counted(describing, app, tables.get(app.dataset, app.columns, keep)),
        receipts=Receipts(silo_dir),
        sandbox=int(level),
        withdrawn=lambda run: denied(run, stances.now()),
        affordable=partial(affordable, silo_dir, purse.budget, accountant, log),
        capacity=describing.capacity,
        log=log,
    )
    models = DeployedModels(silo_dir)
    gauge = Gauge(
        silo=config.name,
        launcher=starts,
        limits=tools.limits,
        table=lambda app, keep: tables.get(app.dataset, app.columns, keep),
        kept=KeptModels(silo_dir),
        work=models.work,
        log=log,
    )
    deciding = Deciding(config.deploy, config.policy, library.find, int(level))
    deploying = Deploying(channel, models, deciding, gauge, log, time.time)
    _make_tables(tables, folders, describing, log)
    hooks = Hooks(fold, partial(_tell, describing, stances, deploying), stances.now, channel.over)
    admit = partial(_admitted, admission, telling)
    agent = Agent(config.name, admit, silo_dir / "runs", describing.capacity, tools, hooks)
    telling.start(channel, silo_dir, lambda: agent.serving, tools.stop)
    return agent, deploying


def _admitted(admission: Admission, telling: Telling, run: str, plan: Plan, kept: Path) -> Granted | Denied:
    decision = admission.admit(run, plan, kept)
    telling.admitted(run, plan, decision)
    return decision


def _tell(describing: Describing, stances: Stances, deploying: Deploying) -> None:
    stances.tell()
    describing.tell()
    if not stances.now().paused:  # else this is asked each second
        deploying.wake()


def _counted(describing: Describing, app: ApprovedApp, table: Table) -> Table:
    describing.counted(app.dataset.name, table.rows)
    return table


def _fold(silo_dir: Path, log: Log) -> None:
    """Delete what was kept of revoked packages for runs that have ended; what cannot be deleted now waits."""
    try:
        for digest in fold_revoked(silo_dir):
            log.info("package_folded", app_digest=digest)
    except (OSError, SeptumError) as error:
        log.warning("package_not_folded", error=str(error), hint=f"ls -ld {silo_dir / 'packages'}")


def _make_tables(tables: Tables, folders: Folders, describing: Describing, log: Log) -> None:
    """Read every app's data now, beside the agent's start: a run need not wait, and what is wrong is told early."""
    tables.keep({key_of(app.dataset, app.columns) for app in folders.apps.values()})

    def make(name: str, app: ApprovedApp) -> None:
        try:
            made = _counted(describing, app, tables.get(app.dataset, app.columns))
            log.info("data_ready", app=name, rows=made.rows, dataset=made.digest)
        except SeptumError as error:
            tell_unusable(log, name, error)

    for name, app in folders.apps.items():
        threading.Thread(target=make, args=(name, app), name=f"data of {name}", daemon=True).start()


def _serve(agent: Agent, deploying: Deploying, log: Log) -> None:
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

    def heed() -> None:
        while not ending.wait(HEED_S):
            try:
                agent.heed()
            except Exception as error:  # noqa: BLE001  a driver loop: logged, and tried again
                log.error("not_heeded", error=str(error))  # noqa: TRY400  a log of our own

    def break_off() -> None:
        while not ending.wait(HEED_S):
            with suppress(SeptumError):  # a coordinator that is away, or too old: it is asked again
                agent.break_off()

    thread = threading.Thread(target=serve, name="agent", daemon=True)
    thread.start()
    threading.Thread(target=heed, name="steward", daemon=True).start()
    threading.Thread(target=deploying.serve, name="deployments", daemon=True).start()
    threading.Thread(target=break_off, name="over", daemon=True).start()  # no steward waits for a coordinator
    ending.wait()
    deploying.close()
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
