"""How do the silos' own models that a run keeps look to people, and how does one get them? docs/decisions/0030."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.output import Answer, Json, Table
from septum.cli.views import roc_auc_text
from septum.errors import NotFoundError
from septum.protocol.codec import to_json
from septum.protocol.silo_models import why_none

if TYPE_CHECKING:
    from septum.client import Client


def listed(client: Client, run: str, silo: str) -> Answer:
    """Those of a run, or of one of its silos; why there are none."""
    found = client.silo_models(run, silo)
    why = why_none(client.plan(run)) if not found else ""
    rows = tuple(
        (
            str(one.round),
            one.silo,
            str(one.size_bytes),
            f"{one.update_norm:.4g}",
            roc_auc_text(one.federation),
            one.digest,
        )
        for one in found
    )
    empty = f"none: {why or 'no round was finished yet'}; in a silo: septum silo model list"
    table = Table(("ROUND", "SILO", "BYTES", "UPDATE NORM", "ROC-AUC HERE", "DIGEST"), rows, empty)
    data: Json = {"silo_models": [to_json(one) for one in found], "why": why}
    return Answer(data, (table,))


def downloaded(client: Client, run: str, silo: str, round_: int | None, out: Path) -> Answer:
    """One of them, as a file: of a round, or the newest. Raises NotFoundError that says what there is."""
    found = {one.round: one for one in client.silo_models(run, silo)}
    if not found:
        why = why_none(client.plan(run)) or "no round that it took part in was finished yet"
        raise NotFoundError(
            f"run {run} has no model of silo {silo!r} alone: {why}",
            hint=f"septum model list --run {run} --silos; in the silo: septum silo model list",
        )
    wanted = found.get(max(found) if round_ is None else round_)
    if wanted is None:
        raise NotFoundError(
            f"run {run} keeps no model of silo {silo!r} of round {round_}; there are {min(found)} to {max(found)}",
            hint=f"septum model list --run {run} --silo {silo}",
        )
    size_bytes = client.download_silo_model(wanted, out)
    data: Json = {
        "path": str(out),
        "digest": wanted.digest,
        "size_bytes": size_bytes,
        "silo": silo,
        "round": wanted.round,
    }
    return Answer(data, (f"{out}: {size_bytes} bytes, {wanted.digest}, of {silo} alone, round {wanted.round}",))
