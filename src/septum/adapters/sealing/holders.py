"""Where does the master key come from? A file, what a program prints, or a key management service that never gives it.

From a file or a program it is 32 bytes in base64, and wraps data keys with AES-256-GCM here. The service of AWS (KMS)
wraps and unwraps by itself; boto3 finds credentials and region as everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from septum.adapters.export.extra import imported
from septum.adapters.identity.keys import refuse_readable_by_others
from septum.adapters.sealing.seal import KEY_BYTES, Sealer
from septum.errors import ConfigError, StorageError

COMMAND_S = 30.0
WHAT, EXTRA = "keys in KMS", "kms"
MAX_KEY_TEXT = 256
MAKE_KEY = "(umask 077; openssl rand -base64 32 > secrets.key)"


class MasterKey:
    """A master key that is in this process. See `ports.sealing.KeyHolder` for the contract."""

    def __init__(self, key: bytes, source: str) -> None:
        self._sealer = Sealer(key)
        self.name = f"{source}, key {hashlib.sha256(b'septum-master-key' + key).hexdigest()[:16]}"

    def wrap(self, key: bytes, about: str) -> bytes:
        """A data key under this one."""
        return self._sealer.seal(key, about)

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """The data key. Raises ConfigError."""
        try:
            return self._sealer.open(wrapped, about)
        except StorageError:
            raise ConfigError(f"{self.name} is not the one that wrapped {about}") from None


class KmsKey:
    """A key in AWS KMS. See `ports.sealing.KeyHolder` for the contract."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id
        self.name = f"KMS key {key_id}"
        self._client = _kms()

    def wrap(self, key: bytes, about: str) -> bytes:
        """A data key, encrypted there."""
        answer = self._ask("encrypt", KeyId=self._key_id, Plaintext=key, EncryptionContext={"septum": about})
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """The data key. Raises ConfigError."""
        context = {"septum": about}
        answer = self._ask("decrypt", KeyId=self._key_id, CiphertextBlob=wrapped, EncryptionContext=context)
        return bytes(answer["Plaintext"])

    def _ask(self, what: str, **given: object) -> dict[str, Any]:
        errors = imported("botocore.exceptions", WHAT, EXTRA)
        try:
            answer: dict[str, Any] = getattr(self._client, what)(**given)
        except errors.ClientError as error:
            reason = error.response.get("Error", {}).get("Code", "refused")
            raise ConfigError(
                f"{self.name} did not {what}: {reason}", hint="aws kms describe-key --key-id KEY"
            ) from error
        except errors.BotoCoreError as error:
            raise ConfigError(f"{self.name} did not {what}: {error}", hint="aws sts get-caller-identity") from error
        return answer


def from_file(path: Path) -> MasterKey:
    """The key in a file that nobody else may read. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"the key file {path} is not there", hint=f"restore it; the very first one: {MAKE_KEY}")
    refuse_readable_by_others(path)
    try:
        text = path.read_text()[:MAX_KEY_TEXT]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key file {path} cannot be read: {error}", hint=f"ls -l {path}") from error
    return MasterKey(_key_of(text, f"the key file {path}"), f"file {path}")


def from_command(command: Sequence[str]) -> MasterKey:
    """The key that a program prints. Raises ConfigError, which quotes nothing of what it printed."""
    what = f"the key command {command[0]}"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=False)  # noqa: S603 - the operator's own
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"did not end within {COMMAND_S:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise ConfigError(f"{what}: {why}", hint="run it by hand, as the coordinator's user") from error
    if done.returncode != 0:
        raise ConfigError(f"{what} ended with {done.returncode}", hint="run it by hand, as the coordinator's user")
    return MasterKey(_key_of(done.stdout.decode(errors="replace")[:MAX_KEY_TEXT], what), f"command {command[0]}")


def _key_of(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:  # binascii.Error is one, and so is what is no ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{what} does not hold {KEY_BYTES} bytes in base64", hint=MAKE_KEY)
    return key


def _kms() -> Any:  # noqa: ANN401  a client without types
    boto3, errors = imported("boto3", WHAT, EXTRA), imported("botocore.exceptions", WHAT, EXTRA)
    try:
        return boto3.client("kms")
    except errors.BotoCoreError as error:
        raise ConfigError(f"AWS cannot be asked: {error}", hint="AWS_REGION, AWS_PROFILE") from error
