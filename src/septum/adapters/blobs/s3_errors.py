"""What does an error of S3 mean for whoever has to act? One sentence, and the next command.

Codes: the list of error codes in the S3 API reference, and what its compatible servers answer in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from septum.adapters.export.extra import imported
from septum.errors import NotFoundError
from septum.ports.blobs import AwayError

WHAT, EXTRA = "blobs in S3", "s3"
RIGHTS = "s3:ListBucket, s3:ListBucketMultipartUploads, s3:GetObject, s3:PutObject, s3:DeleteObject"
_NOT_THERE = frozenset({"NoSuchKey", "NoSuchUpload", "404", "NotFound"})
_WHO = "aws sts get-caller-identity"
_HINTS = {
    "NoSuchBucket": "aws s3 ls; then bucket = ... under [blobs] in coordinator.toml",
    "AccessDenied": f"{_WHO}; it needs {RIGHTS}, s3:AbortMultipartUpload",
    "403": f"{_WHO}; it needs {RIGHTS}, s3:AbortMultipartUpload",
    "AllAccessDisabled": f"{_WHO}; it needs {RIGHTS}, s3:AbortMultipartUpload",
    "InvalidAccessKeyId": _WHO,
    "SignatureDoesNotMatch": _WHO,
    "ExpiredToken": _WHO,
    "InvalidToken": _WHO,
    "PermanentRedirect": "region = ... under [blobs] in coordinator.toml",
    "AuthorizationHeaderMalformed": "region = ... under [blobs] in coordinator.toml",
    "IllegalLocationConstraintException": "region = ... under [blobs] in coordinator.toml",
    "301": "region = ... under [blobs] in coordinator.toml",
    "InvalidBucketName": "bucket = ... under [blobs] in coordinator.toml",
    "RequestTimeTooSkewed": "timedatectl: this machine's clock is wrong",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What went wrong, what to do, and whether trying again may help."""

    why: str
    hint: str
    lasts: bool


class S3AwayError(AwayError):
    """S3 does not do what it was asked. `lasts`: it will not, before somebody has changed something."""

    def __init__(self, message: str, *, hint: str, lasts: bool) -> None:
        super().__init__(message, hint=hint)
        self.lasts = lasts


class AskedS3:
    """Turns the errors of botocore into ours. `place`: `s3://bucket/prefix`; `look`: a command that shows it."""

    def __init__(self, place: str, look: str) -> None:
        self._place = place
        self._look = look
        self._errors = imported("botocore.exceptions", WHAT, EXTRA)

    @contextmanager
    def __call__(self, doing: str, *, missing: str = "") -> Iterator[None]:
        """Raises S3AwayError saying what could not be done, NotFoundError(missing) where there is no such object."""
        try:
            yield
        except self._errors.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if missing and code in _NOT_THERE:
                raise NotFoundError(missing) from error
            raise self._away(doing, self._refusal(code, error.response)) from error
        except self._errors.BotoCoreError as error:
            raise self._away(doing, self._failure(error)) from error

    def is_cut(self, error: Exception) -> bool:
        """Whether an answer ended before its end, so that asking for the rest may help."""
        return isinstance(error, self._errors.HTTPClientError | self._errors.IncompleteReadError)

    def _away(self, doing: str, found: Refusal) -> S3AwayError:
        return S3AwayError(f"could not {doing} in {self._place}: {found.why}", hint=found.hint, lasts=found.lasts)

    def _refusal(self, code: str, response: dict[str, Any]) -> Refusal:
        """Of an answer with an error."""
        said = str(response.get("Error", {}).get("Message", ""))[:300]
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        why = f"{code or status}{f', {said}' if said and said != code else ''}"
        if code in _HINTS:
            return Refusal(why, _HINTS[code], lasts=code != "RequestTimeTooSkewed")
        return Refusal(why, self._look, lasts=False)

    def _failure(self, error: Exception) -> Refusal:
        """Of an answer that did not come."""
        kinds: tuple[tuple[type[Exception], Callable[[], Refusal]], ...] = (
            (self._errors.NoCredentialsError, lambda: Refusal("no credentials were found", _CREDENTIALS, lasts=True)),
            (self._errors.PartialCredentialsError, lambda: Refusal(str(error), _CREDENTIALS, lasts=True)),
            (
                self._errors.SSLError,
                lambda: Refusal(
                    "its certificate does not hold", "ca_file = ... under [blobs] in coordinator.toml", lasts=True
                ),
            ),
        )
        for kind, refusal in kinds:
            if isinstance(error, kind):
                return refusal()
        return Refusal(str(error)[:300], self._look, lasts=False)


_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of this machine"
