"""What does a person see of a run that is shredded, or could be?"""

from __future__ import annotations

from septum.cli.output import Answer
from septum.cli.views import when
from septum.client import Client
from septum.errors import ConflictError
from septum.protocol.codec import to_json
from septum.protocol.views import RunView


def shred(client: Client, run: str, *, really: bool) -> Answer:
    """Shred a run; unless it is `really` meant, say what would go."""
    if not really:
        view = client.run(run)
        if not view.status.ended:
            raise ConflictError(f"run {run} has not ended", hint=f"septum run stop {run}")
        models = len(client.models(run))
        return Answer({"run": to_json(view), "models": models, "done": False}, (_would(view, models),))
    found = client.shred(run)
    return Answer(to_json(found), (_done(found.run, under_key=found.under_key),))


def _would(view: RunView, models: int) -> str:
    if view.shredded_at is not None:
        return f"{_when(view)} already\nwhat may be left of it is removed by: septum run shred {view.id} --yes"
    return (
        f"of run {view.id} {view.name}, submitted {when(view.created_at)}, {models} models and all that silos had sent "
        f"would go for good\nnothing was removed: septum run shred {view.id} --yes"
    )


def _done(view: RunView, *, under_key: bool) -> str:
    first = f"{_when(view)}: its files are gone"
    if under_key:
        return (
            f"{first}, and so is their key\nno copy of a file that was sealed under it opens any more, unless somebody "
            "has the database from before, as a backup has it; what was written before [secrets] was set, or by a "
            "septum before keys of runs, was not under it; what silos and trackers have of the run is theirs"
        )
    return (
        f"{first}\nfiles are not sealed here ([secrets]): what was written so is under no key, and can be read by "
        "whoever has it of a disk, S3 or a backup; what silos and trackers have of the run is theirs"
    )


def _when(view: RunView) -> str:
    assert view.shredded_at is not None
    return f"run {view.id} was shredded by {view.shredded_by}, {when(view.shredded_at)}"
