"""Whatever changes below a folder changes its digest, and nothing else does."""

import os

import pytest

from septum.silo.tree import tree_digest


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "site"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "one.py").write_bytes(b"x = 1\n")
    (made / "a" / "two.py").write_bytes(b"")
    (made / "c.py").write_bytes(os.urandom(3_000_000))
    return made


CHANGES = {
    "a byte": lambda folder: (folder / "a" / "one.py").write_bytes(b"x = 2\n"),
    "a late byte": lambda folder: os.truncate(folder / "c.py", 2_999_999),
    "another name": lambda folder: (folder / "c.py").rename(folder / "d.py"),
    "another place": lambda folder: (folder / "a" / "one.py").rename(folder / "one.py"),
    "bytes that move to the next file": lambda folder: (
        (folder / "a" / "one.py").write_bytes(b""),
        (folder / "a" / "two.py").write_bytes(b"x = 1\n"),
    ),
    "one more": lambda folder: (folder / "a" / "__init__.py").write_bytes(b""),
    "compiled": lambda folder: ((folder / "__pycache__").mkdir(), (folder / "__pycache__" / "c.pyc").write_bytes(b"")),
    "one less": lambda folder: (folder / "a" / "two.py").unlink(),
    "a folder less": lambda folder: (folder / "a" / "b").rmdir(),
    "a file for a folder": lambda folder: ((folder / "a" / "b").rmdir(), (folder / "a" / "b").write_bytes(b"")),
    "a link to the same": lambda folder: (
        (folder / "c.py").rename(folder.parent / "c.py"),
        (folder / "c.py").symlink_to(folder.parent / "c.py"),
    ),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(folder, change):
    before = tree_digest(folder)
    CHANGES[change](folder)
    assert tree_digest(folder) != before


def test_where_a_link_leads_is_seen_and_it_is_not_followed(folder):
    (folder / "link").symlink_to("/proc")
    before = tree_digest(folder)
    (folder / "link").unlink()
    (folder / "link").symlink_to("/dev")
    assert tree_digest(folder) != before


def test_times_and_places_play_no_part(folder, tmp_path):
    before = tree_digest(folder)
    os.utime(folder / "c.py", (1, 1))
    assert tree_digest(folder.rename(tmp_path / "other")) == before
