"""How do runs, models and silos look to people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

from septum.cli.output import Answer, Json, Table, one_line
from septum.errors import ConfigError, did_you_mean
from septum.protocol.aggregator import ANY
from septum.protocol.codec import to_json
from septum.protocol.facts import LARGE_BOUND, Metrics, MetricsNoise
from septum.protocol.priority import Priority
from septum.protocol.views import InviteView, ModelView, Pruned, RunView

K = TypeVar("K", bound=Enum)


def runs(found: Sequence[RunView]) -> Answer:
    """A page of runs."""
    rows = tuple(
        (
            view.id,
            view.name,
            view.project or "-",
            view.submitter or "-",
            f"{view.status.value} ({view.position})" if view.position else view.status.value,
            _progress(view),
            roc_auc_text(view.metrics),
            when(view.created_at),
        )
        for view in found
    )
    table = Table(
        ("RUN", "NAME", "PROJECT", "BY", "STATUS", "ROUNDS", "ROC-AUC", "CREATED"),
        rows,
        "no runs yet: septum run submit APP_DIR",
    )
    return Answer({"runs": [to_json(view) for view in found]}, (table,))


def day(text: str) -> float:
    """The Unix time at which a day begins (UTC); 0 for none. Raises ConfigError.

    >>> day("1970-01-02"), day("")
    (86400.0, 0.0)
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() if text else 0.0
    except ValueError:
        raise ConfigError(f"--since {text}: this is no day", hint="for example --since 2026-11-29") from None


def chosen(kind: type[K], option: str, texts: Sequence[str]) -> tuple[K, ...]:
    """What an option names. Raises ConfigError.

    >>> chosen(Priority, "--priority", ["high"])
    (<Priority.HIGH: 'high'>,)
    """
    known = {one.value: one for one in kind}
    for text in texts:
        if text not in known:
            raise ConfigError(f"{option} {text}: {did_you_mean(text, known)}", hint=f"one of {', '.join(known)}")
    return tuple(known[text] for text in texts)


def run(view: RunView) -> Answer:
    """One run."""
    lines = [
        f"run       {view.id}",
        f"name      {view.name}",
        *((f"project   {view.project}",) if view.project else ()),
        *((f"by        {view.submitter}",) if view.submitter else ()),
        f"app       {view.app.name} {view.app.version} ({view.app.digest})",
        f"status    {view.status.value}{f': {one_line(view.reason)}' if view.reason else ''}",
        *(_asking(view) if view.asks else _training(view)),
        *((f"driven    by coordinators labelled {view.aggregator}",) if view.aggregator != ANY else ()),
        *((f"priority  {view.priority.value}",) if view.priority is not Priority.NORMAL or view.position else ()),
        f"created   {when(view.created_at)}",
        *((f"ended     {when(view.ended_at)}",) if view.ended_at else ()),
        *((f"shredded  {when(view.shredded_at)} by {view.shredded_by}",) if view.shredded_at else ()),
    ]
    silos = tuple(
        (silo.name, silo.presence.value, "yes" if silo.awaited else "", one_line(silo.problem)) for silo in view.silos
    )
    return Answer(to_json(view), ("\n".join(lines), Table(("SILO", "PRESENCE", "AWAITED", "PROBLEM"), silos)))


def _training(view: RunView) -> tuple[str, ...]:
    return (
        f"rounds    {_progress(view)}, attempt {view.attempt}, quorum {view.quorum} of {len(view.silos)}",
        f"privacy   {_privacy(view)}",
        *_of_silos(view),
        *_vote(view),
        f"strategy  {view.strategy.name}{_settings(view.strategy.settings)}",
        f"hyper    {_settings(view.hyper)}",
        f"metrics   {metrics_text(view.metrics) if view.metrics else 'none measured yet'}",
        f"model     {view.model or 'none yet'}",
    )


def _asking(view: RunView) -> tuple[str, ...]:
    """Of a run that asks for statistics, and makes no model."""
    return (
        f"asks      for statistics, attempt {view.attempt}, of {view.quorum} of {len(view.silos)} silos at least",
        f"privacy   {_privacy(view)}",
        f"answer    septum stats show {view.id}",
    )


def _of_silos(view: RunView) -> tuple[str, ...]:
    told = f"silos     each one's own models are kept: septum model list --run {view.id} --silos"
    return (told,) if view.keeps_silo_models else ()


def _vote(view: RunView) -> tuple[str, ...]:
    if view.vote is None:
        return ()
    rule = f"{view.vote.metric.value} may be {view.vote.max_drop:g} worse, {view.vote.accepts:.0%} have to accept"
    down = f"; the last {view.burnt} models were voted down, {view.vote.max_burnt} end the run" if view.burnt else ""
    return (f"vote      {rule}{down}",)


def models(found: Sequence[ModelView]) -> Answer:
    """Models of one run or of many."""
    rows = tuple(
        (view.run, str(view.round), str(view.size_bytes), roc_auc_text(view.metrics), view.digest) for view in found
    )
    table = Table(("RUN", "ROUND", "BYTES", "ROC-AUC", "DIGEST"), rows, "no models yet: septum run list")
    return Answer({"models": [to_json(view) for view in found]}, (table,))


def pruned(found: Pruned) -> Answer:
    """What went of the models of ended runs, or would go."""
    models, size_bytes = sum(run.models for run in found.runs), sum(run.size_bytes for run in found.runs)
    of_silos = sum(run.silo_models for run in found.runs)
    data: Json = {
        "runs": [to_json(run) for run in found.runs],
        "done": found.done,
        "models": models,
        "silo_models": of_silos,
        "size_bytes": size_bytes,
    }
    rows = tuple((run.run, str(run.models), str(run.silo_models), str(run.size_bytes)) for run in found.runs)
    table = Table(
        ("RUN", "MODELS", "OF SILOS", "BYTES"),
        rows,
        "nothing to remove: septum model prune --older-than 0 takes newer runs",
    )
    also = f" and {of_silos} of single silos" if of_silos else ""
    say = f"{models} models{also} with {size_bytes} bytes "
    say += "were removed" if found.done else "would go; the same command with --yes removes them"
    return Answer(data, (table, say) if rows else (table,))


def invitation(view: InviteView, url: str, file: Path | None = None) -> Answer:
    """A one-time token, and the command that uses it. It is shown this once; not at all if `file` has it."""
    return _token_answer(view, "may enrol once", f"septum silo enroll --url {url}", file, {"url": url})


def renewal(view: InviteView, file: Path | None = None) -> Answer:
    """A one-time token for a new key, and the command that uses it; as for an invitation."""
    return _token_answer(view, "may bring a new key once", "septum silo rekey", file, {})


def _token_answer(view: InviteView, may: str, program: str, file: Path | None, more: Mapping[str, Json]) -> Answer:
    token = f"--token {view.token}" if file is None else f"--token-file {file}"
    command = f"{program} {token} --dir ./{view.silo}"
    lines = f"{view.silo} {may}, until {when(view.expires_at)}. In the silo:\n\n  {command}\n"
    shown = view.token if file is None else None
    data: Json = {"silo": view.silo, "token": shown, "expires_at": view.expires_at, **more, "command": command}
    return Answer(data, (lines,))


def metrics_text(metrics: Metrics) -> str:
    """The metrics of a model in one line.

    >>> metrics_text(Metrics(rows=254, accuracy=0.81, log_loss=0.42, roc_auc=0.88))
    'roc_auc 0.8800, accuracy 0.8100, log_loss 0.4200, 254 rows'
    >>> metrics_text(Metrics(rows=254, accuracy=0.81, log_loss=0.42, roc_auc=0.7, roc_auc_bound=0.1))
    'roc_auc 0.7000 +- 0.1000 (too many scores are almost the same), accuracy 0.8100, log_loss 0.4200, 254 rows'
    """
    if metrics.noise is not None:
        return _noisy_text(metrics, metrics.noise)
    area = "undefined" if metrics.roc_auc is None else f"{metrics.roc_auc:.4f}"
    if metrics.roc_auc_bound > LARGE_BOUND:
        area += f" +- {metrics.roc_auc_bound:.4f} (too many scores are almost the same)"
    return f"roc_auc {area}, accuracy {metrics.accuracy:.4f}, log_loss {metrics.log_loss:.4f}, {metrics.rows} rows"


def _noisy_text(metrics: Metrics, noise: MetricsNoise) -> str:
    """With the standard error of each."""
    area = "in the noise" if metrics.roc_auc is None else f"{metrics.roc_auc:.3f} +- {noise.roc_auc:.3f}"
    return (
        f"roc_auc {area}, accuracy {metrics.accuracy:.3f} +- {noise.accuracy:.3f}, "
        f"log_loss {metrics.log_loss:.3f} +- {noise.log_loss:.3f}, about {metrics.rows} rows"
    )


def roc_auc_text(metrics: Metrics | None) -> str:
    """The ROC-AUC for a table; a dash where there is none.

    >>> roc_auc_text(Metrics(rows=3, accuracy=1.0, log_loss=0.1, roc_auc=None))
    '-'
    """
    if metrics is None or metrics.roc_auc is None:
        return "-"
    bound = f" +- {metrics.roc_auc_bound:.3f}" if metrics.roc_auc_bound > LARGE_BOUND else ""
    return f"{metrics.roc_auc:.4f}{bound}"


def when(unix_s: float) -> str:
    """A moment in the reader's own time zone; empty for 0, which stands for never."""
    if not unix_s:
        return ""
    return datetime.fromtimestamp(unix_s, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _privacy(view: RunView) -> str:
    seen = "none: the coordinator sees what each silo sends"
    if view.masked:
        seen = f"masked: the coordinator learns sums over {view.quorum} silos or more, and no silo's own numbers"
    promised = view.privacy
    if promised is None:
        return seen
    delta = "a tenth of 1 / rows" if promised.delta is None else f"{promised.delta:g}"
    epsilon = max(promised.epsilon.values(), default=0.0)
    return (
        f"{seen}\n          differential privacy, {promised.strength.value}: epsilon {epsilon:g} at most for each row"
        f" of a silo, delta {delta}"
    )


def _progress(view: RunView) -> str:
    return f"{view.finished_rounds}/{view.rounds}"


def _settings(settings: object) -> str:
    assert hasattr(settings, "items")
    return "".join(f" {name}={value}" for name, value in sorted(settings.items()))
