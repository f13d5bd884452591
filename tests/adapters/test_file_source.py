"""Does a file give its bytes anywhere, and leave the page cache when it is read for the last time?"""

import os
from pathlib import Path

import pytest

from septum.adapters.file_source import file_source

SIZE = 4 * 1024 * 1024
DATA = bytes(range(256)) * (SIZE // 256)


@pytest.fixture
def clean(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    file = os.open(path, os.O_RDWR)
    os.fsync(file)
    os.close(file)
    return path


def cached(path):
    """Whether the file's middle is in memory; skips where the file system cannot tell."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.preadv(file, [bytearray(4096)], SIZE // 2, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pytest.skip("this file system does not say what is in memory")
    finally:
        os.close(file)
    return True


@pytest.mark.parametrize("last", [False, True])
def test_what_is_read_for_the_last_time_leaves_the_page_cache_and_nothing_else_does(clean, last):
    if not cached(clean):
        pytest.skip("nothing of this file system is kept in memory")
    with file_source(clean, last=last) as source:
        buffer = bytearray(SIZE)
        source.read(0, memoryview(buffer))
        assert bytes(buffer) == DATA
        small = bytearray(5)
        source.read(SIZE - 5, memoryview(small))
        assert bytes(small) == DATA[-5:]
    gone = not cached(clean)
    if last and not gone and _in_memory_only(clean):
        pytest.skip("this file system is memory")
    assert gone == last


def _in_memory_only(path):
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    found = max((point for point in mounts if path.is_relative_to(point[0])), key=lambda point: len(point[0]))
    return found[1] in ("tmpfs", "ramfs")
