"""Which ways of failing belong to the command line alone?"""

from __future__ import annotations

from septum.errors import ExitCode, SeptumError


class UsageProblem(SeptumError):
    """The command was not understood: an unknown option, a missing argument, a value of another kind."""

    code = "usage"
    exit_code = ExitCode.USAGE


class Interrupted(SeptumError):
    """The user pressed Ctrl-C. What runs elsewhere goes on."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED


class InternalError(SeptumError):
    """An exception that septum did not raise on purpose: a bug, or a machine that cannot go on."""

    code = "internal"


class ChecksFailedError(SeptumError):
    """`septum doctor` found something that will not work."""

    code = "doctor"
