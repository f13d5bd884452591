"""What can leave a silo with an app, and how? `[leaves]` of septum.toml, which a steward reads before she says yes.

    masked  only inside a sum over silos, under masks
    open    in a run without masks the coordinator sees it as this silo's own; under masks it is in a sum as well

A run without masks shows the coordinator all of it. So an app with anything in `masked` runs under masks alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from septum.errors import ConfigError, did_you_mean
from septum.sdk.contract import known_keys

LEAVES: Mapping[str, str] = {
    "parameters": "the change of the model's numbers, each round",
    "statistics": "sums over the rows that the app asks for, once, before round 1",
    "rows": "how many train and test rows there are",
    "accuracy": "how many test rows the model tells rightly",
    "log_loss": "the sum of the losses over the test rows",
    "roc_auc": "how many test rows of each class fall into each bin of the model's output",
    "logs": 'what the app prints, line by line: in runs without masks and privacy, where your policy has logs = "app"',
}
_WITH_STATISTICS = "statistics"  # leaves with some apps
_LOGS = "logs"  # leaves with the apps that name it; all else with every app


def read_leaves(where: str, table: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names in `[leaves]`: masked, open. Raises ConfigError naming the one that is wrong."""
    known_keys(where, table, ("masked", "open"))
    masked, opened = (_names(where, key, table.get(key, [])) for key in ("masked", "open"))
    if _LOGS in masked:
        raise ConfigError(f"{where}: logs is in masked, and nothing masks a text", hint=f'open = ["{_LOGS}"]')
    if both := [name for name in masked if name in opened]:
        raise ConfigError(f"{where}: {', '.join(both)} is in masked and in open", hint="name it in one of them")
    return masked, opened


def check_leaves(where: str, leaves: Sequence[str], masked: Sequence[str], *, with_statistics: bool) -> None:
    """Whether an app's lists name all that leaves with it and nothing else. Raises ConfigError with what to write.

    leaves  all names of both lists
    """
    leaving = [name for name in LEAVES if with_statistics or name != _WITH_STATISTICS]
    if _LOGS not in leaves:
        leaving.remove(_LOGS)
    if set(leaves) == set(leaving):
        return
    opened = [name for name in leaving if name in leaves and name not in masked]
    hidden = [name for name in leaving if name in masked and name != _LOGS]
    more = [name for name in leaving if name not in leaves]
    if opened and not hidden:
        opened = [name for name in leaving if name in (*opened, *more)]
    else:
        hidden = [name for name in leaving if name in (*hidden, *more)]
    lists = {"masked": hidden, "open": opened}
    raise ConfigError(
        f"{where}: it lists {', '.join(sorted(leaves)) or 'nothing'}; "
        f"what leaves a silo with this app is {', '.join(sorted(leaving))}",
        hint=" and ".join(f"{key} = {json.dumps(names)}" for key, names in lists.items() if names),
    )


def _names(where: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {key} is {value!r}, a list is needed")
    for name in value:
        if not isinstance(name, str) or name not in LEAVES:
            raise ConfigError(f"{where}: {name!r} cannot leave; {did_you_mean(str(name), LEAVES)}")
    return tuple(value)
