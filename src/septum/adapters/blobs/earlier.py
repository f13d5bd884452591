"""What becomes of files from before there was a key, or a key of their run? All are sealed before the store is used.

What lies under a name is always whole: a file is sealed beside it, and then takes its place. A mark says that all were;
it goes when files are written as they are again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from septum.adapters.blobs.writing import Digester, blocks_of
from septum.adapters.file_source import source_in
from septum.adapters.files import sync_folder
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import Sealing, is_sealed, open_sealed
from septum.errors import DigestError, NotFoundError, StorageError
from septum.protocol.sources import Source

log = logging.getLogger("septum.blobs")

SEALED = ".sealed-by-run"  # in the root; no valid area
_EARLIER_MARK = ".sealed"  # all under one key
PART = ".sealing"


def seal_earlier(root: Path, keys: Keys) -> None:
    """Seal every file of a directory that nobody uses, and that is not as new ones are; one that has rotted stays.

    Raises StorageError.
    """
    mark, part, sealed, rotten = root / SEALED, root / PART, 0, 0
    try:
        (root / _EARLIER_MARK).unlink(missing_ok=True)
        if not keys.common.seal_new:
            mark.unlink(missing_ok=True)
            return
        if mark.exists() or not root.exists():
            return
        for path in _blobs(root):
            done = _seal(path, part, keys)
            sealed, rotten = sealed + (done is True), rotten + (done is False)
        part.unlink(missing_ok=True)
        mark.touch(mode=0o600)
        sync_folder(root)
    except OSError as error:
        hint = f"df -h {root}; ls -ld {root}; what was sealed stays so, and the next start goes on"
        raise StorageError(f"could not seal the blobs in {root}: {error.strerror}", hint=hint) from error
    if sealed or rotten:
        log.info("blobs_sealed", extra={"new": sealed, "rotten": rotten})


def _seal(path: Path, part: Path, keys: Keys) -> bool | None:
    """Whether a file was sealed anew; None for one that need not be, and for what was shredded."""
    area = path.parts[-3]
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        key = keys.new(area)
        if key is None or keys.fits(area, source):
            return None
        sealing, digester = Sealing(target, key), Digester()
        for block in blocks_of(_plain(source, path, keys)):
            sealing.add(block)
            digester.add(block)
        if digester.digest != f"blake3:{path.name}":
            log.warning("blob_is_rotten", extra={"path": str(path), "digest": digester.digest})
            return False
        sealing.finish(digester.raw)
        os.fsync(target)
    except NotFoundError:
        return None
    except (DigestError, ValueError) as error:
        log.warning("blob_is_rotten", extra={"path": str(path), "error": str(error)})
        return False
    finally:
        os.close(source)
        os.close(target)
    part.rename(path)
    sync_folder(path.parent)
    return True


def _plain(descriptor: int, path: Path, keys: Keys) -> Source:
    """The plain bytes of a file, sealed or not."""
    if is_sealed(descriptor):
        return open_sealed(descriptor, keys.of(path.parts[-3], descriptor), bytes.fromhex(path.name), path).source
    return source_in(descriptor)


def _blobs(root: Path) -> Iterator[Path]:
    """All files that have names; those that begin with a dot are of uploads under way."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(Path(folder).relative_to(root).parts) == 2:
            yield from (Path(folder, name) for name in sorted(names))
