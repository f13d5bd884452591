"""Which coordinator may drive a run? One that carries the label which the run's plan names; where it names none, any.

With one coordinator this decides whether a run is driven at all; with several over one database it decides who takes
it up. A coordinator that may not drive a run leaves it in the queue.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from septum.errors import ConfigError, did_you_mean

ANY = "any"
MAX_LABELS = 32
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def check_label(text: str) -> str:
    """`text` itself, if it can be a label. Raises ConfigError.

    >>> check_label("eu-north")
    'eu-north'
    """
    if not _LABEL.fullmatch(text):
        raise ConfigError(
            f"{text[:100]!r} is no label of a coordinator",
            hint="use 1 to 63 lower-case letters, digits, dots, hyphens and underscores, as in eu-north",
        )
    return text


def check_labels(labels: Collection[str]) -> None:
    """Whether these can be what one coordinator carries. Raises ConfigError."""
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"{len(labels)} labels, at most {MAX_LABELS} are possible")
    for label in labels:
        if check_label(label) == ANY:
            raise ConfigError(f"{ANY!r} is no label: it stands for every coordinator", hint="leave it out of labels")


def check_known(aggregator: str, labels: Collection[str]) -> None:
    """Whether some coordinator may drive such a run; `labels` are those of all coordinators. Raises ConfigError."""
    if aggregator == ANY or aggregator in labels:
        return
    known = f"{did_you_mean(aggregator, labels)}; there are: {', '.join(sorted(labels))}" if labels else "none has any"
    raise ConfigError(
        f"no coordinator of this federation is labelled {aggregator!r}; {known}",
        hint=f"--aggregator {min(labels, default=ANY)}; or labels = [{aggregator!r}] in a coordinator.toml",
    )


def barred(aggregator: str, labels: Collection[str]) -> str:
    """Why a coordinator with these labels may not drive a run of this aggregator; empty: it may.

    >>> barred("eu", ["eu", "gpu"])
    ''
    >>> barred("eu", ["us"])
    'it is for a coordinator labelled eu, and this one is labelled us'
    """
    if aggregator == ANY or aggregator in labels:
        return ""
    own = f"is labelled {', '.join(sorted(labels))}" if labels else "has no labels"
    return f"it is for a coordinator labelled {aggregator}, and this one {own}"
