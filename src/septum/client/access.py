"""Where is the coordinator, and by what token does one get in?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from septum.errors import AuthError, ConfigError, MessageError
from septum.protocol.codec import from_json, loads

OPERATOR_FILE = "operator.json"  # in the coordinator's data directory; the coordinator writes it at its first start


@dataclass(frozen=True, slots=True)
class Access:
    """The coordinator's URL, a bearer token, and the file with the certificate to trust ("" for the system's own)."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""


def operator_access(data_dir: Path) -> Access:
    """The operator's access, as the coordinator left it in its data directory.

    Raises:
        AuthError: it is not there, or not readable by this user.
    """
    path = data_dir / OPERATOR_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AuthError(
            f"no access to a coordinator: {path}: {error.strerror}",
            hint=f"septum coordinator start --data-dir {data_dir}, or set SEPTUM_URL and SEPTUM_TOKEN",
        ) from error
    try:
        return from_json(Access, loads(data), OPERATOR_FILE)
    except MessageError as error:
        raise ConfigError(f"{path}: {error.message}") from error
