"""The error tree: what happened, what to do next, and with which exit code a command ends.

Every error that septum raises on purpose is a `SeptumError`. Its message says what happened and where, with the ids and
numbers involved; its `hint` is the next command of the person who reads it. `code` names the error on the wire and in
`--json` output, `http_status` is what the coordinator answers with it, `exit_code` what a command ends with.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How a command ends. The numbers are part of the command line's contract."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    CONNECTION = 4
    AUTH = 5
    INTERRUPTED = 130


class SeptumError(Exception):
    """The root of the tree."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SeptumError):
    """A configuration file, setting or hyper-parameter that cannot be used."""

    code = "config"
    exit_code = ExitCode.USAGE
    http_status = 422


class DataError(SeptumError):
    """A silo's data does not fit what the app needs."""

    code = "data"
    http_status = 422


class AppError(SeptumError):
    """An app that cannot be loaded, or whose function raised or returned something unusable."""

    code = "app"
    http_status = 422


class TensorError(SeptumError):
    """Tensor bytes that are malformed, too large, not finite, or of another layout than agreed."""

    code = "tensor"
    http_status = 422


class TooLargeError(SeptumError):
    """More bytes than the receiver accepts; refused before they are buffered."""

    code = "too_large"
    http_status = 413


class DigestError(SeptumError):
    """Bytes whose digest is not the one they were announced with."""

    code = "digest"
    http_status = 422


class MessageError(SeptumError):
    """A control message that is not one of the protocol's messages."""

    code = "message"
    exit_code = ExitCode.USAGE
    http_status = 400


class VersionError(MessageError):
    """A message in a version that is not spoken here: one of the two sides has to be upgraded."""

    code = "version"


class ProtocolError(SeptumError):
    """A well-formed message that this state of the run does not allow. Raised before anything changes."""

    code = "protocol"
    http_status = 409


class SecAggError(SeptumError):
    """Secure aggregation was asked for something that it must not do, or was given something that does not hold."""

    code = "secure_aggregation"
    http_status = 422


class NotFoundError(SeptumError):
    """A run, silo, model or blob that does not exist here."""

    code = "not_found"
    exit_code = ExitCode.USAGE
    http_status = 404


class ConflictError(SeptumError):
    """Somebody else changed it first, or it is in use."""

    code = "conflict"
    http_status = 409


class PreconditionError(SeptumError):
    """It is not any more what the caller has seen of it. Nothing was changed."""

    code = "precondition"
    http_status = 412


class StorageError(SeptumError):
    """The disk or the database here cannot take it now: full, locked or damaged. What was there before stays."""

    code = "storage"
    http_status = 507


class AuthError(SeptumError):
    """Who asks is unknown, or the proof does not hold."""

    code = "auth"
    exit_code = ExitCode.AUTH
    http_status = 401


class ForbiddenError(AuthError):
    """Who asks is known and may not do this."""

    code = "forbidden"
    http_status = 403


class SecondFactorError(AuthError):
    """The password holds, and the code of the second factor is still wanted."""

    code = "second_factor"


class PasswordChangeError(AuthError):
    """A one-time password, in whose place one has to be chosen."""

    code = "password_change"
    http_status = 403


class RateLimitedError(SeptumError):
    """It was tried too often. `retry_after_s`: how long to wait."""

    code = "rate_limited"
    exit_code = ExitCode.AUTH
    http_status = 429

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ConnectionFailedError(SeptumError):
    """The other side cannot be reached, or went away in the middle."""

    code = "connection"
    exit_code = ExitCode.CONNECTION
    http_status = 503


class TimedOutError(SeptumError):
    """It did not happen in time."""

    code = "timeout"
    exit_code = ExitCode.TIMEOUT
    http_status = 504


class RunFailedError(SeptumError):
    """A run ended without a result."""

    code = "run_failed"


class WorkerError(SeptumError):
    """The training process raised, hung, was killed or broke its contract. `details` holds its traceback, if any."""

    code = "worker"

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message, hint=hint)
        self.details = details


class MissingExtraError(SeptumError):
    """A command that needs an optional part of septum which is not installed."""

    code = "missing_extra"
    exit_code = ExitCode.USAGE


class BudgetError(SeptumError):
    """A privacy budget that cannot pay for what was asked. Nothing was spent on it."""

    code = "budget"
    http_status = 409


class LedgerError(SeptumError):
    """A privacy ledger that does not hold: changed, cut, reordered or rolled back. Nothing is released on it."""

    code = "ledger"
    http_status = 409


class AuditError(SeptumError):
    """An audit log that does not hold: changed, cut, reordered, forged, or of two histories. It is never repaired."""

    code = "audit"
    http_status = 409


class PluginError(SeptumError):
    """A plugin that cannot be loaded, has another one's name, or raised."""

    code = "plugin"
    http_status = 422


ERROR_CLASSES: Mapping[str, type[SeptumError]] = {
    cls.code: cls for cls in tuple(globals().values()) if isinstance(cls, type) and issubclass(cls, SeptumError)
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause that names the closest known name, or lists them all.

    >>> did_you_mean("epoch", ["epochs", "lr"])
    "did you mean 'epochs'?"
    >>> did_you_mean("zzz", ["epochs", "lr"])
    'known: epochs, lr'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
