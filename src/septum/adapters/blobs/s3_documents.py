"""How does a folder with a few small files follow to another machine? Each file is an object, too, under its name."""

from __future__ import annotations

from pathlib import Path

from septum.adapters.blobs.names import AREA
from septum.adapters.blobs.s3_bucket import Bucket
from septum.adapters.files import replace_file


class S3Documents:
    """The files of one folder. Their names are the program's own, and none of them is ever removed."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder = folder
        self._bucket = bucket

    def level(self) -> None:
        """Have here what is there, and there what is only here."""
        keys = [key.rpartition("/")[2] for key, _ in self._bucket.sizes(f"{self._folder.name}/")]
        there = {name for name in keys if AREA.fullmatch(name)}  # none that leads out of the folder
        here = {path.name for path in self._folder.glob("[!.]*")}
        for name in sorted(there):
            document = self._bucket.get(self._key(name))
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if name not in here or (self._folder / name).read_bytes() != document:
                replace_file(self._folder / name, document, durable=True)
        for name in sorted(here - there):
            self.keep(name, (self._folder / name).read_bytes())

    def keep(self, name: str, document: bytes) -> None:
        """Store one there, which is about to be written here. Raises S3AwayError."""
        self._bucket.put(self._key(name), document)

    def _key(self, name: str) -> str:
        return f"{self._folder.name}/{name}"
