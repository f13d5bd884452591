"""What does `septum simulate` do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli import options
from septum.cli.command import Invocation, command
from septum.cli.output import Answer


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "simulate")(simulate)


def simulate(
    call: Invocation,
    app_dir: Annotated[Path, typer.Argument(metavar="APP_DIR", help="The app's folder, with app.py and septum.toml.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="NAME=PATH",
            help="A virtual silo and its file; may be repeated. If left out, each file in APP_DIR/data is a silo.",
        ),
    ] = None,
    silos: Annotated[
        int | None, typer.Option("--silos", min=1, max=1000, help="Deal the rows of all files out to this many silos.")
    ] = None,
    overrides: options.Set = None,
    preset: options.Preset = "",
    rounds: options.Rounds = None,
    quorum: options.Quorum = 0,
    strategy: options.Strategy = "fedavg",
    strategy_set: options.StrategySet = None,
    early_stopping: options.EarlyStop = "",
    clip_norm: options.ClipNorm = None,
    inspect: options.Inspect = False,
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
    personalise: options.Personalise = 0,
    attempts: options.Attempts = 3,
    name: options.Name = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the model into this safetensors file.")] = None,
    own: Annotated[
        Path | None,
        typer.Option("--own", metavar="DIR", help="Write each silo's own model into DIR, with what never leaves it."),
    ] = None,
) -> Answer:
    """Run an app's whole federation in this one process: same rounds, same model as over the network."""
    from septum.cli import simulating  # numpy and the app itself

    wanted = options.RunOptions(
        overrides=tuple(overrides or ()),
        preset=preset,
        rounds=rounds,
        quorum=quorum,
        strategy=strategy,
        strategy_settings=tuple(strategy_set or ()),
        early_stopping=early_stopping,
        clip_norm=clip_norm,
        inspect=inspect,
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
        personalise=personalise,
        attempts=attempts,
        name=name,
    )
    files = options.pairs(data or (), "--data")
    return simulating.simulate(call.output, app_dir, files, wanted, silo_count=silos, out=out, own=own)
