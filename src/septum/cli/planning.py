"""How do an app's folder and the command line's options become a plan?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from septum.cli.options import RunOptions, pairs
from septum.errors import ConfigError, did_you_mean
from septum.plugins.strategies import strategy_for, strategy_of
from septum.protocol.codec import Scalar
from septum.protocol.plan import AppRef, EarlyStopping, Masking, Metric, Plan, Private, Start, StrategyRef, Vote
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.resources import NOTHING, Resources
from septum.sdk.contract import Column
from septum.sdk.hyper import HyperField, parse, resolve
from septum.sdk.package import LoadedApp, load_app
from septum.sdk.package_file import read_description


@dataclass(frozen=True, slots=True)
class Described:
    """What has to be known of an app to plan a run of it; none of its code.

    masked   what leaves under masks alone
    columns  its data contract
    resources  what a run of it takes in each silo
    """

    name: str
    version: str
    digest: str
    fields: tuple[HyperField, ...]
    presets: Mapping[str, Mapping[str, object]]
    masked: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)


def described(loaded: LoadedApp) -> Described:
    """Of an app that was imported."""
    manifest = loaded.manifest
    return Described(
        name=loaded.app.name,
        version=manifest.version,
        digest=loaded.digest,
        fields=loaded.app.fields,
        presets=manifest.presets,
        masked=manifest.masked,
        private=manifest.private,
        columns=manifest.columns,
        resources=manifest.resources,
    )


def described_package(digest: str, description: bytes, added: Mapping[str, Mapping[str, object]]) -> Described:
    """Of a package, by what it says of itself, and the presets that were given to it besides."""
    found = read_description(description)
    presets = {**added, **found.presets}
    shared = (found.masked, found.private, found.columns, found.resources)
    return Described(found.name, found.version, digest, found.fields, presets, *shared)


def load(folder: Path) -> LoadedApp:
    """The app of a folder. Its module runs here, in the process of the person who submits it."""
    return load_app(folder.expanduser().resolve())


def make_plan(app: Described, silos: Sequence[str], options: RunOptions) -> Plan:
    """The plan of a run of this app over these silos. Raises ConfigError for every option that does not fit."""
    if options.inspect:
        check_inspectable(app)
    hyper = resolve(app.fields, hyper_values(app, options), app.name)
    plan = Plan(
        name=options.name or app.name,
        app=AppRef(app.name, app.version, app.digest),
        hyper=hyper,
        silos=tuple(sorted(set(silos))),
        rounds=int(hyper["rounds"]),
        seed=int(hyper.get("seed", 0)),
        quorum=options.quorum,
        strategy=strategy_ref(options),
        gather_s=options.gather_s,
        deadline_s=options.deadline_s,
        attempts=options.attempts,
        early_stopping=early_stopping(options.early_stopping),
        clip_norm=options.clip_norm,
        masking=None if options.inspect else Masking(options.max_update, options.max_weight),
        privacy=privacy(options),
        vote=vote(options.vote),
        private=_private(app, options),
        resources=resources(app, options),
        keep_silo_models=options.keep_silo_models,
        aggregator=options.aggregator,
    )
    strategy_for(plan)  # refuses one that needs more silos
    return plan


def resources(app: Described, options: RunOptions) -> Resources | None:
    """What the app's manifest says that a run takes, and over it what the options say; None for nothing."""
    given = {"cpus": options.cpus, "memory_mb": options.memory_mb, "gpus": options.gpus}
    taken = {**app.resources, **{name: value for name, value in given.items() if value is not None}}
    found = Resources(float(taken.get("cpus", 0.0)), int(taken.get("memory_mb", 0)), int(taken.get("gpus", 0)))
    return None if found == NOTHING else found


def check_inspectable(app: Described) -> None:
    """Whether the coordinator may see what each silo sends. Raises ConfigError."""
    if app.masked:
        raise ConfigError(
            f"{app.name} {app.version} is for masked runs alone: under [leaves] in its septum.toml, "
            f"{', '.join(app.masked)} may leave a silo only in sums",
            hint="run it without --inspect; or its author lists all that leaves under `open`, as a new version",
        )


def _private(app: Described, options: RunOptions) -> Private | None:
    starts = [start.value for start in Start]
    if options.private not in starts:
        raise ConfigError(f"--private {options.private}: {did_you_mean(options.private, starts)}")
    start = Start(options.private)
    if start is Start.CONTINUE and not app.private:
        raise ConfigError(
            f"--private continue: app {app.name!r} has no private parameters to continue from",
            hint="its septum.toml names them: [private] parameters = [...]",
        )
    if not app.private and not options.personalise:
        return None
    return Private(app.private, start, options.personalise)


def hyper_values(app: Described, options: RunOptions) -> dict[str, object]:
    """The preset's values, and over them those of `--set` and `--rounds`."""
    texts = pairs(options.overrides, "--set")
    if options.rounds is not None and "rounds" in texts:
        raise ConfigError(f"--rounds {options.rounds} and --set rounds={texts['rounds']}", hint="leave one of them out")
    given: dict[str, Scalar] = parse(app.fields, texts, app.name)
    if options.rounds is not None:
        given["rounds"] = options.rounds
    return {**_preset(app.presets, options.preset), **given}


def strategy_ref(options: RunOptions) -> StrategyRef:
    """The strategy with all its settings, defaults resolved and ranges checked."""
    settings = {}
    for name, text in pairs(options.strategy_settings, "--strategy-set").items():
        try:
            settings[name] = float(text)
        except ValueError:
            raise ConfigError(f"--strategy-set {name}={text}: {text!r} is not a number") from None
    made = strategy_of(StrategyRef(options.strategy, settings))
    return StrategyRef(made.name, dict(made.settings))


def privacy(options: RunOptions) -> Privacy | None:
    """What `--target-epsilon` and its companions ask for; None without it. Raises ConfigError."""
    if options.target_epsilon is None:
        unused = RunOptions()
        belonging = ("metrics_epsilon", "dp_unit", "privacy_strength", "delta", "dp_clip", "dp_batch", "dp_steps")
        for option in (*belonging, "dp_learning_rate"):
            if getattr(options, option) != getattr(unused, option):
                raise ConfigError(f"--{option.replace('_', '-')} belongs to --target-epsilon, which is not there")
        return None
    _check_unit(options.dp_unit)
    try:
        delta = None if options.delta == "auto" else float(options.delta)
    except ValueError:
        raise ConfigError(f"--delta {options.delta}: neither auto nor a number") from None
    return Privacy(
        target_epsilon=options.target_epsilon,
        delta=delta,
        clip=options.dp_clip,
        batch=options.dp_batch,
        steps=options.dp_steps,
        learning_rate=options.dp_learning_rate,
        metrics_epsilon=options.metrics_epsilon,
        strength=_strength(options.privacy_strength),
    )


def _strength(text: str) -> Strength:
    known = [one.value for one in Strength]
    if text not in known:
        raise ConfigError(f"--privacy-strength {text}: {did_you_mean(text, known)}")
    return Strength(text)


def _check_unit(unit: str) -> None:
    if unit == "silo":
        raise ConfigError(
            "--dp-unit silo: to hide that a silo takes part, noise is added to the mean over the silos. At epsilon 8"
            " over 20 rounds that is 0.54 of the clipping norm in each coordinate with 4 silos, too much for a model,"
            " and 0.011 with 200. It is no use below 50 silos, and not built for more",
            hint="--dp-unit record hides each row of each silo",
        )
    if unit != "record":
        raise ConfigError(f"--dp-unit {unit}: {did_you_mean(unit, ('record', 'silo'))}")


def early_stopping(text: str) -> EarlyStopping | None:
    """`METRIC[:PATIENCE[:MIN_DELTA]]`; nothing for an empty text.

    >>> early_stopping("log_loss:3")
    EarlyStopping(metric=<Metric.LOG_LOSS: 'log_loss'>, patience=3, min_delta=0.0)
    """
    if not text:
        return None
    name, *rest = text.split(":")
    metric = _metric("--early-stopping", text, name)
    defaults = EarlyStopping()
    try:
        patience = int(rest[0]) if rest else defaults.patience
        min_delta = float(rest[1]) if len(rest) > 1 else defaults.min_delta
    except ValueError:
        rest = ["", "", ""]
    if len(rest) > 2:
        raise ConfigError(f"--early-stopping {text!r} is not METRIC:PATIENCE:MIN_DELTA", hint="roc_auc:5:0.001, say")
    return EarlyStopping(metric, patience, min_delta)


def vote(text: str) -> Vote | None:
    """`METRIC[:DROP[:SHARE[:BURNT]]]`; nothing for an empty text.

    >>> vote("roc_auc:0.05")
    Vote(accepts=0.6666666666666666, metric=<Metric.ROC_AUC: 'roc_auc'>, max_drop=0.05, max_burnt=3)
    """
    if not text:
        return None
    name, *rest = text.split(":")
    metric = _metric("--vote", text, name)
    plain = Vote()
    wrong = ConfigError(f"--vote {text!r} is not METRIC:DROP:SHARE:BURNT", hint="log_loss:0.1:0.67:3, say")
    if len(rest) > 3:
        raise wrong
    try:
        drop = float(rest[0]) if rest else plain.max_drop
        share = float(rest[1]) if len(rest) > 1 else plain.accepts
        burnt = int(rest[2]) if len(rest) > 2 else plain.max_burnt
    except ValueError:
        raise wrong from None
    return Vote(share, metric, drop, burnt)


def _metric(option: str, text: str, name: str) -> Metric:
    metrics = [metric.value for metric in Metric]
    if name not in metrics:
        raise ConfigError(f"{option} {text}: no metric {name!r}; {did_you_mean(name, metrics)}")
    return Metric(name)


def _preset(presets: Mapping[str, Mapping[str, object]], name: str) -> Mapping[str, object]:
    if not name:
        return {}
    if name not in presets:
        known = did_you_mean(name, presets) if presets else "it has none"
        raise ConfigError(
            f"the app has no preset {name!r}; {known}",
            hint="write [presets.NAME] in septum.toml; of a pushed package: septum app preset set APP NAME lr=0.1",
        )
    return presets[name]
