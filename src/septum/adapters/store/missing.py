"""How is it said that something is not there, with the names that were probably meant, or that a name is taken?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from septum.errors import ConflictError, NotFoundError, did_you_mean
from septum.ports.apps import AppRecord


def not_found(noun: str, name: str, known: Sequence[str]) -> NotFoundError:
    """The error for `name`, naming up to three of `known` that are close to it.

    >>> not_found("run", "heart-1", ["heart-12", "lung-7"]).message
    "there is no run 'heart-1'; close to it: heart-12"
    """
    close = difflib.get_close_matches(name, known, n=3)
    nearby = f"; close to it: {', '.join(close)}" if close else ""
    return NotFoundError(f"there is no {noun} {name!r}{nearby}", hint=f"septum {noun} list")


def preset_not_found(app: AppRecord, name: str) -> NotFoundError:
    """The error for a preset that a package was not given."""
    known = did_you_mean(name, app.presets) if app.presets else "it was given none"
    return NotFoundError(
        f"{app.name} {app.version} was given no preset {name!r}; {known}", hint=f"septum app show {app.digest}"
    )


def taken(app: AppRecord, by: str, *, removed: bool) -> ConflictError:
    """The error for a name and version that belong to the package with the digest `by`."""
    since = " and removed" if removed else ""
    return ConflictError(
        f"{app.name} {app.version} has been pushed already{since}, as {by}; this package is {app.digest}",
        hint="raise the version in septum.toml, then: septum app build",
    )
