"""In what do runs differ? Their plans name by name, their models round by round, and why a repetition is another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from septum.protocol.codec import Json, to_json
from septum.protocol.facts import (
    Fact,
    Metrics,
    ModelMade,
    ModelMeasured,
    SiloJoined,
    SiloRefused,
    SiloReturned,
    StageClosed,
)
from septum.protocol.messages import Stage
from septum.protocol.plan import Metric, Plan, Start


class Why(Enum):
    """Why a repetition of a run made another model.

    NOISE    differential privacy draws new noise in every run
    APP      one of the two has fewer models, and silos refused it: what they approved is another version of the app
    MISSING  one of the two has fewer models, and silos had no part in it: they refused it, or were away
    UNENDED  one of the two has fewer models, though the same silos were in it
    SILOS    another set of silos reported, in the round that is told
    DATA     silos had other rows, as their digests say
    KEPT     silos went on from private parameters that an earlier run had left them
    MACHINE  silos had another processor, system, Python or septum, as they say
    START    the first model differs: a silo's data changed, or the app's start is not the seed's alone
    TRAINING the first model is the same and the same silos reported: data that no statistics show, other versions of
             numerical libraries, another kind of processor, or an app that draws from more than its seed
    """

    NOISE = "noise"
    APP = "app"
    MISSING = "missing"
    SILOS = "silos"
    DATA = "data"
    KEPT = "kept"
    MACHINE = "machine"
    START = "start"
    TRAINING = "training"
    UNENDED = "unended"


@dataclass(frozen=True, slots=True)
class Course:
    """What a journal says of a run's models, each by its round.

    reported  the silos whose reports made the model of a round
    silos     the same figures silo by silo, where the coordinator saw them: in a run without masks
    datasets  the digest of each silo's rows, of those that told it; as it was when they joined last
    machines  what each said of its software and processor
    refused   the rule by which a silo refused the run
    """

    models: Mapping[int, str] = field(default_factory=dict)
    metrics: Mapping[int, Metrics] = field(default_factory=dict)
    reported: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    silos: Mapping[int, Mapping[str, Metrics]] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parting:
    """The first round whose models differ, and why. `silos`: those that the reason is about."""

    round: int
    why: Why
    silos: tuple[str, ...] = ()


def course_of(facts: Iterable[Fact]) -> Course:
    """The models that a run kept, from its journal.

    A round that is made again counts as it was in the end; so does one whose model was voted down.
    """
    models: dict[int, str] = {}
    metrics: dict[int, Metrics] = {}
    reported: dict[int, tuple[str, ...]] = {}
    by_silo: dict[int, Mapping[str, Metrics]] = {}
    datasets: dict[str, str] = {}
    machines: dict[str, str] = {}
    refused: dict[str, str] = {}
    for fact in facts:
        match fact:
            case ModelMade(round_, model):
                models[round_] = model.digest
            case ModelMeasured(round_, votes=votes) if votes is not None and votes.down:
                models.pop(round_, None)
            case ModelMeasured(round_, measured, each):
                metrics[round_], by_silo[round_] = measured, each
            case SiloJoined(silo, dataset, machine) | SiloReturned(silo, dataset, machine):
                datasets |= {silo: dataset} if dataset else {}
                machines |= {silo: machine} if machine else {}
                refused.pop(silo, None)
            case SiloRefused(silo, rule):
                refused[silo] = rule
            case StageClosed(Stage.PREPARE | Stage.TRAIN, round_, reported=silos):
                reported[round_] = silos
            case _:
                pass
    measured_silos = {k: each for k, each in by_silo.items() if each}
    return Course(models, metrics, reported, measured_silos, datasets, machines, refused)


def best_round(metrics: Mapping[int, Metrics], by: Metric) -> int | None:
    """The earliest round whose model is best by a metric of that very model; None where it was never measured.

    >>> best_round({1: Metrics(9, 0.5, 0.7, 0.6), 2: Metrics(9, 0.5, 0.7, 0.6)}, Metric.ROC_AUC)
    1
    """
    sign = 1.0 if by.larger_is_better else -1.0
    values = {k: getattr(found, by.value) for k, found in metrics.items()}
    known = {k: sign * value for k, value in values.items() if value is not None}
    return max(sorted(known), key=known.__getitem__, default=None)


def curves(courses: Sequence[Course], by: Metric) -> dict[int, tuple[float | None, ...]]:
    """A metric of each run round by round, side by side: of every round in which one was measured; None where not.

    >>> a, b = (Course(metrics={k: Metrics(9, 0.5, 0.7, 0.6)}) for k in (0, 1))
    >>> curves([a, b], Metric.ROC_AUC)
    {0: (0.6, None), 1: (None, 0.6)}
    """
    rounds = sorted({k for course in courses for k in course.metrics})
    return {k: tuple(getattr(course.metrics.get(k), by.value, None) for course in courses) for k in rounds}


def differences(plans: Sequence[Plan], *, equal: bool = False) -> dict[str, tuple[Json, ...]]:
    """Every setting in which not all plans agree, by its dotted name, with its value in each; None where it is unset.

    The digest of the app stands for its code. With `equal` those in which they agree, too.
    """
    flat = [_flat(to_json(plan)) for plan in plans]
    names = sorted({name for one in flat for name in one})
    found = {name: tuple(one.get(name) for one in flat) for name in names}
    return {name: values for name, values in found.items() if equal or any(value != values[0] for value in values)}


def parting(plan: Plan, one: Course, other: Course) -> Parting | None:
    """Where two runs of one plan part; None where their last models are the same.

    >>> same = Course(models={0: "a", 1: "b"})
    >>> parting(None, same, same) is None
    True
    """
    last = max(one.models, default=-1)
    if one.models and last == max(other.models, default=-1) and one.models[last] == other.models[last]:
        return None
    rounds = sorted({*one.models, *other.models})
    first = next((k for k in rounds if one.models.get(k) != other.models.get(k)), 0)
    if first not in one.models or first not in other.models:
        return _unended(plan, one, other, first)
    if plan.privacy is not None and first:
        return Parting(first, Why.NOISE)
    for round_ in range(first + 1):
        alone = set(one.reported.get(round_, ())) ^ set(other.reported.get(round_, ()))
        if alone:
            return Parting(first, Why.SILOS, tuple(sorted(alone)))
    if changed := _others(one.datasets, other.datasets):
        return Parting(first, Why.DATA, changed)
    if plan.private is not None and plan.private.start is Start.CONTINUE:
        return Parting(first, Why.KEPT)
    if changed := _others(one.machines, other.machines):
        return Parting(first, Why.MACHINE, changed)
    return Parting(first, Why.TRAINING if first else Why.START)


def _unended(plan: Plan, one: Course, other: Course, first: int) -> Parting:
    """Why one of two runs has fewer models than the other."""
    fewer = min((other, one), key=lambda course: len(course.models))
    by_app = tuple(sorted(silo for silo, rule in fewer.refused.items() if rule == "apps" or rule.startswith("apps.")))
    if by_app:
        return Parting(first, Why.APP, by_app)
    last = fewer.reported[max(fewer.reported)] if fewer.reported else plan.silos
    missing = tuple(sorted(fewer.refused or set(plan.silos) - set(last)))
    return Parting(first, Why.MISSING, missing) if missing else Parting(first, Why.UNENDED)


def _others(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """Of which silos the two say something else; what one of them does not say is not told from anything."""
    return tuple(sorted(silo for silo in one.keys() & other.keys() if one[silo] != other[silo]))


def _flat(value: Json, name: str = "") -> dict[str, Json]:
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    found: dict[str, Json] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{name}.{key}" if name else key)
    return found
