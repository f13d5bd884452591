"""The one way in which a package lies in a file: what the writer writes is read, and not a bit of anything else."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.packaging import stored

from septum.errors import AppError, SeptumError, TooLargeError
from septum.sdk import stored_zip

FILES = {"app/a.py": b"print(1)\n", "app/empty": b"", "app/sub/b.py": b"x = 2\n"}
GOOD = stored(FILES)
LOCAL, CENTRAL = 30, 46
FIRST = LOCAL + len("app/a.py")  # where the first member's bytes begin
DIRECTORY = GOOD.index(b"PK\x01\x02")


def read(data):
    return stored_zip.read(io.BytesIO(data), len(data))


def changed(at, form, value, data=GOOD):
    """The bytes with a number written over them, in the local header and at the same field of the directory."""
    found = bytearray(data)
    struct.pack_into(form, found, at, value)
    return bytes(found)


def zipped(entries, *, compression=zipfile.ZIP_STORED, **attributes):
    """What a ZIP program writes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, data in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr, info.create_system = compression, 0o100444 << 16, 3
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            out.writestr(info, data)
    return file.getvalue()


def test_what_was_written_is_read():
    members = read(GOOD)
    file = io.BytesIO(GOOD)
    assert {one.name: b"".join(stored_zip.content(file, one)) for one in members} == FILES


def test_a_zip_program_reads_it_and_finds_nothing_wrong():
    with zipfile.ZipFile(io.BytesIO(GOOD)) as found:
        assert found.testzip() is None
        assert {info.filename: found.read(info) for info in found.infolist()} == FILES
        assert {info.external_attr >> 16 for info in found.infolist()} == {0o100444}
        assert {info.date_time for info in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_file_that_a_zip_program_writes_in_the_same_way_is_the_same_file():
    assert zipped(FILES.items()) == GOOD


NAMES = [
    "../a", "a/../b", "/a", "a//b", "a/", "", ".", "..", "a/.", ".hidden", "a\\b", "C:a", "a\0b", "a\nb", "-a", "~a",
    "a/-rf", "caf\u00e9", "\u202egnp.py", "a" * 201, "/".join("a" * 17), "x" * 200 + "/" + "y" * 120,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=[f"{name[:10]!a}" for name in NAMES])
def test_a_name_that_leads_elsewhere_is_neither_written_nor_read(name):
    with pytest.raises(AppError, match="is no name for a file in a package"):
        stored({name: b""})
    raw = name.encode()
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0x21, 0, 0, 0, len(raw), 0)
    with pytest.raises(AppError, match="is no name for a file in a package"):
        read(local + raw)


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "A"), ("sub/a", "SUB/A"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A"), ("a/b/c", "a/B")]
)
def test_names_that_not_every_file_system_can_hold_side_by_side_are_refused(names):
    file = io.BytesIO()
    with pytest.raises(AppError, match=r"is in the package twice, or as a file and as a folder"):
        stored_zip.write(file, [(name, b"") for name in names])
    with pytest.warns() if names[0] == names[1] else io.StringIO():
        data = zipped([(name, b"") for name in names])
    with pytest.raises(AppError, match=r"is in the package twice, or as a file and as a folder"):
        read(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped([("bomb", bytes(2**24))], compression=zipfile.ZIP_DEFLATED), "'bomb' is not stored as packages store"),
        (zipped([("a", b"1")], compression=zipfile.ZIP_BZIP2), "is not stored as packages store"),
        (zipped([("a", b"1")], external_attr=0o120777 << 16), "directory"),  # a link
        (zipped([("a", b"1")], external_attr=0o020666 << 16), "directory"),  # a device
        (zipped([("a", b"1")], external_attr=0o104755 << 16), "directory"),  # set-uid
        (zipped([("a", b"1")], external_attr=0x10), "directory"),
        (zipped([("a", b"1")], comment=b"!"), "directory"),
        (zipped([("a", b"1")], extra=b"\x99\x99\x04\x00abcd"), "is not stored as packages store"),
        (zipped([("a", b"1")], date_time=(2024, 2, 3, 4, 5, 6)), "is not stored as packages store"),
        (zipped([("a/", b"")]), "is no name"),
        (zipped([]), "does not begin as one"),
        (b"", "does not begin as one"),
        (b"#!/bin/sh\n" + GOOD, "does not begin as one"),
        (changed(6, "<H", 1), "is not stored as packages store"),  # encrypted
        (changed(6, "<H", 8), "is not stored as packages store"),  # sizes behind the bytes
        (changed(6, "<H", 0x800), "is not stored as packages store"),  # another way to say UTF-8
        (GOOD[:FIRST] + b"P" + GOOD[FIRST + 1 :], "'app/a.py' is damaged: its checksum is"),
        (changed(14, "<I", 7), "'app/a.py' is damaged"),
        (changed(18, "<I", 2**32 - 1, changed(22, "<I", 2**32 - 1)), "said to have 4294967295 bytes"),
        (changed(18, "<I", 3), "is not stored as packages store"),  # the two sizes differ
        (changed(18, "<I", 3, changed(22, "<I", 3)), "is damaged"),
        (changed(18, "<I", 90, changed(22, "<I", 90)), "is damaged"),
        (GOOD[:DIRECTORY] + b"gap" + GOOD[DIRECTORY:], "directory, at byte"),
        (GOOD[:DIRECTORY] + GOOD[DIRECTORY + CENTRAL + 8 :], "directory, at byte"),
        (GOOD + b"x", "directory, at byte"),
        (GOOD + GOOD, "directory, at byte"),
        (changed(DIRECTORY + 42, "<I", 5), "directory, at byte"),  # a member that begins within another
        (changed(len(GOOD) - 2, "<H", 1) + b"!", "directory, at byte"),  # a comment
    ],
)  # fmt: skip
def test_what_the_writer_would_not_have_written_is_refused(data, says):
    with pytest.raises(AppError) as caught:
        read(data)
    assert says in caught.value.message


def test_no_bit_may_be_another():
    for bit in range(8 * len(GOOD)):
        data = bytearray(GOOD)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SeptumError):
            read(bytes(data))


def test_no_byte_may_be_missing_at_the_end_and_none_be_added():
    for size in range(len(GOOD)):
        with pytest.raises(SeptumError):
            read(GOOD[:size])


@given(at=st.integers(0, len(GOOD)), more=st.binary(min_size=1, max_size=8))
def test_nothing_can_be_put_in_anywhere(at, more):
    with pytest.raises(SeptumError):
        read(GOOD[:at] + more + GOOD[at:])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with pytest.raises(SeptumError):
        read(data)


@given(st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e.py"]), st.binary(max_size=50), min_size=1))
def test_whatever_is_written_is_read_back(members):
    data = stored(members)
    file = io.BytesIO(data)
    assert {one.name: b"".join(stored_zip.content(file, one)) for one in read(data)} == members


def test_a_million_files_are_refused_at_the_limit_without_being_counted():
    class Endless(io.RawIOBase):
        """A file of a million empty members, which keeps none of them; it knows how far it was read."""

        at = 0

        def header(self, number):
            name = f"{number:07}".encode()
            return struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0x21, 0, 0, 0, 7, 0) + name

        def read(self, size=-1):
            found = b"".join(self.header(number) for number in range(self.at // 37, (self.at + size) // 37 + 1))
            found = found[self.at % 37 :][:size]
            self.at += len(found)
            return found

        def seek(self, at):
            self.at = at
            return at

        def tell(self):
            return self.at

    file = Endless()
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="a package of more than 4000 files"):
        stored_zip.read(file, 37 * 10**6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.at <= 37 * 4_002
    assert peak < 4 * 2**20


def test_more_files_or_bytes_than_the_limits_are_not_written(monkeypatch):
    with pytest.raises(TooLargeError, match="more than 4000 files"):
        stored({f"f{number}": b"" for number in range(4001)})
    monkeypatch.setattr(stored_zip, "MAX_BYTES", 100)
    with pytest.raises(TooLargeError, match="at most 100 are possible"):
        stored({"a": bytes(101)})
    with pytest.raises(TooLargeError, match="at most 100 are possible"):
        read(GOOD)


def test_a_file_that_is_cut_while_it_is_read_is_an_error():
    member = read(GOOD)[0]
    with pytest.raises(AppError, match=r"the package is cut: 9 bytes of app/a\.py are missing"):
        list(stored_zip.content(io.BytesIO(GOOD[:FIRST]), member))
