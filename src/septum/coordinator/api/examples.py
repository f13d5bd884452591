"""How does each answer and each body look, for instance? Real values of their classes, through the codec as always.

A value is made from the types of its fields, and a plausible word for each name. Where a class checks itself, or where
a whole looks better than the sum of its fields, it is written here.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Union, get_args, get_origin, get_type_hints

from septum.errors import SeptumError
from septum.protocol.audit import AuditEvent, AuditLine, AuditProof, Record, TreeHead, event_of
from septum.protocol.codec import Json, to_json, to_tagged_json
from septum.protocol.description import OfferedDataset
from septum.protocol.facts import Metrics, ModelMade
from septum.protocol.feed import Kind
from septum.protocol.messages import Blob
from septum.protocol.plan import AppRef, Plan, StrategyRef
from septum.protocol.privacy import Mode, Strength
from septum.protocol.rights import Grant, Over, Role, Scope
from septum.protocol.views import JournalView, PrivacyView

MODEL = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
PACKAGE = "sha256:" + "5" * 64
SILOS = ("cleveland", "hungary", "switzerland")

_PLAN = Plan(
    name="heart-disease",
    app=AppRef("heart-disease", "1.0.0", PACKAGE),
    hyper={"lr": 0.001, "rounds": 50},
    silos=SILOS,
    rounds=50,
    strategy=StrategyRef("fedavgm", {"momentum": 0.9}),
)
_EVENT = event_of(17, Record(Kind.RUN_SUBMITTED, "ada", {"run": "r-yfcr4jyi5qqj"}), 1_800_000_000.25)
_WHOLE: Mapping[type, object] = {
    Plan: _PLAN,
    AppRef: _PLAN.app,
    StrategyRef: _PLAN.strategy,
    Blob: Blob(MODEL, 4_194_304),
    Metrics: Metrics(299, 0.8125, 0.4375, 0.875, 0.0009765625),
    OfferedDataset: OfferedDataset("heart", ("age", "sex", "chol"), "300-399"),
    Grant: Grant(Role.RESEARCHER, Scope(Over.PROJECT, "sepsis")),
    JournalView: JournalView(7, 1_800_000_000.25, ModelMade(1, Blob(MODEL, 4_194_304))),
    AuditEvent: _EVENT,
    AuditLine: AuditLine(_EVENT.bytes.decode(), "5" * 64),
    AuditProof: AuditProof(("1" * 64, "2" * 64)),
    TreeHead: TreeHead(17, _EVENT.at, "3" * 64, "4" * 64),
    PrivacyView: PrivacyView(Mode.RECORD, Strength.ENFORCED, dict.fromkeys(SILOS, 5.0), None),
}
_WORDS: Mapping[str, str] = {
    "id": "r-yfcr4jyi5qqj",
    "run": "r-yfcr4jyi5qqj",
    "run_id": "r-yfcr4jyi5qqj",
    "name": "cleveland",
    "full_name": "Ada Lovelace",
    "submitter": "ada",
    "silo": "cleveland",
    "silos": "cleveland",
    "organisation": "st-marys",
    "organisations": "st-marys",
    "title": "St Mary's",
    "group": "cardiology",
    "project": "sepsis",
    "description": "early signs of sepsis",
    "digest": MODEL,
    "model": MODEL,
    "blob": MODEL,
    "plan_digest": MODEL,
    "app": "heart-disease",
    "septum": "0.1.0",
    "version": "1.0.0",
    "signatures": "[]",
    "reason": "",
    "problem": "",
    "csrf": "",
    "token": "septum_x8Z...",
    "password": "a long enough password",
    "code": "123456",
    "url": "https://septum.example",
    "uri": "https://septum.example/device",
    "labels": "north",
    "type": "/api/v1/errors#not_found",
    "detail": "there is no run 'r-yfcr4jyi5qqk'",
    "hint": "septum run list",
}
_NUMBERS: Mapping[str, int] = {"status": 404, "rows": 299, "rounds": 50, "round": 7, "limit": 100, "days": 90}
_KEYS: Mapping[str, str] = {"labels": "region", "metrics": "roc_auc", "presets": "paper", "hyper": "lr"}
_NOW = 1_800_000_000.0


def example_of(hint: object, name: str = "") -> Json:
    """An instance of a type as JSON.

    >>> from septum.protocol.views import PrunedRun
    >>> example_of(PrunedRun)
    {'run': 'r-yfcr4jyi5qqj', 'models': 1, 'size_bytes': 1, 'silo_models': 1}
    """
    value = value_of(hint, name)
    return to_tagged_json(value) if _is_tagged(hint) else to_json(value)


def word(name: str) -> str:
    """A plausible text for a parameter or a field of this name."""
    return _WORDS.get(name, _WORDS.get(name.partition("_")[0], name.replace("_", " ")))


def value_of(hint: object, name: str = "") -> object:
    """An instance of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return value_of(next(one for one in arguments if one is not type(None)), name)
    if origin in (tuple, Sequence):
        return (value_of(arguments[0], name),)
    if origin is not None and issubclass(origin, Mapping):
        return {_KEYS.get(name, "cleveland"): value_of(arguments[1], name)}
    if isinstance(hint, type):
        return _instance(hint, name)
    raise TypeError(f"no example for {hint!r}")


def _instance(cls: type, name: str) -> object:
    if cls in _WHOLE:
        return _WHOLE[cls]
    if issubclass(cls, Enum):
        return next(iter(cls))
    if dataclasses.is_dataclass(cls):
        return _of_fields(cls)
    if cls is float and (name.endswith("_at") or name in ("at", "since")):
        return _NOW
    plain: Mapping[type, object] = {
        bool: False,
        int: _NUMBERS.get(name, 1),
        float: 0.5,
        str: word(name),
        bytes: b"",
        type(None): None,
    }
    return plain[cls]


def _of_fields(cls: type) -> object:
    hints, fields = get_type_hints(cls), dataclasses.fields(cls)
    try:
        return cls(**{field.name: value_of(hints[field.name], field.name) for field in fields})
    except SeptumError:  # not all of it may be there at one time: with what has to be
        missing = dataclasses.MISSING
        needed = [one.name for one in fields if one.default is missing and one.default_factory is missing]
        return cls(**{name: value_of(hints[name], name) for name in needed})


def _is_tagged(hint: object) -> bool:
    return sum(dataclasses.is_dataclass(one) for one in get_args(hint)) > 1
