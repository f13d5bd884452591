"""How far is a run?

What is known is folded from its facts, and shown as a display that redraws itself, as lines of text, or as JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from septum.cli import views
from septum.cli.output import Output, one_line, plain
from septum.protocol import facts
from septum.protocol.codec import kind_of, to_json
from septum.protocol.facts import Fact, Metrics
from septum.protocol.messages import Stage

if TYPE_CHECKING:
    from rich.console import RenderableType

_AT_WORK = {Stage.PREPARE: "preparing", Stage.TRAIN: "training", Stage.EVALUATE: "evaluating"}


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a run at work. `silos`: each one's state in a few words."""

    rounds: int
    finished: int = 0
    silos: Mapping[str, str] = field(default_factory=dict)
    metrics: Metrics | None = None
    state: str = "waiting for silos"


class Show(Protocol):
    """Shows one fact. `seq` and `at` (Unix time, seconds) are for programs; 0 where the run keeps no journal."""

    def __call__(self, fact: Fact, *, seq: int = 0, at: float = 0.0) -> None:
        """Show it."""


def advance(known: Progress, fact: Fact) -> Progress:
    """What is known after one more fact.

    >>> advance(Progress(rounds=5), facts.SiloJoined("boston")).silos
    {'boston': 'joined'}
    """
    match fact:
        case facts.SiloJoined(silo) | facts.SiloReturned(silo):
            return _silo(known, silo, "joined")
        case facts.SiloRefused(silo, rule, reason):
            return _silo(known, silo, f"refused by its rule {rule}: {reason}")
        case facts.SiloLeft(silo, reason):
            return _silo(known, silo, f"away: {reason}")
        case facts.SiloReported(silo=silo):
            return _silo(known, silo, "reported")
        case facts.SiloFailed(silo=silo, reason=reason):
            return _silo(known, silo, f"failed: {reason}")
        case facts.StageOpened(stage, _, _, cohort):
            at_work = dict.fromkeys(cohort, _AT_WORK[stage])
            return replace(known, silos={**known.silos, **at_work}, state=_AT_WORK[stage])
        case facts.ModelMade(round_, _):
            return replace(known, finished=round_)
        case facts.ModelMeasured(metrics=metrics, votes=votes):
            return known if votes is not None and votes.down else replace(known, metrics=metrics)
        case facts.RunPaused() | facts.RunResumed() | facts.RunQueued() | facts.RunDequeued():
            return replace(known, state=_standing(fact))
        case facts.RunEnded(outcome, _):
            return replace(known, state=outcome.value)
        case _:
            return known


def line(fact: Fact, rounds: int) -> str:
    """A fact as a line of text; empty for those that only a display shows.

    >>> line(facts.SiloLeft("boston", "missed the deadline"), 5)
    'silo boston left: missed the deadline'
    """
    match fact:
        case facts.SiloJoined(silo):
            return f"silo {silo} joined"
        case facts.SiloReturned(silo):
            return f"silo {silo} is back"
        case facts.SiloRefused(silo, rule, reason):
            return one_line(f"silo {silo} refused by its rule {rule}: {reason}")
        case facts.SiloLeft(silo, reason):
            return one_line(f"silo {silo} left: {reason}")
        case facts.SiloFailed(silo=silo, stage=stage, round=round_, attempt=attempt, reason=reason, details=details):
            told = one_line(f"silo {silo} failed in {stage.value}, round {round_}, attempt {attempt}: {reason}")
            return "\n    ".join([told, *details.rstrip().splitlines()])
        case facts.AttemptFailed(stage, round_, attempt, reported, missing):
            return (
                f"{stage.value}, round {round_}, attempt {attempt}: {len(reported)} reported, "
                f"missing {', '.join(missing) or 'none'}"
            )
        case facts.ModelMeasured(round_, metrics, _, votes):
            told = "" if votes is None or not votes.down else f"; voted down: {votes.down}"
            return f"round {round_}/{rounds}: {views.metrics_text(metrics)}{told}"
        case facts.RunEnded(outcome, reason):
            return one_line(f"{outcome.value}{f': {reason}' if reason else ''}")
        case _:
            return one_line(_standing(fact))


def _standing(fact: Fact) -> str:
    """How a run stands after a fact that says so; empty for others."""
    match fact:
        case facts.RunPaused(reason):
            return f"paused: {reason}" if reason else "paused"
        case facts.RunResumed():
            return "resumed"
        case facts.RunQueued(why):
            return f"in the queue: {why or 'its silos have no room now'}"
        case facts.RunDequeued():
            return "out of the queue: its silos are invited"
        case facts.RunPrioritised(priority):
            return f"its priority is {priority.value} now"
        case _:
            return ""


@contextmanager
def following(output: Output, rounds: int, silos: tuple[str, ...], *, stream: bool) -> Iterator[Show]:
    """Show facts as they come: redrawn for people at a terminal, else line by line.

    The lines of a stream are data. Others are progress: text on standard error.
    """
    if output.live:
        with _redrawn(output, Progress(rounds, silos=dict.fromkeys(silos, "invited"))) as show:
            yield show
        return

    def show_line(fact: Fact, *, seq: int = 0, at: float = 0.0) -> None:
        if not stream:
            told = line(fact, rounds)
            if told:
                output.note(told)
        elif output.json:
            body = to_json(fact)
            assert isinstance(body, dict)
            output.item({"seq": seq, "at": at, "fact": {**body, "kind": kind_of(type(fact))}})
        else:
            output.item(None, line(fact, rounds))

    yield show_line


@contextmanager
def _redrawn(output: Output, known: Progress) -> Iterator[Show]:
    from rich.live import Live  # 60 ms, and only people at a terminal need it

    newest = [known]
    with Live(get_renderable=lambda: drawn(newest[0]), console=output.terminal(), refresh_per_second=8) as live:

        def show(fact: Fact, *, seq: int = 0, at: float = 0.0) -> None:
            del seq, at
            newest[0] = advance(newest[0], fact)
            if isinstance(fact, facts.SiloFailed | facts.SiloRefused | facts.AttemptFailed):
                live.console.print(plain(line(fact, known.rounds)))

        yield show


def drawn(known: Progress) -> RenderableType:
    """The display: a bar over the rounds, the newest metrics, and each silo's state."""
    from rich.console import Group  # 60 ms, and only people at a terminal need it
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=known.rounds, completed=known.finished, width=40),
        Text(plain(f"round {known.finished}/{known.rounds}  {known.state}")),
    )
    silos = Table.grid(padding=(0, 2))
    for name, state in sorted(known.silos.items()):
        silos.add_row(Text(f"  {name}"), Text(plain(state)))
    measured = Text(f"  {views.metrics_text(known.metrics)}" if known.metrics else "")
    return Group(bar, measured, silos)


def _silo(known: Progress, name: str, state: str) -> Progress:
    return replace(known, silos={**known.silos, name: state})
