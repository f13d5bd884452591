"""What is a round as a trace? One trace: the round, what each silo was asked in it, taking masks off, combining.

    round              stage, round
      silo NAME        from being asked until the report was in; the silo's own spans are within it, if it tells them
      unmask, combine

Spans are made from what the journal has, once that is on disk, with its times: so they agree with the timeline. What a
silo is asked carries the traceparent of its span as a header of the answer (W3C Trace Context); nobody signs it, and
nothing depends on it. A stage that the coordinator did not see beginning, as after a restart, has no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.coordinator.live import Told
from septum.ports.spans import Spans
from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.run_state import Run


@dataclass(slots=True)
class _Open:
    """A stage of a round that is under way; spans by their traceparents."""

    stage: Stage
    round: int
    root: str
    silos: dict[str, str] = field(default_factory=dict)
    reported_at: float = 0.0
    combine: str = ""


class Traces:
    """The rounds' traces. For the event loop; `committed` hears every commit."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._open: dict[str, _Open] = {}

    def traceparent(self, run_id: str, silo: str) -> str:
        """What a silo is within now, by its traceparent; empty for nothing."""
        known = self._open.get(run_id)
        return "" if known is None else known.silos.get(silo, "")

    def committed(self, seconds: float, entries: Sequence[tuple[Run, Sequence[Told]]]) -> None:
        """This was added to journals."""
        del seconds
        for run, told in entries:
            for one in told:
                self._heard(run, one.fact, one.at)

    def _heard(self, run: Run, fact: facts.Fact, at: float) -> None:
        if isinstance(fact, facts.StageOpened):
            self._opened(run, fact, at)
            return
        known = self._open.get(run.id)
        if known is None:
            return
        match fact:
            case facts.SiloReported(silo=silo):
                known.reported_at = at
                self._spans.end(known.silos.pop(silo, ""), at=at)
            case facts.SiloFailed(silo=silo) | facts.SiloLeft(silo=silo) | facts.SiloRefused(silo=silo):
                self._spans.end(known.silos.pop(silo, ""), at=at, problem="it made no report")
            case facts.AttemptFailed():
                self._leave(known, at)
            case facts.StageClosed():
                self._closed(run, known, at)
            case facts.ModelMade() | facts.ModelMeasured() | facts.StatisticsMade() if known.combine:
                self._end(run, at, "")
            case facts.CombineRefused(reason=reason):
                self._spans.end(known.combine, at=at, problem=reason)
                known.combine = ""
            case facts.RunEnded(outcome=outcome):
                self._end(run, at, f"the run was {outcome.value}")
            case _:
                pass

    def _opened(self, run: Run, opened: facts.StageOpened, at: float) -> None:
        known = self._open.get(run.id)
        if known is not None and (known.stage, known.round) != (opened.stage, opened.round):
            self._end(run, at, "it came to nothing")
            known = None
        if known is None:
            about: dict[str, str | int] = {"septum.run_id": run.id, "septum.stage": opened.stage.value}
            about["septum.round"] = opened.round
            known = _Open(opened.stage, opened.round, self._spans.begin("round", at=at, about=about))
            self._open[run.id] = known
        self._leave(known, at)
        for silo in opened.cohort:
            asked: dict[str, str | int] = {"septum.silo": silo, "septum.attempt": opened.attempt}
            known.silos[silo] = self._spans.begin(f"silo {silo}", at=at, parent=known.root, about=asked)

    def _closed(self, run: Run, known: _Open, at: float) -> None:
        self._leave(known, at)
        if run.plan.masking is not None:
            unmask = self._spans.begin("unmask", at=known.reported_at or at, parent=known.root)
            self._spans.end(unmask, at=at)
        known.combine = self._spans.begin("combine", at=at, parent=known.root)

    def _leave(self, known: _Open, at: float) -> None:
        """Nobody waits for these silos any more."""
        for asked in known.silos.values():
            self._spans.end(asked, at=at, problem="it made no report in time")
        known.silos.clear()

    def _end(self, run: Run, at: float, problem: str) -> None:
        known = self._open.pop(run.id)
        self._leave(known, at)
        self._spans.end(known.combine, at=at, problem=problem)
        self._spans.end(known.root, at=at, problem=problem)
