"""May a run with differential privacy be paid for, and trained? Asked before any code of the app runs.

What a query with noise costs is known beforehand. A run's cost is here known but roughly: what noise it gets follows
from the number of train rows, which the app makes. It is taken to be that of two Gaussian releases, the number of
rows and one that costs the target by itself. The ledger decides for good when the run reserves (private_run.py).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from septum.errors import SeptumError
from septum.privacy.accounting import Accountant, Gaussian, noise_for
from septum.privacy.gaussian import noise_multiplier
from septum.privacy.ledger import Budget, Charge, Unit, decide
from septum.protocol.plan import Plan
from septum.protocol.silo import Denied
from septum.silo.consent import ApprovedApp
from septum.silo.ledger import read
from septum.silo.log import Log

RULE = "policy.epsilon_budget"
TORCH_RULE = "privacy"
UNUSABLE = "the privacy ledger of this silo cannot be used; its own log says why"


def affordable(
    silo_dir: Path, budget: Budget, accountant: Accountant, log: Log, plan: Plan, app: ApprovedApp
) -> Denied | None:
    """Whether the ledger can pay for a plan as it stands now, None if so or if the plan asks for no privacy.

    Also whether torch is there, where a network is trained: nothing is to be spent on a run that cannot train.
    """
    if plan.privacy is None and (plan.query is None or plan.query.noise is None):
        return None
    if plan.privacy is not None and app.trains is not None and app.trains.by_torch and find_spec("torch") is None:
        hint = "pip install 'septum[torch]'"
        log.warning("privacy_without_torch", app=plan.app.name, hint=hint)
        return Denied(TORCH_RULE, f"the network of app {plan.app.name!r} is trained by torch; in this silo: {hint}")
    refused: SeptumError | None
    rule = RULE
    try:
        book = read(silo_dir).book  # first: what cannot be read is known at once, the noise takes a while
        charge = Charge(app.dataset.name, Unit.RECORD, _cost(plan, budget, accountant), "this run")
        refused = decide(book, charge, budget, accountant)
    except SeptumError as error:  # of the ledger, or nobody accounts: what cannot be paid for is not trained
        refused, rule = error, "ledger"
    if refused is None:
        return None
    log.warning("privacy_not_paid", error=refused.message, hint=refused.hint)
    return Denied(rule, refused.message if rule == RULE else UNUSABLE)


def _cost(plan: Plan, budget: Budget, accountant: Accountant) -> Gaussian:
    if plan.query is not None and plan.query.noise is not None:
        noise = plan.query.noise
        return Gaussian(noise_multiplier(noise.epsilon, noise.delta))
    wanted = plan.privacy
    assert wanted is not None
    return Gaussian(noise_for(accountant, wanted.target_epsilon, wanted.delta or budget.delta, 1.0, 1))
