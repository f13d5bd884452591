"""Which runs does this silo take part in? Its own rules, from `[policy]` in silo.toml; nothing else can change them.

Each rule is evaluated here, in the silo, before any code of an app runs. What the coordinator sends is only ever
compared with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

from blake3 import blake3

from septum.adapters.channel.elsewhere import host_of
from septum.adapters.tracing.open import check_endpoint
from septum.errors import ConfigError
from septum.privacy.accounting import check_delta
from septum.privacy.ledger import Budget
from septum.protocol.codec import Json, dumps
from septum.protocol.privacy import Strength
from septum.sdk.leaves import LEAVES

MAX_EVERY_S = 600
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_SIGNER = re.compile(r"ed25519:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Hours:
    """A time of the day, in minutes since midnight of the silo's own clock; `start` is in it, `end` is not.

    >>> night = Hours(20 * 60, 6 * 60)
    >>> night.hold(23 * 60), night.hold(6 * 60), str(night)
    (True, False, '20:00-06:00')
    """

    start: int
    end: int

    def hold(self, minute: int) -> bool:
        """Whether a minute of the day is in them. Equal ends are the whole day."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def wait_minutes(self, minute: int) -> int:
        """How long until they begin; 0 within them.

        >>> Hours(20 * 60, 6 * 60).wait_minutes(19 * 60)
        60
        """
        return 0 if self.hold(minute) else (self.start - minute) % (24 * 60)

    def __str__(self) -> str:
        return f"{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"


class RosterBy(Enum):
    """Who may bring a newer roster."""

    STEWARD = "steward"
    CHAIN = "chain"


class LogsLeave(Enum):
    """Which lines of a run's log the coordinator is told.

    NONE   none
    AGENT  the agent's own, as far as `silo.told` names them
    APP    also what the app prints, in runs without masks and without differential privacy
    """

    NONE = "none"
    AGENT = "agent"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules. None where any value is allowed.

    min_cohort         a run that may close a round with fewer silos is refused: a sum over few says much about each;
                       and no masked sum is signed that would, with earlier ones, tell something about fewer
    require_masking    whether a run is refused that would show the coordinator this silo's own updates and metrics
    allow_silo_models  whether a run without masks may keep this silo's own model of each round at the coordinator,
                       where its reviewers can download it. A coordinator that sees an update could keep it anyway: this
                       rule is about what is done openly, and `require_masking` about what can be
    max_rounds         a run of more rounds is refused
    strategies         aggregation strategies that are allowed
    folders            whether an app may be a folder of this silo's, for development; else only packages run
    signers            packages that one of these keys signed need no approval by hand
    require_signature  whether a package that nobody signed is refused though its digest is approved
    columns            columns of the data contract that an app may read
    releases           what may leave, as `[leaves]` of an app names it
    min_rows           a dataset with fewer rows takes no part: what a few patients' update says, it says about each
    roster             who may bring a newer roster than the pinned one: the steward by its digest, or a chain of enough
                       administrators' signatures. A pinned roster always counts
    require_roster     whether a silo that has pinned none takes part in no run
    min_sandbox        the sandbox level that a training process has to have: 1 or 2
    egress_hosts       hosts besides the coordinator, `host` or `host:port`, from which a blob may be fetched when the
                       coordinator says that it is there
    tracking_hosts     hosts, `host` or `host:port`, that this silo's own trackers may reach, `[tracking.NAME]`
    hours              when this silo works for others; outside of them it waits
    send_error_texts   whether the coordinator is told what went wrong with a piece of work, traceback included, or only
                       that it failed: such a text can quote a cell of the data, whoever wrote the app
    require_privacy    whether a run without differential privacy is refused, and statistics without noise
    privacy_strength   whether a run may rest on what an app attests of its own training, or septum has to enforce it
    max_epsilon        a run, or a query with noise, that would cost this silo's records more is refused
    max_delta          and one that asks for a larger delta; what a run leaves to the silo (delta auto) is no larger
    epsilon_budget     the most that all runs together may cost the records of a dataset; what is beyond is refused
    budget_delta       the delta at which that holds
    keep_models        whether this silo's own models, with the parameters that never leave it, are kept when a run ends
    queries            apps, by name, of whose columns statistics may be asked without training (`septum stats run`); of
                       none unless it is said here, for to approve an app is to approve what its own code lets leave
    require_noise      whether queries without noise are refused: those with noise are paid from the ledger. What an app
                       lets leave in training, its own statistics too, is for `require_privacy`
    min_cell           statistics without noise that tell counts of fewer people over all silos are refused
    tell_dataset       whether the coordinator is told the digest of the rows of a run without differential privacy,
                       hashed with a key of the silo's own: so people see whether two runs here had the same ones, and
                       nobody can check a guess of the rows by it
    tell_budget_below  a share of the epsilon budget, between 0 and 1: the names of datasets with less left are told,
                       and nothing else of the ledger; none without it
    tell_rows          whether the coordinator is told how many rows an offered dataset has, to its first digit
    logs               which lines of a run's log the coordinator is told
    system_every_s     every how many seconds is looked at how busy this machine is, for the coordinator; 0: never.
                       Never, too, while a run with differential privacy is at work, or where only such may run
    traces             an OpenTelemetry collector that is told how long this silo's work took, `https://HOST:PORT`, by
                       OTLP over HTTP; empty: none. Needs the extra `otel`; the coordinator does not hear of it
    """

    min_cohort: int = 3
    max_rounds: int | None = None
    strategies: tuple[str, ...] | None = None
    folders: bool = True
    signers: tuple[str, ...] = ()
    require_signature: bool = False
    columns: tuple[str, ...] | None = None
    releases: tuple[str, ...] | None = None
    min_rows: int = 1
    roster: RosterBy = RosterBy.STEWARD
    require_roster: bool = False
    min_sandbox: int = 1
    egress_hosts: tuple[str, ...] = ()
    tracking_hosts: tuple[str, ...] = ()
    hours: Hours | None = None
    send_error_texts: bool = False
    require_masking: bool = True
    allow_silo_models: bool = False
    require_privacy: bool = False
    privacy_strength: Strength = Strength.ENFORCED
    max_epsilon: float = 10.0
    max_delta: float = 0.01
    epsilon_budget: float = 20.0
    budget_delta: float = 1e-5
    keep_models: bool = True
    queries: tuple[str, ...] = ()
    require_noise: bool = False
    min_cell: int = 5
    tell_dataset: bool = False
    tell_budget_below: float | None = None
    tell_rows: bool = False
    logs: LogsLeave = LogsLeave.AGENT
    system_every_s: int = 10
    traces: str = ""

    def __post_init__(self) -> None:
        for signer in self.signers:
            if not _SIGNER.fullmatch(signer):
                raise ConfigError(
                    f"[policy]: signers has {signer!r}, which is no public key", hint="septum app verify FILE shows it"
                )
        for name in self.releases or ():
            if name not in LEAVES:
                raise ConfigError(f"[policy]: releases has {name!r}; possible are {', '.join(LEAVES)}")
        for host in self.egress_hosts:
            host_of(host)
        for host in self.tracking_hosts:
            host_of(host, "[policy]: tracking_hosts")
        Budget(self.epsilon_budget, self.budget_delta)  # refuses what is none
        check_delta(self.max_delta)
        if not self.max_epsilon > 0:
            raise ConfigError(f"[policy]: max_epsilon is {self.max_epsilon}, a number above 0 is needed")
        if self.min_cell < 1:
            raise ConfigError(f"[policy]: min_cell is {self.min_cell}, 1 or more people are possible")
        if self.min_sandbox not in (1, 2):
            raise ConfigError(f"[policy]: min_sandbox is {self.min_sandbox}, 1 or 2 are possible")
        self._check_told()
        if self.traces:
            check_endpoint(self.traces, "[policy]: traces")

    def _check_told(self) -> None:
        """Whether what is told fits the other rules. Raises ConfigError."""
        if self.tell_rows and (self.require_privacy or self.require_noise):
            raise ConfigError(
                "[policy]: tell_rows tells of a dataset's rows without noise, and at the edge of a bucket one row"
                " shows; require_privacy and require_noise let nothing of the kind leave",
                hint="tell_rows = false",
            )
        if not (self.system_every_s == 0 or 1 <= self.system_every_s <= MAX_EVERY_S):
            raise ConfigError(
                f"[policy]: system_every_s is {self.system_every_s}; 0 (never) or 1 to {MAX_EVERY_S} are possible"
            )
        if self.tell_budget_below is not None and not 0 < self.tell_budget_below < 1:
            raise ConfigError(f"[policy]: tell_budget_below is {self.tell_budget_below}, it is between 0 and 1")
        if self.tell_dataset and (self.require_privacy or self.require_noise):
            raise ConfigError(
                "[policy]: tell_dataset tells which rows there are, exactly; require_privacy and require_noise let"
                " nothing of the kind leave",
                hint="tell_dataset = false",
            )

    @property
    def tells_system(self) -> bool:
        """Whether the coordinator is told how busy this machine is."""
        return self.system_every_s > 0 and not self.require_privacy

    @property
    def digest(self) -> str:
        """Of all rules, as a receipt names them."""
        return f"blake3:{blake3(dumps(self.as_json())).hexdigest()}"

    def as_json(self) -> dict[str, Json]:
        """Each rule by its key in silo.toml."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def hours_of(text: str, where: str) -> Hours:
    """`"20:00-06:00"` as Hours. Raises ConfigError.

    >>> hours_of("08:30-18:00", "[policy]").start
    510
    """
    match = _HOURS.fullmatch(text)
    if match is None:
        raise ConfigError(f"{where}: hours is {text!r}", hint='write: hours = "20:00-06:00", the silo\'s local time')
    first, second, third, fourth = (int(number) for number in match.groups())
    return Hours(60 * first + second, 60 * third + fourth)


def explained(policy: Policy) -> Mapping[str, str]:
    """Each rule in words, as a steward reads them back."""

    def any_of(values: tuple[str, ...] | None) -> str:
        return "any" if values is None else ", ".join(values) or "none"

    return {
        "min_cohort": f"a round of {policy.min_cohort} silos at least",
        "require_masking": "masked runs only"
        if policy.require_masking
        else "also runs that show the coordinator what this silo sends",
        "allow_silo_models": "a run may keep this silo's own models at the coordinator"
        if policy.allow_silo_models
        else "no run keeps this silo's own models at the coordinator",
        "max_rounds": "any number of rounds" if policy.max_rounds is None else f"at most {policy.max_rounds} rounds",
        "strategies": f"strategies: {any_of(policy.strategies)}",
        "folders": "apps in folders and packages run" if policy.folders else "only packages run",
        "signers": f"approved by signature: {', '.join(policy.signers) or 'none'}; others by hand",
        "require_signature": "packages must be signed" if policy.require_signature else "packages may be unsigned",
        "columns": f"columns that an app may read: {any_of(policy.columns)}",
        "releases": f"may leave: {any_of(policy.releases)}",
        "min_rows": f"a dataset of {policy.min_rows} rows at least",
        "roster": {
            RosterBy.STEWARD: "a newer roster is approved by hand",
            RosterBy.CHAIN: "a newer roster counts once enough administrators of the pinned one signed it",
        }[policy.roster],
        "require_roster": "no run without a pinned roster" if policy.require_roster else "runs also without a roster",
        "min_sandbox": f"sandbox level {policy.min_sandbox} at least",
        "egress_hosts": "blobs come from the coordinator"
        + (f", and from {', '.join(policy.egress_hosts)} when it says so" if policy.egress_hosts else " alone"),
        "tracking_hosts": "this silo's own trackers may reach "
        + (", ".join(policy.tracking_hosts) or "no other machine"),
        "hours": "works at any time" if policy.hours is None else f"works {policy.hours}, local time",
        "require_privacy": "runs with differential privacy, and statistics with noise, only"
        if policy.require_privacy
        else "also runs without differential privacy",
        "privacy_strength": "differential privacy is septum's own doing"
        if policy.privacy_strength is Strength.ENFORCED
        else "differential privacy may be what an app says of its own training",
        "max_epsilon": f"a run with differential privacy, or a query with noise, costs epsilon {policy.max_epsilon:g} "
        "at most",
        "max_delta": f"at a delta of {policy.max_delta:g} at most",
        "epsilon_budget": f"all of them cost a dataset epsilon {policy.epsilon_budget:g} at most",
        "budget_delta": f"at a delta of {policy.budget_delta:g}",
        "send_error_texts": "texts of errors leave" if policy.send_error_texts else "texts of errors stay here",
        "keep_models": "this silo's own models are kept" if policy.keep_models else "no model is kept when a run ends",
        "queries": f"statistics may be asked about the columns of {', '.join(policy.queries)}, in sums over silos"
        if policy.queries
        else "no statistics may be asked but those of an app's own code",
        "require_noise": "queries with noise only" if policy.require_noise else "also queries without noise",
        "min_cell": f"in statistics without noise no count of fewer than {policy.min_cell} people is told",
        "tell_dataset": "the digest of a run's rows is told"
        if policy.tell_dataset
        else "which rows a run has is told to nobody",
        "tell_budget_below": "how much of a privacy budget is left stays here"
        if policy.tell_budget_below is None
        else f"datasets with less than {policy.tell_budget_below:.0%} of their epsilon budget left are named",
        "tell_rows": "of datasets with offer = true, to the first digit how many rows they have is told"
        if policy.tell_rows
        else "of datasets with offer = true, how many rows they have stays here",
        "logs": {
            LogsLeave.NONE: "no line of a run's log leaves",
            LogsLeave.AGENT: "of a run's log the agent's own lines leave, and nothing that the app prints",
            LogsLeave.APP: "of a run's log the agent's own lines leave, and what an app prints whose [leaves] names"
            " logs, in runs without masks and without differential privacy",
        }[policy.logs],
        "system_every_s": f"every {policy.system_every_s} s is looked at how busy this machine is, and the coordinator"
        " told; not while a run with differential privacy is at work, nor with require_privacy"
        if policy.system_every_s
        else "how busy this machine is stays here",
        "traces": f"the collector at {policy.traces} is told how long work took"
        if policy.traces
        else "no collector is told how long work took",
    }


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if isinstance(value, Hours):
        return str(value)
    if isinstance(value, Enum):
        return str(value.value)
    assert value is None or isinstance(value, bool | int | float | str)
    return value
