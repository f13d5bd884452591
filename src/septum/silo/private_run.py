"""How does a silo take part in one run with differential privacy? Rows from the app, then septum's own training.

The app's code runs in one process, once: it makes rows and ends. Another process, which reads no code of the app,
trains on them; where privacy is attested, one with the app's code, of which nothing leaves that it does not attest.
Before anything that is made from rows may leave, the ledger has it: the noisy number of rows, and all steps that the
run may take. What is begun is counted on the disk before it is; a crash never makes a step free.

    privacy.json  what was reserved, and how many steps were begun
    rows          the rows that the app made
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from septum.adapters.files import replace_file
from septum.errors import AppError, BudgetError, SeptumError, TensorError, WorkerError
from septum.ports.launcher import Loop, Task, Worker, WorkerSpec
from septum.privacy.accounting import Accountant, Mechanism, SampledGaussian
from septum.privacy.ledger import Budget, Charge, Unit
from septum.privacy.wanted import MAX_AUTO_DELTA, count_noise
from septum.protocol.codec import dumps, to_json
from septum.protocol.layout import header_size, read_layout
from septum.protocol.messages import Stage
from septum.protocol.plan import Plan
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.silo import Job
from septum.sdk import private_loss
from septum.sdk.attested import Attested, check_paid
from septum.sdk.private_loss import PrivateLoss
from septum.silo.ledger import Ledger
from septum.silo.log import Log
from septum.silo.paid_state import read_state, write_durably
from septum.silo.private_receipts import PrivateReceipt, PrivateReceipts
from septum.silo.run_files import RunFiles

_Y = "train.y"
Start = Callable[[WorkerSpec], Worker]


@dataclass(frozen=True, slots=True)
class PrivacyTools:
    """What runs with differential privacy are paid from. `max_delta`: the policy's, which holds for delta auto, too."""

    ledger: Ledger
    budget: Budget
    accountant: Accountant
    receipts: PrivateReceipts
    unix: Callable[[], float] = time.time
    max_delta: float = MAX_AUTO_DELTA


@dataclass(frozen=True, slots=True)
class Account:
    """What was reserved for a run, and used.

    reservation  its id in the ledger; empty once it is settled
    paid         steps that were reserved and settled before, of a run that was stopped and resumed
    begun        steps that were begun, all in all
    metrics      the id of what was reserved for metrics; empty where none was, and once it is settled
    measured     whether metrics were begun: once, whatever becomes of them
    rows         the noisy number; the others as `privacy.dp_sgd.Settings` has them
    """

    reservation: str
    paid: int
    begun: int
    rows: int
    dataset: str
    delta: float
    noise_multiplier: float
    sampling_rate: float
    expected_batch: float
    most_steps: int
    metrics: str = ""
    measured: bool = False

    def training(self, steps: int) -> SampledGaussian:
        """What so many steps are to the accountant."""
        return SampledGaussian(self.noise_multiplier, self.sampling_rate, steps)


class PrivateRun:
    """One run's account and specs. For the thread that serves the run."""

    def __init__(self, tools: PrivacyTools, run: str, plan: Plan, files: RunFiles, log: Log) -> None:
        assert plan.privacy is not None
        self._tools, self._run, self._plan, self._files, self._log = tools, run, plan, files, log
        self._wanted: Privacy = plan.privacy
        self._is_checked = False
        self._attested = plan.privacy.strength is Strength.ATTESTED

    def spec_for(
        self, job: Job, app: WorkerSpec, dataset: str, private: PrivateLoss | None, start: Start
    ) -> WorkerSpec:
        """What the worker of this job is for; the job's steps count as taken from now on.

        Raises BudgetError for what the ledger, or the run's own reservation, does not pay; WorkerError for what the app
        cannot do.
        """
        unfit = private_loss.unfit(self._plan.app.name, private, attested=self._attested)
        if unfit or private is None:
            raise BudgetError(unfit)
        if not self._files.rows.exists():
            self._make_rows(replace(app, rows_for=private), start)
        account = self._load() or self._open(dataset)
        account = self._reserved(account, dataset)
        if job.stage is Stage.TRAIN:
            account = self._begin(account, job)
        if job.stage is Stage.EVALUATE and self._wanted.metrics is not None:
            self._begin_measuring(account)
        loop = self._loop(account, private)
        if self._attested:  # the app trains, on the rows that it makes again
            return replace(app, loop=loop)
        return replace(
            app,
            app_dir=app.run_dir,
            app_digest="",
            data_path=self._files.rows.absolute(),
            python=None,
            paths=(),
            loop=loop,
        )

    def check(self, job: Job, said: Attested | None) -> None:
        """Whether what came of a job may leave: an app's own training, where it says that it cost what was reserved.

        Raises WorkerError where it says nothing, or that it cost more.
        """
        if not self._attested or job.stage is not Stage.TRAIN:
            return
        account = self._load()
        if said is None or account is None:
            raise WorkerError(f"the app's process does not say how {job.name} was trained with differential privacy")
        asked = self._wanted
        try:
            check_paid(said, account.noise_multiplier, account.sampling_rate, asked.steps, asked.clip)
        except AppError as error:
            raise WorkerError(error.message) from error
        self._log.info("privacy_attested", stage=job.stage.value, round=job.round, **asdict(said))

    def settle(self) -> None:
        """Give back what was reserved and not begun, and note what it cost. Where that fails all of it stays spent.

        Again, it does what is not done yet.
        """
        try:
            account = self._load()
            if account is None or (not account.reservation and not account.metrics and self._noted(account)):
                return
            if account.reservation:
                self._tools.ledger.settle(account.reservation, account.begun - account.paid)
            if account.metrics:
                self._tools.ledger.settle(account.metrics, int(account.measured))
            if account.reservation or account.metrics:
                self._save(replace(account, reservation="", metrics="", paid=account.begun))
            self._tools.receipts.add(self._receipt(account))  # last: the accountant takes its time
        except SeptumError as error:
            self._log.error("privacy_not_settled", error=error.message, hint=error.hint)
            return
        self._log.info("privacy_settled", steps=account.begun, of=account.most_steps)

    # --- the account -----------------------------------------------------------------------------------------------

    def _open(self, dataset: str) -> Account:
        """Release the noisy number of rows, and make the run's noise from it: once, also where the rest is not paid."""
        from septum.privacy import spending  # numpy, which an agent without such runs does without

        wanted = self._wanted.wanted(self._plan.rounds)
        counting = count_noise(wanted.target_epsilon)
        self._tools.ledger.release(self._charge(dataset, counting, "its number of train rows"), self._tools.budget)
        rows = spending.noisy_count(self._rows(), counting, os.urandom)
        if self._plan.masking is not None:
            rows = min(rows, self._plan.masking.max_weight)
        spent = spending.derive(wanted, rows, self._tools.accountant, self._tools.max_delta)
        settings = spent.settings
        account = Account(
            reservation="",
            paid=0,
            begun=0,
            rows=rows,
            dataset=dataset,
            delta=spent.delta,
            noise_multiplier=settings.noise_multiplier,
            sampling_rate=settings.sampling_rate,
            expected_batch=settings.expected_batch,
            most_steps=spent.most_steps,
        )
        self._save(account)
        return account

    def _reserved(self, account: Account, dataset: str) -> Account:
        """The account with all its steps, and its metrics, in the ledger and on the disk."""
        account = self._reserved_metrics(self._checked(account), dataset)
        left = account.most_steps - account.paid
        if account.reservation or not left:
            return account
        charge = self._charge(dataset, account.training(left), f"training, {self._wanted.strength.value}")
        account = replace(account, reservation=self._tools.ledger.reserve(charge, self._tools.budget))
        self._save(account)
        self._log.info("privacy_reserved", steps=left, noise_multiplier=account.noise_multiplier, delta=account.delta)
        return account

    def _reserved_metrics(self, account: Account, dataset: str) -> Account:
        mechanism = self._wanted.metrics
        if mechanism is None or account.metrics or account.measured:
            return account
        charge = self._charge(dataset, mechanism, "metrics of the last model")
        account = replace(account, metrics=self._tools.ledger.reserve(charge, self._tools.budget))
        self._save(account)
        return account

    def _begin_measuring(self, account: Account) -> None:
        """Metrics are drawn once: what an earlier draw told is not known, and a second is not paid for."""
        if account.measured:
            raise BudgetError(
                "the metrics of this run were drawn before and are lost here: they are paid for once",
                hint="the model is there all the same: septum model download",
            )
        self._save(replace(account, measured=True))

    def _checked(self, account: Account) -> Account:
        """The account, without a reservation that the ledger has settled: whoever did that was killed before saying so.

        Asked once; from then on this object is the only one that settles it.
        """
        if self._is_checked or not (account.reservation or account.metrics):
            return account
        self._is_checked = True
        settled = self._tools.ledger.read().book.settled
        if account.metrics in settled:
            account = replace(account, metrics="")
        executed = settled.get(account.reservation)
        return account if executed is None else replace(account, reservation="", paid=account.paid + executed)

    def _noted(self, account: Account) -> bool:
        """Whether what the run cost up to now is among the receipts."""
        return any(one.run == self._run and one.steps == account.begun for one in self._tools.receipts.all())

    def _begin(self, account: Account, job: Job) -> Account:
        begun = account.begun + self._wanted.steps
        if begun > account.most_steps:
            raise BudgetError(
                f"{job.name} would be step {begun} of this run, and {account.most_steps} are paid for: work was lost"
                " and done again more often than the run has spare rounds",
                hint="septum run submit, anew",
            )
        account = replace(account, begun=begun)
        self._save(account)
        return account

    def _charge(self, dataset: str, mechanism: Mechanism, what: str) -> Charge:
        return Charge(dataset, Unit.RECORD, mechanism, f"run {self._run}: {what}")

    def _load(self) -> Account | None:
        return read_state(self._files.privacy, Account)

    def _save(self, account: Account) -> None:
        write_durably(self._files.privacy, dumps(to_json(account)))

    def _receipt(self, account: Account) -> PrivateReceipt:
        spent: list[Mechanism] = [count_noise(self._wanted.target_epsilon)]
        if account.begun:
            spent.append(account.training(account.begun))
        if account.measured and self._wanted.metrics is not None:
            spent.append(self._wanted.metrics)
        return PrivateReceipt(
            at=self._tools.unix(),
            run=self._run,
            dataset=account.dataset,
            strength=self._wanted.strength.value,
            epsilon=self._tools.accountant(spent, account.delta),
            delta=account.delta,
            steps=account.begun,
            rows=account.rows,
            noise_multiplier=account.noise_multiplier,
            sampling_rate=account.sampling_rate,
        )

    # --- the rows --------------------------------------------------------------------------------------------------

    def _make_rows(self, spec: WorkerSpec, start: Start) -> None:
        """Have the app make its rows, and end its process."""
        target = self._files.rows
        part = target.with_name(f"{target.name}.part")
        worker = start(spec)
        try:
            made = worker.perform(Task(Stage.PREPARE, 0, None, False, None, self._files.carried("rows")), part)
        finally:
            worker.close()
        if isinstance(made.payload, bytes):
            replace_file(target, made.payload)
        else:
            part.replace(target)

    def _rows(self) -> int:
        with self._files.rows.open("rb") as file:
            start = file.read(8)
            size = header_size(start)
            layout = read_layout(start + file.read(size - len(start)), self._files.rows.stat().st_size)
        counts = [spec.shape[0] for spec in layout.tensors if spec.name == _Y and len(spec.shape) == 1]
        if len(counts) != 1 or counts[0] < 1:
            raise TensorError("the app's process gave no rows")
        return counts[0]

    def _loop(self, account: Account, private: PrivateLoss) -> Loop:
        wanted = self._wanted
        return Loop(
            private=private,
            clip=wanted.clip,
            noise_multiplier=account.noise_multiplier,
            sampling_rate=account.sampling_rate,
            expected_batch=account.expected_batch,
            steps=wanted.steps,
            learning_rate=wanted.learning_rate,
            weight=account.rows,
            metrics_noise=0.0 if wanted.metrics is None else wanted.metrics.noise_multiplier,
        )
