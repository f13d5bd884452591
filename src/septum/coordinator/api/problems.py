"""How does the public API say that something went wrong? As RFC 9457 has it; each kind of problem stands on one page.

python -m septum.coordinator.api.problems > docs/reference/errors.md
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Response

from septum.adapters.channel.wire_errors import MAX_TEXT_CHARS, RETRY_AFTER, RETRY_STATUSES
from septum.errors import ERROR_CLASSES, RateLimitedError, SeptumError
from septum.protocol.codec import dumps, to_json

PROBLEM_TYPE = "application/problem+json"
PAGE = "/api/v1/errors"

_HEAD = f"""# Errors

Made by `python -m septum.coordinator.api.problems > docs/reference/errors.md`; a test checks that it is up to date. A
coordinator serves this page itself, at `{PAGE}`.

The public API answers what it cannot do as `{PROBLEM_TYPE}`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

| member | what it is |
|---|---|
| `type` | where this page describes the kind of error: `{PAGE}#` and its code |
| `title` | the kind in a sentence, the same each time |
| `status` | the HTTP status, as in the status line |
| `detail` | what happened, with the ids and numbers |
| `code` | the kind by its name, for programs: it does not change |
| `hint` | what to do next, if there is something to say: mostly a command |

An answer with status 429 or 503 says in `Retry-After` after how many seconds to ask again. Commands end with the exit
code that is given here; with `--json` they print `code`, `message` (the `detail`) and `hint`. Silos' own requests
(`/silo/v1`) have the same codes in the body `{{"error": {{"code", "message", "hint"}}}}`, which belongs to their
protocol (docs/decisions/0002).
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as RFC 9457 has it, with the code that names its kind and a hint what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str


def problem_of(error: SeptumError, status: int) -> Problem:
    """An error as it is answered.

    >>> problem_of(SeptumError("what now?"), 500).type
    '/api/v1/errors#error'
    """
    cls = type(error) if type(error) in ERROR_CLASSES.values() else ERROR_CLASSES[error.code]
    detail, hint = error.message[:MAX_TEXT_CHARS], error.hint[:MAX_TEXT_CHARS]
    return Problem(f"{PAGE}#{cls.code}", title_of(cls), status, detail, cls.code, hint)


def answer_problem(error: SeptumError, status: int) -> Response:
    """The answer to a request that failed."""
    wait = str(math.ceil(error.retry_after_s)) if isinstance(error, RateLimitedError) else RETRY_AFTER
    headers = {"Retry-After": wait} if status in RETRY_STATUSES else None
    return Response(dumps(to_json(problem_of(error, status))), status, headers, media_type=PROBLEM_TYPE)


def title_of(cls: type[SeptumError]) -> str:
    """The first sentence of what the class says of itself."""
    return "Any other error" if cls is SeptumError else inspect.cleandoc(cls.__doc__ or "").split("\n")[0].rstrip(".")


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_errors()])


def _errors() -> Iterator[str]:
    for code, cls in sorted(ERROR_CLASSES.items()):
        said = "Any other." if cls is SeptumError else " ".join(inspect.cleandoc(cls.__doc__ or "").split())
        yield f"## {code}\n\n{said}\n\nHTTP {cls.http_status}, exit code {int(cls.exit_code)}.\n"


if __name__ == "__main__":
    sys.stdout.write(page())
