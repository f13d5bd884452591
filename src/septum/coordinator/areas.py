"""In which areas do blobs lie? All packages in one, and what is of a run in a few that have its id in their names."""

from __future__ import annotations

APPS = "apps"
MODELS = "models-"  # what the names of areas with runs' models begin with
EARLIER_MODELS = "models"  # where those of all runs lay together: earlier_models.py
SPOOLS = "spool-"  # what the names of areas with payloads begin with
SILO_MODELS = "silo-models-"  # what the names of areas with silos' own models begin with
OPTIMIZERS = "optimizer-"  # what the names of areas with states of server optimizers begin with
_OF_RUNS = (MODELS, SPOOLS, OPTIMIZERS, SILO_MODELS)


def spool_area(run_id: str) -> str:
    """Where the payloads of a run lie.

    >>> spool_area("r1")
    'spool-r1'
    """
    return f"{SPOOLS}{run_id}"


def models_area(run_id: str) -> str:
    """Where the models of a run lie: an area of its own, for two runs may have made the same.

    >>> models_area("r1")
    'models-r1'
    """
    return f"{MODELS}{run_id}"


def areas_of(run_id: str) -> tuple[str, ...]:
    """All areas of a run.

    >>> areas_of("r1")
    ('models-r1', 'spool-r1', 'optimizer-r1', 'silo-models-r1')
    """
    return tuple(f"{start}{run_id}" for start in _OF_RUNS)


def run_of(area: str) -> str:
    """The run whose area this is; empty: it is of none.

    >>> run_of("silo-models-r1"), run_of("models-r1"), run_of("models"), run_of("apps")
    ('r1', 'r1', '', '')
    """
    return next((area.removeprefix(start) for start in _OF_RUNS if area.startswith(start)), "")


def is_spool(area: str) -> bool:
    """Whether payloads of a run lie there: who sent them offers them again, so nothing there has to last.

    >>> is_spool("spool-r1"), is_spool("models-r1")
    (True, False)
    """
    return area.startswith(SPOOLS)


def optimizer_area(run_id: str) -> str:
    """Where a run keeps its server optimizer's state: an area of its own, for two runs may have equal states.

    >>> optimizer_area("r1")
    'optimizer-r1'
    """
    return f"{OPTIMIZERS}{run_id}"


def silo_models_area(run_id: str) -> str:
    """Where a run keeps what its silos sent: an area of its own, for two runs may have been sent the same.

    >>> silo_models_area("r1")
    'silo-models-r1'
    """
    return f"{SILO_MODELS}{run_id}"
