"""Which commands are there about runs?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli import options
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("run", "Submit runs, look at them, watch and steer them.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `septum run list` shows it.")]


@command(app, "submit", remote=True)
def submit(
    call: Invocation,
    app_named: Annotated[
        str,
        typer.Argument(metavar="APP", help="NAME or NAME==VERSION of a pushed package; or a folder, to develop with."),
    ],
    overrides: options.Set = None,
    preset: options.Preset = "",
    project: options.Project = "",
    silos: Annotated[
        str,
        typer.Option("--silos", metavar="A,B", help="Silos by name; all enrolled, or the project's, if left out."),
    ] = "",
    rounds: options.Rounds = None,
    quorum: options.Quorum = 0,
    strategy: options.Strategy = "fedavg",
    strategy_set: options.StrategySet = None,
    deadline: options.Deadline = 600.0,
    gather: options.Gather = 60.0,
    early_stopping: options.EarlyStop = "",
    clip_norm: options.ClipNorm = None,
    inspect: options.Inspect = False,
    keep_silo_models: options.KeepSiloModels = False,
    max_update: options.MaxUpdate = 10.0,
    max_weight: options.MaxWeight = 100_000,
    target_epsilon: options.TargetEpsilon = None,
    metrics_epsilon: options.MetricsEpsilon = None,
    dp_unit: options.DpUnit = "record",
    privacy_strength: options.PrivacyStrength = "enforced",
    delta: options.Delta = "auto",
    dp_clip: options.DpClip = options.DP_CLIP,
    dp_batch: options.DpBatch = options.DP_BATCH,
    dp_steps: options.DpSteps = options.DP_STEPS,
    dp_learning_rate: options.DpRate = options.DP_RATE,
    vote: options.VoteRule = "",
    private: options.PrivateStart = "fresh",
    personalise: options.Personalise = 0,
    attempts: options.Attempts = 3,
    cpus: options.Cpus = None,
    memory_mb: options.MemoryMb = None,
    gpus: options.Gpus = None,
    priority: options.RunPriority = "normal",
    aggregator: options.Aggregator = "any",
    name: options.Name = "",
    key: options.Key = "",
    watch: Annotated[bool, typer.Option("--watch", help="Watch the run until it ends.")] = False,
) -> Answer:
    """Start a run of an app. Of a folder, its module runs here, to check the hyper-parameters; of a package nothing."""
    from septum.cli import submitting  # numpy, httpx and the app itself

    wanted = options.RunOptions(
        overrides=tuple(overrides or ()),
        preset=preset,
        rounds=rounds,
        quorum=quorum,
        strategy=strategy,
        strategy_settings=tuple(strategy_set or ()),
        deadline_s=deadline,
        gather_s=gather,
        early_stopping=early_stopping,
        clip_norm=clip_norm,
        inspect=inspect,
        keep_silo_models=keep_silo_models,
        max_update=max_update,
        max_weight=max_weight,
        target_epsilon=target_epsilon,
        metrics_epsilon=metrics_epsilon,
        dp_unit=dp_unit,
        privacy_strength=privacy_strength,
        delta=delta,
        dp_clip=dp_clip,
        dp_batch=dp_batch,
        dp_steps=dp_steps,
        dp_learning_rate=dp_learning_rate,
        vote=vote,
        private=private,
        personalise=personalise,
        attempts=attempts,
        cpus=cpus,
        memory_mb=memory_mb,
        gpus=gpus,
        aggregator=aggregator,
        name=name,
    )
    where = submitting.Where(options.names(silos), project, submitting.priority_of(priority))
    return submitting.submit(call, app_named, wanted, where, key=key, watch=watch)


@command(app, "clone", remote=True)
def clone(
    call: Invocation,
    run: RunId,
    app_named: Annotated[
        str, typer.Option("--app", metavar="APP", help="Another app, or version of it: NAME==VERSION, or ./FOLDER.")
    ] = "",
    overrides: options.Set = None,
    rounds: options.Rounds = None,
    silos: Annotated[str, typer.Option("--silos", metavar="A,B", help="Other silos than those of the run.")] = "",
    quorum: Annotated[int | None, typer.Option("--quorum", min=1, help="Another quorum.")] = None,
    strategy: Annotated[str, typer.Option("--strategy", help="Another aggregation strategy.")] = "",
    strategy_set: options.StrategySet = None,
    deadline: Annotated[float | None, typer.Option("--deadline", help="Another deadline of a round, seconds.")] = None,
    aggregator: Annotated[
        str, typer.Option("--aggregator", metavar="LABEL", help="Another label of coordinators; or any.")
    ] = "",
    name: options.Name = "",
    key: options.Key = "",
    watch: Annotated[bool, typer.Option("--watch", help="Watch the run until it ends.")] = False,
) -> Answer:
    """Start a run like another one, with changes. What is not named here is as it was there."""
    from septum.cli import again  # numpy and httpx

    changes = again.Changes(
        overrides=tuple(overrides or ()),
        rounds=rounds,
        silos=options.names(silos),
        quorum=quorum,
        strategy=strategy,
        strategy_settings=tuple(strategy_set or ()),
        deadline_s=deadline,
        aggregator=aggregator,
        name=name,
    )
    return again.clone(call, run, app_named, changes, key=key, watch=watch)


@command(app, "reproduce", remote=True)
def reproduce(call: Invocation, run: RunId, key: options.Key = "") -> Answer:
    """Run the same plan again, and say whether the same model comes out; if not, from which round on, and why."""
    from septum.cli import again  # numpy and httpx

    return again.reproduce(call, run, key=key)


@command(app, "plan", remote=True)
def plan(call: Invocation, run: RunId) -> Answer:
    """Show what a run was settled to do, all of it: what each silo got and checked before it took part."""
    from septum.cli import comparing  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return comparing.plan(run, client.plan(run))


@command(app, "timeline", remote=True)
def timeline(
    call: Invocation,
    run: RunId,
    round_: Annotated[int | None, typer.Option("--round", min=0, help="Only this round; 0 is the preparation.")] = None,
) -> Answer:
    """Show where a run's time went: how long each silo did what, and for which one the others waited."""
    from septum.cli import timing  # protocol: blake3, which `--help` does not load

    return timing.timeline(call, run, round_)


@command(app, "compare", remote=True)
def compare(
    call: Invocation,
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two runs or more, by id.")],
    metric: Annotated[
        str, typer.Option("--metric", help="Which metric is shown round by round: roc_auc, accuracy or log_loss.")
    ] = "roc_auc",
) -> Answer:
    """Show in what runs differ: their settings, their metrics round by round, the best model of each."""
    from septum.cli import comparing  # protocol: blake3, which `--help` does not load

    return comparing.compare(call, runs, metric)


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many runs at most.")] = 20,
    after: Annotated[str, typer.Option("--after", metavar="RUN", help="Only what follows this run: older ones.")] = "",
    project: Annotated[str, typer.Option("--project", metavar="PROJECT", help="Only runs of this project.")] = "",
    app_named: Annotated[
        str, typer.Option("--app", metavar="APP", help="Only runs of this app: NAME, or NAME==VERSION.")
    ] = "",
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only runs that do this, such as training; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Only runs of exactly this name.")] = "",
    submitter: Annotated[str, typer.Option("--by", metavar="PERSON", help="Only runs that they submitted.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="DAY", help="Only runs since then: YYYY-MM-DD, UTC.")] = "",
    text: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Only runs with this in id, name, app or submitter.")
    ] = "",
) -> Answer:
    """List the runs that you may see, newest first."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load
    from septum.protocol.views import RunStatus

    statuses = views.chosen(RunStatus, "--status", status or ())
    with call.client() as client:
        found = client.runs(
            limit=limit,
            after=after,
            project=project,
            app=app_named,
            statuses=statuses,
            name=name,
            submitter=submitter,
            since=views.day(since),
            text=text,
        )
    return views.runs(found)


@command(app, "show", remote=True)
def show(
    call: Invocation,
    run: RunId,
    lineage: Annotated[
        bool,
        typer.Option("--lineage", help="Also what it is made from: app, silos, their data and machines."),
    ] = False,
) -> Answer:
    """Show one run: where it is, whom it waits for, how good its model is."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load
    from septum.cli.lineage import show as show_lineage

    if lineage:
        return show_lineage(call, run)
    with call.client() as client:
        return views.run(client.run(run))


@command(app, "watch", remote=True)
def watch(
    call: Invocation,
    run: RunId,
    after: Annotated[int, typer.Option("--after", min=0, help="Start after this entry of the journal.")] = 0,
) -> Answer:
    """Follow a run until it ends. Ctrl-C detaches; the run goes on."""
    from septum.cli import watching  # httpx and the protocol

    with call.client() as client:
        return watching.watch(call.output, client, run, after=after)


@command(app, "priority", remote=True)
def priority(
    call: Invocation,
    run: RunId,
    wanted: Annotated[str, typer.Argument(metavar="PRIORITY", help="low, normal or high.")],
) -> Answer:
    """Let a run that waits in the queue begin before others, or after them."""
    from septum.cli import submitting, views  # protocol: blake3, which `--help` does not load

    chosen = submitting.priority_of(wanted)
    with call.client() as client:
        return views.run(client.prioritise(run, chosen))


@command(app, "stop", remote=True)
def stop(
    call: Invocation,
    run: RunId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the run.")] = "stopped by an operator",
) -> Answer:
    """End a run. Its last finished model stays, and `run resume` goes on from it."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.run(client.stop(run, reason=reason))


@command(app, "shred", remote=True)
def shred(
    call: Invocation,
    run: RunId,
    really: Annotated[bool, typer.Option("--yes", help="Shred it. Without it this only says what would go.")] = False,
) -> Answer:
    """Delete a run's key, its models and all that silos had sent, for good. Journal, metrics, plan and audit stay."""
    from septum.cli import shredding  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return shredding.shred(client, run, really=really)


@command(app, "pause", remote=True)
def pause(call: Invocation, run: RunId) -> Answer:
    """Hand out no new work in a run until `run resume`."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.run(client.pause(run))


@command(app, "retry", remote=True)
def retry(call: Invocation, run: RunId) -> Answer:
    """Try a run that failed once more, from its last finished round; an error for one that has not failed."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load
    from septum.errors import ProtocolError

    with call.client() as client:
        view = client.run(run)
        if view.status.value != "failed":
            hint = f"septum run resume {run} goes on with one that was paused or stopped"
            raise ProtocolError(f"run {run} has not failed: it is {view.status.value}", hint=hint)
        return views.run(client.resume(run))


@command(app, "resume", remote=True)
def resume(call: Invocation, run: RunId) -> Answer:
    """Go on with a run: after a pause where it stood, after a stop or failure from its last finished round."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.run(client.resume(run))
