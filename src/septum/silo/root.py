"""How is a silo's agent put together and run? The silo's composition root: the only place that reads its configuration.

A silo's directory: `silo.toml`, `silo.key` (0600), `ca.pem`, `lock`, `runs/`.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from septum import __version__
from septum.adapters.accountant_process import AccountantProcess
from septum.adapters.ending import told_to_end
from septum.adapters.identity.keys import load_private_key
from septum.adapters.identity.masking_primitives import openssl
from septum.adapters.identity.roster_keys import public_text
from septum.adapters.launch.confine import keep_out
from septum.adapters.ownership import DirectoryLock
from septum.adapters.tracing.open import open_spans
from septum.errors import AuditError, SeptumError
from septum.privacy.ledger import Budget, Event
from septum.protocol.codec import kind_of
from septum.protocol.plan import Plan
from septum.protocol.silo import Denied
from septum.silo.admission import Admission, tell_unusable
from septum.silo.agent import Agent, Hooks
from septum.silo.alias import alias_by
from septum.silo.audit import SiloKind, check, record
from septum.silo.config import CONFIG_NAME, SiloConfig, read_config
from septum.silo.consent import ApprovedApp, Granted
from septum.silo.deployed import DeployedModels
from septum.silo.deploying import Deciding, Deploying
from septum.silo.describing import Describing, machine
from septum.silo.egress import WatchedChannel
from septum.silo.environment import Environments
from septum.silo.gauge import Gauge
from septum.silo.health import Health
from septum.silo.journal import Journal
from septum.silo.kept import KeptModels
from septum.silo.launchers import launcher
from septum.silo.ledger import Head, Ledger
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
from septum.silo.stance import Stances, denied
from septum.silo.tables import Table, Tables, key_of
from septum.silo.taking_part import Tools
from septum.silo.telling import Telling
from septum.silo.traces import Traces
from septum.silo.witness import Witness

if TYPE_CHECKING:
    from septum.silo.tracking import SiloTracking

HEED_S = 2.0  # how soon a steward's word about runs at work is heeded


def start(silo_dir: Path) -> None:
    """Run the agent of the silo in this directory, until SIGTERM or SIGINT. Raises when it cannot be started."""
    config = read_config(silo_dir / CONFIG_NAME)
    log_to_stderr()
    health = Health(config.metrics_file) if config.metrics_file else None
    telling = Telling(config.policy, Log(silo=config.name), health)
    log = telling.log
    keep_out()
    lock = DirectoryLock(silo_dir, "the agent")
    try:
        _begin_log(silo_dir, config, log)
        folders = approve_folders(config)
        for name, app in folders.apps.items():
            log.info("app_approved", app=name, app_digest=app.digest, path=str(app.path))
        agent, deploying = _agent(silo_dir, config, folders, telling, health)
        told = told_to_end()
        log.info("ready", coordinator=config.coordinator, pid=os.getpid())
        _serve(agent, deploying, told, log)
    finally:
        lock.release()


def _agent(
    silo_dir: Path, config: SiloConfig, folders: Folders, telling: Telling, health: Health | None
) -> tuple[Agent, Deploying]:
    log = telling.log
    traces = Traces(open_spans(config.policy.traces, "septum-silo"), config.name) if config.policy.traces else None
    channel = open_line(silo_dir, config, traces.told if traces else None)
    key = load_private_key(silo_dir / KEY_NAME)
    rosters = RosterRule(config, Rosters(silo_dir), public_text(key), channel.roster, log)
    starts, level = launcher(config.launcher, config.limits.level, silo_dir, telling.heard)
    accountant = AccountantProcess()
    purse = PrivacyTools(
        ledger=Ledger(silo_dir, accountant, time.time, partial(_budget_entry, silo_dir)),
        budget=Budget(config.policy.epsilon_budget, config.policy.budget_delta),
        accountant=accountant,
        receipts=PrivateReceipts(silo_dir),
        max_delta=config.policy.max_delta,
    )
    tools = Tools(
        channel=WatchedChannel(channel, log, health.answered) if health else WatchedChannel(channel, log),
        launcher=starts,
        limits=config.limits.of_worker(),
        stop=threading.Event(),
        rand=random.SystemRandom().random,
        log=log,
        send_error_texts=config.policy.send_error_texts,
        alias=alias_by(key) if config.policy.tell_dataset else None,
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
        tracking=_tracking(silo_dir, config, log),
        traces=traces,
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
    witness = Witness(silo_dir, config.name, key, channel.compare_heads, log, time.time)
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
        known=witness.refuses,
        record=partial(record, silo_dir),
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
    if tools.tracking is not None:
        tools.tracking.start(tools.stop, tools.rand)
    if health is not None:
        health.start(lambda: len(agent.serving), tools.stop, log)
    threading.Thread(target=witness.serve, args=(tools.stop,), name="audit", daemon=True).start()
    return agent, deploying


def _budget_entry(silo_dir: Path, head: Head, event: Event) -> None:
    what = kind_of(type(event))
    record(silo_dir, SiloKind.BUDGET, entry=str(head.number), hash=head.hash, what=what)


def _begin_log(silo_dir: Path, config: SiloConfig, log: Log) -> None:
    """Record that the agent starts, and the rules if they are other ones than before."""
    record(silo_dir, SiloKind.AGENT_STARTED, septum=__version__, pid=str(os.getpid()))
    try:
        rules = [event.about["policy"] for event in check(silo_dir) if event.kind == SiloKind.RULES.value]
    except AuditError as error:  # what is to be recorded is recorded all the same; who reads the log is told
        log.error("audit_log_damaged", error=error.message, hint=error.hint)  # noqa: TRY400  a log of our own
        rules = []
    if rules[-1:] != [config.policy.digest]:
        record(silo_dir, SiloKind.RULES, policy=config.policy.digest)


def _tracking(silo_dir: Path, config: SiloConfig, log: Log) -> SiloTracking | None:
    """What stores this silo's part in runs elsewhere; None where silo.toml names no tracker."""
    if not config.tracking:
        return None
    from septum.silo import tracking  # what an agent without trackers does without

    device = tracking.device_here(len(machine().gpus))
    trackers = tracking.make_trackers(config, silo_dir)
    return tracking.SiloTracking(config.name, trackers, silo_dir, log, time.time, device)


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


def _serve(agent: Agent, deploying: Deploying, told: SimpleQueue[int], log: Log) -> None:
    """Run the agent in a thread; this one waits for a signal, so that a held request cannot delay the end."""
    ending = threading.Event()
    failed: list[Exception] = []

    def serve() -> None:
        try:
            agent.serve()
        except Exception as error:  # noqa: BLE001  raised again in the main thread
            failed.append(error)
        finally:
            told.put(0)

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
    if number := told.get():
        log.info("ending", signal=signal.Signals(number).name)
    ending.set()
    deploying.close()
    agent.shut_down()
    thread.join(10)
    if failed:
        raise SeptumError(f"the agent ended by itself: {failed[0]}") from failed[0]
