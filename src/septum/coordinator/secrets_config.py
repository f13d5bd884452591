"""What can be set about encryption at rest? `[secrets]` in coordinator.toml, parsed once, into a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.adapters.sealing.holders import KmsKey, from_command, from_file
from septum.adapters.sealing.ring import Ring, open_ring
from septum.adapters.sealing.segments import FileKey
from septum.coordinator.config_table import values_in
from septum.errors import ConfigError
from septum.ports.sealing import KeyHolder

ONE_OF = "key_file, key_command or kms_key"


@dataclass(frozen=True, slots=True)
class SecretsConfig:
    """Where the master key is; one of these. It must not lie in the data directory, whose copies would have both.

    key_file     a file with 32 bytes in base64, mode 0600; relative to coordinator.toml
    key_command  a program that prints them, and its arguments
    kms_key      a key of AWS KMS, by its id, ARN or alias; needs the extra `kms`
    blobs        whether models, payloads and packages are sealed, too, those that are there at the next start
    """

    key_file: str = ""
    key_command: tuple[str, ...] = ()
    kms_key: str = ""
    blobs: bool = True

    def __post_init__(self) -> None:
        if sum(map(bool, (self.key_file, self.key_command, self.kms_key))) != 1:
            raise ConfigError(f"secrets: exactly one of {ONE_OF} is needed")

    def holder(self, data_dir: Path) -> KeyHolder:
        """What holds the key. Raises ConfigError for one that cannot be used."""
        if self.kms_key:
            return KmsKey(self.kms_key)
        if self.key_command:
            return from_command(self.key_command)
        path = Path(self.key_file)
        if path.resolve().is_relative_to(data_dir.resolve()):
            raise ConfigError(
                f"the key file {path} lies in the data directory: whoever has a copy of that would have both",
                hint="mv it to a folder of its own, and set secrets.key_file",
            )
        return from_file(path)


def keys_of(data_dir: Path, secrets: SecretsConfig | None, *, make: bool = True) -> Ring | None:
    """The keys of a coordinator's data directory, if it has any. Raises ConfigError, naming the key that it wants."""
    return open_ring(data_dir, secrets.holder(data_dir) if secrets else None, make=make)


def blob_key(secrets: SecretsConfig | None, ring: Ring | None) -> FileKey | None:
    """What its blobs are under, if there is anything: sealed ones are opened also where new ones are not sealed."""
    return None if ring is None or secrets is None else FileKey(ring.blobs, secrets.blobs)


def read_secrets(table: object, folder: Path, where: str) -> SecretsConfig:
    """The settings in a table `[secrets]`. Raises ConfigError naming the key."""
    values = values_in(table, "secrets", SecretsConfig, folder, where, {})
    config = SecretsConfig(**values)  # type: ignore[arg-type] # `values_in` has compared the types
    if not all(config.key_command):
        raise ConfigError(f"{where}: secrets.key_command is a list of texts, not {[*config.key_command]!r}")
    return config
