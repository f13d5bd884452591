"""How does a model's card get to people?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.output import Answer, Json
from septum.errors import ConfigError, ConflictError
from septum.protocol import model_card, registered
from septum.protocol.codec import to_json
from septum.protocol.comparing import course_of

if TYPE_CHECKING:
    from septum.cli.command import Invocation


def card(call: Invocation, run: str, round_: int | None, out: Path | None, *, force: bool) -> Answer:
    """The card of a run's model, under which names it was registered, and its lineage for programs."""
    if out is not None and out.exists() and not force:
        raise ConflictError(f"{out} is there already", hint="give another file with -o, or --force")
    with call.client() as client:
        plan = client.plan(run)
        if plan.query is not None:
            raise ConfigError(f"run {run} asks for statistics, and makes no model", hint=f"septum stats show {run}")
        course = course_of(entry.fact for entry in client.whole_journal(run))
        names = [one for one in client.registered.versions() if one.version.run == run]
    found = model_card.lineage_of(run, plan, course, model_card.LAST if round_ is None else round_)
    named = [one for one in names if one.version.model.digest == found.model]
    text = model_card.card(found, [registered.said_of(one) for one in named])
    known: list[Json] = [to_json(one) for one in named]
    data: dict[str, Json] = {
        **model_card.lineage_json(found),
        "versions": known,
        "card": text,
        "path": None if out is None else str(out),
    }
    if out is None:
        return Answer(data, (text,))
    out.write_text(text)
    return Answer(data, (f"{out}: the card of {found.model}",))
