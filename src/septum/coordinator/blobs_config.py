"""What can be set about models and payloads? `[blobs]` in coordinator.toml, parsed once, into a frozen value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from septum.adapters.addresses import by_tls_or_here
from septum.adapters.blobs.s3_bucket import S3Place
from septum.coordinator.config_table import values_in
from septum.errors import ConfigError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"([A-Za-z0-9._-]+/)*[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class BlobsConfig:
    """A bucket of S3, or of what speaks as S3 does, in which models are kept; the data directory is its cache.

    bucket      its name. Credentials are found as the AWS command line finds them, and are not set here
    prefix      what the names of all objects begin with, such as `septum/prod`: it belongs to this federation alone
    endpoint    where it is, if not at AWS: `https://HOST` or `https://HOST:PORT`; `http://` on this machine alone
    region      its region, if the environment does not say; what is not AWS mostly takes any, such as `us-east-1`
    path_style  whether the bucket's name is part of the path, not of the host's name, as many that are not AWS want it
    ca_file     a PEM file with the authority to trust, if it is no public one; relative to coordinator.toml
    presigned   whether silos fetch large models from the bucket itself, where their own rules name its host
                (`egress_hosts` in silo.toml); all others get them from the coordinator
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    ca_file: str = ""
    presigned: bool = False

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ConfigError(
                f"blobs.bucket {self.bucket!r} is no name of a bucket", hint="its name alone: septum-models"
            )
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(
                f"blobs.prefix {self.prefix!r}: letters, digits, '.', '_', '-', and '/' between them",
                hint="septum/prod",
            )
        if self.endpoint:
            check_endpoint(self.endpoint)

    @property
    def place(self) -> S3Place:
        """Where that is."""
        return S3Place(self.bucket, self.prefix, self.endpoint, self.region, self.path_style, self.ca_file)


def check_endpoint(url: str, *, presigned: bool = False) -> None:
    """Raise ConfigError unless models may travel there: by TLS, or within this machine.

    `presigned`: whether silos go there as well, which speak TLS alone.
    """
    if not by_tls_or_here(url) or (presigned and urlsplit(url).scheme != "https"):
        raise ConfigError(
            f"blobs.endpoint {url!r} does not begin with https://"
            + (", and silos are to fetch models there (blobs.presigned)" if presigned else ""),
            hint='endpoint = "https://s3.example.org"; it may come from the environment: AWS_ENDPOINT_URL',
        )


def read_blobs(table: object, folder: Path, where: str) -> BlobsConfig:
    """The settings in a table `[blobs]`. Raises ConfigError naming the key."""
    values = values_in(table, "blobs", BlobsConfig, folder, where, {"bucket": 'bucket = "septum-models"'})
    return BlobsConfig(**values)  # type: ignore[arg-type] # `values_in` has compared the types
