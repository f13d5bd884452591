"""What can be set about the database? `[store]` in coordinator.toml, parsed once, into a frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.adapters.store.postgres_address import PostgresAddress, read_address
from septum.coordinator.config_table import values_in


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """A PostgreSQL database, in place of the SQLite file in the data directory.

    url            postgresql://USER@HOST:PORT/DATABASE, or postgresql:///DATABASE?host=/FOLDER for a Unix socket;
                   never with a password. Other machines are spoken to by TLS, and their certificate is checked
    password_file  a file with the password, mode 0600; relative to coordinator.toml. Without one: the environment
                   variable SEPTUM_STORE_PASSWORD
    ca_file        a PEM file with the certificate to trust, if the server's is no public one; relative as well
    standby        whether to wait, and listen nowhere, while another coordinator has the database, and to go on in its
                   place once it is gone; without it that is an error
    """

    url: str
    password_file: str = ""
    ca_file: str = ""
    standby: bool = False

    def __post_init__(self) -> None:
        read_address(self.url)

    def address(self) -> PostgresAddress:
        """Where the database is, with the password. Raises ConfigError when that cannot be read."""
        return read_address(self.url, self.password_file, self.ca_file)


def read_store(table: object, folder: Path, where: str) -> StoreConfig:
    """The settings in a table `[store]`. Raises ConfigError naming the key."""
    needed = {"url": 'url = "postgresql://septum@db.example.org/septum"'}
    values = values_in(table, "store", StoreConfig, folder, where, needed)
    return StoreConfig(**values)  # type: ignore[arg-type] # `values_in` has compared the types
