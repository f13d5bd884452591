"""Where does Python look for an app's own dependencies? Behind its own library, before everything else.

Before it, a wheel's json.py would take the place of the one that septum and the app's other wheels were written for.
Behind the rest, a package that happens to be installed in a silo would take the place of the one that the app locked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_STANDARD = os.path.realpath(os.path.dirname(os.__file__))
_ARCHIVE = re.compile(r"python3[0-9]*\.zip")


def search_path(path: Sequence[str], folders: Sequence[str]) -> list[str]:
    """A `sys.path` that has an app's folders; without any it stays as it is.

    >>> import sysconfig
    >>> library = sysconfig.get_path("stdlib")
    >>> search_path(["/of/PYTHONPATH", library, "/usr/site-packages"], ["/own"]) == [
    ...     library, "/own", "/of/PYTHONPATH", "/usr/site-packages"
    ... ]
    True
    """
    if not folders:
        return list(path)
    standard = [entry for entry in path if _is_standard(entry)]
    return [*standard, *folders, *(entry for entry in path if entry not in standard)]


def _is_standard(entry: str) -> bool:
    real = os.path.realpath(entry) if entry else ""
    return real in (_STANDARD, os.path.join(_STANDARD, "lib-dynload")) or bool(
        _ARCHIVE.fullmatch(os.path.basename(entry)) and os.path.dirname(real) == os.path.dirname(_STANDARD)
    )
