"""Does a file that nobody needs give way to another, and never under somebody's eyes?"""

import mmap
import os
from contextlib import contextmanager

import pytest

from septum.adapters.leftovers import giving_way

MIB = 1024 * 1024


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"o" * (3 * MIB))
    return path


def test_it_shrinks_by_as_much_as_comes_and_is_gone_in_the_end(old):
    sizes = []
    with giving_way(old) as make_room:
        for size in (MIB, MIB // 2, 4 * MIB, 1):
            make_room(size)
            sizes.append(old.stat().st_size)
    assert sizes == [2 * MIB, 2 * MIB - MIB // 2, 0, 0]
    assert not old.exists()


def test_it_is_gone_also_when_the_writer_breaks_off(old):
    with pytest.raises(ZeroDivisionError), giving_way(old) as make_room:
        make_room(1 // 0)
    assert not old.exists()


@contextmanager
def read(path):
    with path.open("rb") as file:
        yield file.read


@contextmanager
def mapped(path):
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    with pages:
        yield lambda: pages[:]


@contextmanager
def linked(path):
    link = path.with_name("link")
    os.link(path, link)
    yield link.read_bytes


@pytest.mark.parametrize("held", [read, mapped, linked])
def test_a_file_that_somebody_has_is_removed_and_he_keeps_all_of_it(old, held):
    with held(old) as content, giving_way(old) as make_room:
        make_room(2 * MIB)
        assert not old.exists()
        assert content() == b"o" * (3 * MIB)


def test_what_a_symbolic_link_names_stays_as_it_is(old, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(old)
    with giving_way(link) as make_room:
        make_room(MIB)
    assert not link.is_symlink()
    assert old.stat().st_size == 3 * MIB


def test_without_such_a_file_nothing_happens(tmp_path):
    with giving_way(tmp_path / "none") as make_room:
        make_room(MIB)
    assert list(tmp_path.iterdir()) == []
