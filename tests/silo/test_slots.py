"""A small file that is replaced many times, whole or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import MessageError
from septum.silo.slots import Slots


def test_nothing_is_there_before_the_first(tmp_path):
    assert Slots(tmp_path / "s").load() is None


@given(saves=st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_the_newest_is_loaded_also_after_a_restart_and_when_it_is_shorter(tmp_path_factory, saves):
    path = tmp_path_factory.mktemp("slots") / "s"
    slots = Slots(path)
    for data in saves:
        slots.save(data)
        assert slots.load() == Slots(path).load() == data
        slots = Slots(path)  # every other save is after a restart


@given(cut=st.integers(0, 400), flip=st.booleans())
def test_a_save_that_was_cut_short_leaves_the_one_before(tmp_path_factory, cut, flip):
    path = tmp_path_factory.mktemp("slots") / "s"
    slots = Slots(path)
    for data in (b"first" * 20, b"second" * 40, b"third" * 60):
        slots.save(data)
    newest = path.with_name("s.1")
    whole = newest.read_bytes()
    at = cut % len(whole)
    newest.write_bytes(whole[:at] + (bytes([whole[at] ^ 1]) + whole[at + 1 :] if flip else b""))
    again = Slots(path)
    assert again.load() == b"second" * 40
    again.save(b"fourth")
    assert Slots(path).load() == b"fourth"


def test_slots_of_which_none_is_whole_are_an_error_that_names_them(tmp_path):
    (tmp_path / "s.0").write_bytes(b"?")
    with pytest.raises(MessageError, match=r"s\.0") as caught:
        Slots(tmp_path / "s").load()
    assert str(tmp_path / "s") in caught.value.hint
