"""How does a command get a secret? From an environment variable, a hidden prompt, or a line of standard input.

Never from the command line: other users of the machine can read that.
"""

from __future__ import annotations

import os
import sys

from septum.errors import AuthError


def secret(label: str, variable: str) -> str:
    """A secret that somebody has. Raises AuthError when there is none."""
    found = os.environ.get(variable, "") or _read(f"{label}: ")
    if not found:
        raise AuthError(f"there is no {label.lower()}", hint=f"set {variable}, or give it on standard input")
    return found


def new_secret(label: str, variable: str) -> str:
    """A secret that somebody chooses: at a terminal it is asked for twice. Raises AuthError."""
    chosen = secret(label, variable)
    if sys.stdin.isatty() and not os.environ.get(variable) and _read(f"{label}, again: ") != chosen:
        raise AuthError(f"{label.lower()}: the two are not the same; nothing was changed", hint="try again")
    return chosen


def _read(prompt: str) -> str:
    if sys.stdin.isatty():
        from getpass import getpass  # termios: 1 ms that other commands do not pay

        return getpass(prompt, stream=sys.stderr)
    return sys.stdin.readline().rstrip("\r\n")
