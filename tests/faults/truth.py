"""Do the lists of runs and silos say what really runs? Compared with the processes of this machine.

For federations whose training processes are not in a sandbox of their own: there a process's folder says whose it is.
What is said may be behind what is: by HONEST_S at most, whatever was killed. That a silo is gone is said within
`views.ONLINE_S`, which no test here waits for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.e2e.processes import descendants
from tests.faults.counting import until

from septum.client import Client
from septum.protocol.run_state import Presence
from septum.protocol.views import RunStatus, RunView, SiloStatus

HONEST_S = 15.0  # an agent that was killed starts anew, and asks again with growing pauses
_AT_WORK = (RunStatus.PREPARING, RunStatus.TRAINING, RunStatus.EVALUATING)
_NO_PROCESS = (RunStatus.QUEUED, RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED)


def assert_nobody_lies(client: Client, agents: Mapping[str, int]) -> None:
    """What the coordinator says of runs and silos becomes true within HONEST_S. `agents`: pids by silo."""
    try:
        until(lambda: not lies(client, agents), "what is said is true", HONEST_S)
    except AssertionError:
        raise AssertionError("\n".join(["it is not true that:", *lies(client, agents)])) from None


def lies(client: Client, agents: Mapping[str, int]) -> list[str]:
    """What the coordinator says that is not so, as far as processes show it."""
    before = at_work(agents)
    runs = client.runs(limit=1000)
    processes = before & at_work(agents)  # one that ends or begins meanwhile says nothing
    statuses = {silo.name: silo.status for silo in client.silos()}
    wrong = [f"silo {silo} is {statuses[silo].value}" for silo in agents if statuses[silo] is not SiloStatus.ONLINE]
    for run in runs:
        wrong += _lies_of(run, {silo for silo, id_ in processes if id_ == run.id}, agents)
    unknown = {id_ for _, id_ in processes} - {run.id for run in runs}
    return wrong + [f"there is no run {id_}, for which a silo works" for id_ in sorted(unknown)]


def _lies_of(run: RunView, working: set[str], agents: Mapping[str, int]) -> list[str]:
    about = f"run {run.id} ({run.name}) is {run.status.value}"
    if run.status in _NO_PROCESS and working:
        return [f"{about}, while {', '.join(sorted(working))} works for it"]
    if run.asks or run.status not in _AT_WORK:
        return []
    awaited = {silo.name for silo in run.silos if silo.awaited} & agents.keys()
    active = {silo.name for silo in run.silos if silo.presence is Presence.ACTIVE}
    found = [f"{about}, and waits for {silo}, which does nothing for it" for silo in sorted(awaited - working)]
    return found + [f"{about}, and waits for {silo}, which is not in it" for silo in sorted(awaited - active)]


def at_work(agents: Mapping[str, int]) -> set[tuple[str, str]]:
    """Who works for which run: for each training process below an agent its silo, and the run in whose folder it is."""
    found = set()
    for silo, agent in agents.items():
        for pid in descendants(agent):
            with suppress(OSError):  # it has ended
                parts = Path(os.readlink(f"/proc/{pid}/cwd")).parts
                if "runs" in parts[:-1]:
                    found.add((silo, parts[parts.index("runs") + 1]))
    return found
