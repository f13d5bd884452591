"""Which tensors of a model are a silo's own? Those whose names match one of its app's patterns; the others are shared.

A part of the model that never leaves a silo: Arivazhagan et al. 2019 (FedPer, the last layers), Collins et al. 2021
(FedRep), Li et al. 2021 (FedBN, the normalisation). Shared tensors are averaged as ever. No numpy here: the agent of a
silo checks by these patterns what may leave. Decision 0015.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from septum.errors import AppError, ConfigError, did_you_mean

MAX_PATTERNS = 100
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,200}")
T = TypeVar("T")


def check_patterns(where: str, patterns: Sequence[object]) -> tuple[str, ...]:
    """The patterns themselves, sorted, if they can be some. Raises ConfigError naming `where` and the first wrong one.

    >>> check_patterns("septum.toml", ["norm.*", "head.*"])
    ('head.*', 'norm.*')
    """
    if len(patterns) > MAX_PATTERNS:
        raise ConfigError(f"{where}: {len(patterns)} patterns, at most {MAX_PATTERNS}")
    for pattern in patterns:
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
            raise ConfigError(
                f"{where}: {str(pattern)[:60]!r} is no pattern of tensor names",
                hint='write names as in the shell: "head.*", "*.bias", "layer?.weight"',
            )
    texts = [str(pattern) for pattern in patterns]
    if len(set(texts)) != len(texts):
        raise ConfigError(f"{where}: {', '.join(texts)}: a pattern is there twice", hint="leave one of them out")
    return tuple(sorted(texts))


def is_private(name: str, patterns: Iterable[str]) -> bool:
    """Whether a parameter of this name stays in its silo. `*`, `?` and `[...]` as in the shell; case counts.

    >>> is_private("head.weight", ["head.*"]), is_private("Head.weight", ["head.*"])
    (True, False)
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def parted(tensors: Mapping[str, T], patterns: Collection[str]) -> tuple[dict[str, T], dict[str, T]]:
    """The shared and the private tensors of a model.

    >>> parted({"body": 1, "head": 2}, ["head"])
    ({'body': 1}, {'head': 2})
    """
    private = {name: tensor for name, tensor in tensors.items() if is_private(name, patterns)}
    return {name: tensor for name, tensor in tensors.items() if name not in private}, private


def check_covers(names: Collection[str], patterns: Collection[str], app: str) -> None:
    """Whether each pattern names a tensor of the model, and some tensor is left to share. Raises AppError."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise AppError(
                f"app {app!r}: the private pattern {pattern!r} matches no tensor; {did_you_mean(pattern, names)}",
                hint=f"the model has {', '.join(sorted(names))[:300]}; mend [private] in septum.toml",
            )
    if patterns and all(is_private(name, patterns) for name in names):
        raise AppError(
            f"app {app!r}: {', '.join(patterns)} make every tensor of the model private, nothing is left to share",
            hint="narrow the patterns in [private] of septum.toml",
        )
