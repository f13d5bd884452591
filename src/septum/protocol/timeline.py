"""Where does a run's time go? Attempt by attempt: what each silo did and for how long, and what the coordinator did.

It is computed from the journal alone, whose times are the coordinator's. Silos say how long their steps took, never
when: a clock that is wrong moves nothing, and what a silo says is cut to what fits between the moment it was asked and
the moment its report came in. Where it says nothing, as in runs with differential privacy, its time is one span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby
from statistics import median

from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.views import JournalView

SLOW_TIMES = 1.5  # as long as the other silos needed in the middle: then a silo is slow,
SLOW_S = 0.1  # if that is more than jitter
_LEAST_S = 1e-6  # shorter spans are arithmetic, not time


class Doing(Enum):
    """What somebody does in a span of time.

    A silo gets the model (`receive`), does the stage's work, leaves what must not be seen out of it (`protect`: masks,
    noise, checks), sends it, and waits for the others. `other` is what it does not account for: the way to it, a
    process that starts, its own hours. The coordinator waits for silos, takes masks off, combines, measures, pauses.
    """

    RECEIVE = "receive"
    PREPARE = "prepare"
    EVALUATE = "evaluate"
    TRAIN = "train"
    PROTECT = "protect"
    SEND = "send"
    OTHER = "other"
    WAIT = "wait"
    UNMASK = "unmask"
    AGGREGATE = "aggregate"
    PAUSE = "pause"


# Under what a silo reports how long it took, in the order in which it happens.
STEPS: Mapping[str, Doing] = {
    "receive": Doing.RECEIVE,
    "load": Doing.RECEIVE,
    "prepare": Doing.PREPARE,
    "evaluate": Doing.EVALUATE,
    "train": Doing.TRAIN,
    "encode": Doing.PROTECT,
    "protect": Doing.PROTECT,
    "send": Doing.SEND,
}


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took from `start` (Unix seconds, by the coordinator's clock) so long.

    under_way  it goes on
    problem    why it came to nothing; empty if it did not
    """

    doing: Doing
    start: float
    duration_s: float
    under_way: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SiloLine:
    """One silo in an attempt.

    own_s    from being asked until its report was in, or until now; None when there was no report
    slow     it needed much longer than the others
    problem  why it made no report, or was left out after it
    """

    silo: str
    spans: tuple[Span, ...]
    own_s: float | None = None
    slow: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt at a stage of a round.

    waits_for  the silos whose reports are awaited now
    problem    why it came to nothing
    """

    stage: Stage
    round: int
    attempt: int
    start: float
    duration_s: float
    under_way: bool
    silos: tuple[SiloLine, ...]
    coordinator: tuple[Span, ...]
    waits_for: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RoundLine:
    """The attempts at one round, oldest first. Round 0 is the preparation; the last one is measured in the end."""

    round: int
    attempts: tuple[AttemptLine, ...]


def timeline(entries: Iterable[JournalView], *, now: float, masked: bool) -> tuple[RoundLine, ...]:
    """The rounds in the journal, or in a part of it that begins where a stage was opened. `now`: Unix seconds.

    masked  whether masks are to be taken off, once the reports are in

    >>> opened = facts.StageOpened(Stage.TRAIN, 1, 1, ("a",))
    >>> (line,) = timeline([JournalView(1, 50.0, opened)], now=52.5, masked=False)
    >>> line.attempts[0].waits_for, line.attempts[0].duration_s
    (('a',), 2.5)
    """
    lines: list[AttemptLine] = []
    at_work: _Attempt | None = None
    for entry in entries:
        match entry.fact:
            case facts.StageOpened(stage, round_, attempt, cohort):
                if at_work is not None:
                    lines.append(at_work.line(entry.at, masked=masked))
                at_work = _Attempt(stage, round_, attempt, entry.at, cohort)
            case facts.RunEnded(reason=reason):
                if at_work is not None:
                    at_work.problem = at_work.problem or (reason if at_work.combined_at is None else "")
                    lines.append(at_work.line(entry.at, masked=masked))
                at_work = None
            case fact if at_work is not None:
                at_work.hear(fact, entry.at)
            case _:
                pass
    if at_work is not None:
        lines.append(at_work.line(now, masked=masked, under_way=True))
    return tuple(RoundLine(number, tuple(found)) for number, found in groupby(_by_round(lines), lambda one: one.round))


def _by_round(lines: Sequence[AttemptLine]) -> list[AttemptLine]:
    """A round whose model was lost comes again after later ones."""
    return sorted(lines, key=lambda line: line.round)


def seconds_by_silo(rounds: Iterable[RoundLine]) -> dict[str, dict[Doing, float]]:
    """How long each silo did what, in all of these rounds."""
    found: dict[str, dict[Doing, float]] = {}
    for line in (silo for one in rounds for attempt in one.attempts for silo in attempt.silos):
        of_silo = found.setdefault(line.silo, {})
        for span in line.spans:
            of_silo[span.doing] = of_silo.get(span.doing, 0.0) + span.duration_s
    return found


def slowest(rounds: Iterable[RoundLine]) -> str:
    """The silo that the others waited for longest; empty when none was.

    Of each attempt the last one to report counts, with the time that the others then had waited in the middle.
    """
    waited: dict[str, float] = {}
    for attempt in (one for line in rounds for one in line.attempts):
        own = {line.silo: line.own_s for line in attempt.silos if line.own_s is not None}
        if len(own) > 1:
            last = max(sorted(own), key=lambda silo: own[silo])
            others = median(seconds for silo, seconds in own.items() if silo != last)
            waited[last] = waited.get(last, 0.0) + own[last] - others
    return max(sorted(waited), key=lambda silo: waited[silo], default="")


@dataclass(slots=True)
class _Attempt:
    """An attempt while its part of the journal is read."""

    stage: Stage
    round: int
    attempt: int
    opened_at: float
    cohort: tuple[str, ...]
    reports: dict[str, tuple[float, Mapping[str, float]]] = field(default_factory=dict)
    problems: dict[str, tuple[float, str]] = field(default_factory=dict)
    closed_at: float | None = None
    failed_at: float | None = None
    combined_at: float | None = None
    paused_at: float | None = None
    pauses: list[Span] = field(default_factory=list)
    problem: str = ""

    def hear(self, fact: facts.Fact, at: float) -> None:
        """What happened in it. Work of another attempt, which came late, is no fact."""
        match fact:
            case facts.SiloReported(silo=silo, durations_s=durations_s):
                self.reports[silo] = (at, durations_s)
                self.problems.pop(silo, None)
            case facts.SiloFailed(silo=silo, reason=reason) | facts.SiloLeft(silo, reason):
                self.problems[silo] = (at, reason)
            case facts.SiloRefused(silo, rule, reason):
                self.problems[silo] = (at, f"refused by its rule {rule!r}: {reason}")
            case facts.StageClosed():
                self.closed_at = at
            case facts.AttemptFailed(missing=missing):
                self.failed_at = at
                self.problem = self.problem or f"too few reports; missing: {', '.join(missing) or 'none'}"
            case facts.CombineRefused(reason=reason) | facts.ModelLost(reason=reason):
                self.problem = reason
            case facts.PayloadsLost(silos=silos):  # they are asked again, in the same attempt
                self.closed_at = None
                self.reports = {silo: known for silo, known in self.reports.items() if silo not in silos}
            case facts.ModelMade() | facts.ModelMeasured() | facts.SiloModelsKept() | facts.StatisticsMade():
                self.combined_at = at
            case facts.RunPaused() if self.paused_at is None:
                self.paused_at = at
            case facts.RunResumed() if self.paused_at is not None:
                self.pauses.append(_span(Doing.PAUSE, self.paused_at, at))
                self.paused_at = None
            case _:
                pass

    def line(self, until: float, *, masked: bool, under_way: bool = False) -> AttemptLine:
        """The attempt until it was over, or until now."""
        waited_until = self._first(self.closed_at, self.failed_at, until)
        over = self.closed_at is not None or self.failed_at is not None or not under_way
        silos = tuple(self._silo(silo, waited_until, over=over) for silo in self.cohort)
        waits_for = tuple(
            silo for silo in self.cohort if not over and silo not in self.reports and silo not in self.problems
        )
        return AttemptLine(
            self.stage,
            self.round,
            self.attempt,
            self.opened_at,
            max(0.0, until - self.opened_at),
            under_way,
            _with_the_slow(silos),
            self._coordinator(until, masked=masked, under_way=under_way),
            waits_for,
            self.problem,
        )

    @staticmethod
    def _first(*moments: float | None) -> float:
        return next(moment for moment in moments if moment is not None)

    def _silo(self, silo: str, until: float, *, over: bool) -> SiloLine:
        work = Doing(self.stage.value)
        failed_at, problem = self.problems.get(silo, (0.0, ""))
        if silo in self.reports:
            at, durations_s = self.reports[silo]
            spans = (*_steps(work, self.opened_at, at, durations_s), _span(Doing.WAIT, at, until))
            return SiloLine(silo, _real(spans), max(0.0, at - self.opened_at), problem=problem)
        if problem:
            return SiloLine(silo, (replace(_span(work, self.opened_at, failed_at), problem=problem),), problem=problem)
        if over:
            problem = "made no report"
        span = replace(_span(work, self.opened_at, until), under_way=not over, problem=problem)
        return SiloLine(silo, (span,), None if over else span.duration_s, problem=problem)

    def _coordinator(self, until: float, *, masked: bool, under_way: bool) -> tuple[Span, ...]:
        last = max((at for at, _ in self.reports.values()), default=self.opened_at)
        closed = self.closed_at
        waited_until = self._first(last if masked and closed is not None else None, closed, self.failed_at, until)
        waiting = under_way and closed is None and self.failed_at is None
        spans = [*self.pauses, replace(_span(Doing.WAIT, self.opened_at, waited_until), under_way=waiting)]
        if closed is not None:
            if masked:
                spans.append(_span(Doing.UNMASK, last, closed))
            doing = Doing.EVALUATE if self.stage is Stage.EVALUATE else Doing.AGGREGATE
            combining = under_way and self.combined_at is None
            combined = replace(_span(doing, closed, self._first(self.combined_at, until)), under_way=combining)
            spans.append(replace(combined, problem=self.problem))
        if self.paused_at is not None:
            spans.append(replace(_span(Doing.PAUSE, self.paused_at, until), under_way=under_way))
        return _real(sorted(spans, key=lambda span: span.start))


def _span(doing: Doing, start: float, end: float) -> Span:
    """A clock that was set back makes a span short, never negative."""
    return Span(doing, start, max(0.0, end - start))


def _real(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(span for span in spans if span.duration_s > _LEAST_S or span.problem or span.under_way)


def _steps(work: Doing, asked_at: float, at: float, durations_s: Mapping[str, float]) -> list[Span]:
    """A silo's own time, by what it says of it: the end of the last step is known, so they are laid before that."""
    left = max(0.0, at - asked_at)
    took: dict[Doing, float] = {}
    for name, doing in STEPS.items():
        seconds = min(max(0.0, durations_s.get(name, 0.0)), left)
        left -= seconds
        took[doing] = took.get(doing, 0.0) + seconds
    if not any(took.values()):
        return [_span(work, asked_at, at)]
    spans, start = [Span(Doing.OTHER, asked_at, left)], asked_at + left
    for doing, seconds in took.items():
        spans.append(Span(doing, start, seconds))
        start += seconds
    return spans


def _with_the_slow(lines: tuple[SiloLine, ...]) -> tuple[SiloLine, ...]:
    """The silos that the others have to wait for are marked."""
    own = {line.silo: line.own_s for line in lines if line.own_s is not None}
    return tuple(replace(line, slow=_is_slow(line, own)) for line in lines)


def _is_slow(line: SiloLine, own: Mapping[str, float]) -> bool:
    others = [seconds for silo, seconds in own.items() if silo != line.silo]
    if line.own_s is None or not others:
        return False
    usual = median(others)
    return line.own_s > SLOW_TIMES * usual and line.own_s - usual > SLOW_S
