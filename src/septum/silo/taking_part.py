"""What does a silo have at hand in one run? Its tools, its files, the run's state, and what was begun for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from septum.ports.channel import Channel
from septum.ports.launcher import Launcher, WorkerLimits
from septum.protocol.query import Noise
from septum.protocol.silo import SiloRun
from septum.silo.consent import Granted
from septum.silo.kept import KeptModels
from septum.silo.log import Log
from septum.silo.masking_tools import MaskingTools
from septum.silo.own_model import OwnModel
from septum.silo.policy import Hours
from septum.silo.run_files import RunFiles
from septum.silo.traces import Asked, Traces

if TYPE_CHECKING:
    from septum.silo.masking import MaskedPart
    from septum.silo.private_query import PrivateQuery
    from septum.silo.private_run import PrivacyTools, PrivateRun
    from septum.silo.tracking import SiloTracking

T = TypeVar("T")
P = ParamSpec("P")


def minute_of_the_day() -> int:
    """Minutes since midnight, local time."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min


class StopSignal(Protocol):
    """Says when the agent ends; `threading.Event` is one.

    Contract: `wait` returns after so many seconds, or as soon as the signal is given; whether it was given.
    """

    def set(self) -> None:
        """Give it."""

    def is_set(self) -> bool:
        """Whether the signal was given."""

    def wait(self, timeout: float) -> bool:
        """Wait for it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a session works with.

    rand    uniform in [0, 1), for pauses
    minute  of the day, by the silo's own clock
    hours and send_error_texts are the policy's
    alias     under which name the digest of a run's rows is told; None: it is not
    masking   None where this silo takes no part in masked runs
    privacy   None where it takes no part in runs with differential privacy
    kept      None where this silo keeps no models of its own
    tracking  None where it stores its part in runs nowhere else
    traces    None where this silo tells no spans
    """

    channel: Channel
    launcher: Launcher
    limits: WorkerLimits
    stop: StopSignal
    rand: Callable[[], float]
    log: Log
    send_error_texts: bool = False
    alias: Callable[[str], str] | None = None
    hours: Hours | None = None
    minute: Callable[[], int] = minute_of_the_day
    masking: MaskingTools | None = None
    privacy: PrivacyTools | None = None
    kept: KeptModels | None = None
    tracking: SiloTracking | None = None
    unix: Callable[[], float] = time.time
    traces: Traces | None = None


class Stopwatch:
    """How long the agent's own steps take, seconds, beside those that were known before."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    def time(self, step: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something; what it took is added to the step's."""
        began = time.monotonic()
        try:
            return job(*args, **kwargs)
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - began


@dataclass(slots=True)
class Part:
    """A silo's part in one run: what its session, its talking and its working share.

    masked, paid, noisy  None where the run has no masks, no privacy, no noise; or where the silo takes no part in such

    accounted  whether what the run costs in privacy is counted: then no duration and no text of an app leaves
    tells      whether the coordinator is told what went wrong
    granted    what the silo's rules allowed; None before they were asked
    leaving    why it takes no further part, once the steward has said so, in another thread
    recalled   nobody waits for what is being done, as another thread has heard
    asked      the trace within which the work at hand is; None for none
    """

    tools: Tools
    files: RunFiles
    state: SiloRun
    log: Log
    masked: MaskedPart | None
    paid: PrivateRun | None
    noisy: PrivateQuery | None
    own: OwnModel
    accounted: bool
    tells: bool
    granted: Granted | None = None
    leaving: str = ""
    recalled: bool = False
    asked: Asked | None = None


def part_in(tools: Tools, files: RunFiles, state: SiloRun) -> Part:
    """What a silo begins its part in a run with, or goes on with."""
    log = tools.log.bind(run_id=state.run)
    accounted = state.plan.privacy is not None or noise_of(state) is not None
    return Part(
        tools,
        files,
        state,
        log,
        masked=None if state.plan.masking is None else _masked_part(tools, state),
        paid=private_run(tools, state, files, log),
        noisy=private_query(tools, state, files, log),
        own=OwnModel(state, files, tools.kept, log, tools.unix),
        accounted=accounted,
        tells=tools.send_error_texts and not accounted,  # an app's text can quote a row
    )


def private_run(tools: Tools, state: SiloRun, files: RunFiles, log: Log) -> PrivateRun | None:
    """The silo's account of a run with differential privacy; None where there is no such run, or no ledger."""
    if state.plan.privacy is None or tools.privacy is None:
        return None
    from septum.silo.private_run import PrivateRun  # as below

    return PrivateRun(tools.privacy, state.run, state.plan, files, log)


def noise_of(state: SiloRun) -> Noise | None:
    """The noise that a query asks for."""
    return None if state.plan.query is None else state.plan.query.noise


def private_query(tools: Tools, state: SiloRun, files: RunFiles, log: Log) -> PrivateQuery | None:
    """The silo's account of a query with noise; None where there is no such query, or no ledger."""
    if noise_of(state) is None or tools.privacy is None:
        return None
    from septum.silo.private_query import PrivateQuery  # numpy, as below

    return PrivateQuery(tools.privacy, state.run, state.plan, files, log)


def _masked_part(tools: Tools, state: SiloRun) -> MaskedPart | None:
    """The silo's masked part in a run; None where it has none, and says so when it is asked."""
    from septum.silo.masking import MaskedPart  # numpy, which an agent without such runs does without

    return None if tools.masking is None else MaskedPart(tools.masking, state.run, state.silo, state.plan)
