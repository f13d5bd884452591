"""How does one follow a run from afar, leave it, and come back?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.cli import views
from septum.cli.failures import Interrupted
from septum.cli.output import Answer, Output
from septum.cli.progress import following
from septum.errors import RunFailedError
from septum.protocol.views import RunStatus, RunView

if TYPE_CHECKING:
    from septum.client import Client


def watch(output: Output, client: Client, run_id: str, *, after: int = 0) -> Answer:
    """Follow a run to its end, from entry `after` of its journal on. Its end is the answer, failed or not.

    Raises:
        Interrupted: Ctrl-C. The run goes on, and the hint says how to come back.
    """
    return ended(wait(output, client, run_id, after=after, stream=True))


def wait(output: Output, client: Client, run_id: str, *, after: int = 0, stream: bool = False) -> RunView:
    """The run once it has ended, shown meanwhile: as data if `stream`, else as progress. Raises Interrupted."""
    try:
        view = client.run(run_id)
        with following(output, view.rounds, tuple(silo.name for silo in view.silos), stream=stream) as show:
            while True:
                for entry in client.watch(run_id, after=after):
                    after = entry.seq
                    show(entry.fact, seq=entry.seq, at=entry.at)
                view = client.run(run_id)
                if view.status.ended:  # else it ended once, and was resumed since
                    break
    except KeyboardInterrupt:
        raise Interrupted(
            f"detached from run {run_id}, which goes on", hint=f"septum run watch {run_id} --after {after}"
        ) from None
    return view


def ended(view: RunView) -> Answer:
    """How a run ended; a failed one is an error with its reason.

    It is shown as `run show` shows it.
    """
    answer = views.run(view)
    if view.status is not RunStatus.FAILED:
        return answer
    error = RunFailedError(
        f"run {view.id} failed after {view.finished_rounds} of {view.rounds} rounds: {view.reason or 'no reason'}",
        hint=f"septum run resume {view.id}, once the cause is gone: it goes on from the last finished round; "
        "for an app that was changed, septum run submit",
    )
    return Answer(answer.data, answer.shown, error)
