"""An app's package: the same folder gives the same bytes, and what is wrong with one is found before it is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.packaging import app_folder, built, forged, members_of, pinned, stored, write_wheel

from septum.errors import AppError, ConfigError, SeptumError, StorageError, TooLargeError
from septum.sdk import package_file
from septum.sdk.package import digest_of
from septum.sdk.package_file import build, read_package, remove, unpack
from septum.sdk.requirements import wheel_at

DESCRIPTION = "septum-package.json"
WHEELS = {"tiny": {"tiny.py": "x = 1\n"}, "other": {"other.py": "y = 2\n"}}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A package with two wheels. Not to be changed."""
    folder = tmp_path_factory.mktemp("good")
    return built(app_folder(folder / "app", wheels=WHEELS), folder / "dist")


def raw(path, members):
    path.write_bytes(stored(members))
    return path


def refused(path):
    with pytest.raises(SeptumError) as caught:
        read_package(path)
    assert path.name in caught.value.message
    return caught.value.message


# --- the same bytes -------------------------------------------------------------------------------------------------


def test_a_package_says_what_it_is(good, tmp_path):
    app = app_folder(tmp_path / "app", wheels=WHEELS)
    assert good.path.name == "small-1.0.0.septum"
    assert (good.name, good.version, good.tree) == ("small", "1.0.0", digest_of(app))
    assert good.files == ("app.py", "requirements.lock", "septum.toml")
    assert good.file("app.py") == (app / "app.py").read_bytes()
    assert [wheel.name for wheel in good.wheels] == ["other", "tiny"]
    assert [field.name for field in good.fields] == ["rounds", "lr"]
    assert read_package(good.path) == good
    said = json.loads(members_of(good.path)[DESCRIPTION])
    assert said["hyper"]["properties"]["rounds"]["default"] == 2
    assert said["columns"]["y"]["role"] == "target"


def test_a_zip_program_reads_it(good):
    with zipfile.ZipFile(good.path) as found:
        assert found.testzip() is None
        assert {info.filename: found.read(info) for info in found.infolist()} == members_of(good.path)


BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from tests.sdk.packaging import built
print(built(Path(sys.argv[1]), Path(sys.argv[2])).digest)
"""


@pytest.mark.processes
def test_the_same_folder_gives_the_same_bytes_wherever_and_whenever_it_is_built(good, tmp_path):
    first = app_folder(tmp_path / "first", wheels=WHEELS)
    other = tmp_path / "somewhere" / "else"
    for path in sorted((path for path in first.rglob("*") if path.is_file()), reverse=True):
        target = other / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        os.utime(target, (10**9, 10**9))
        target.chmod(0o777)
    (other / "__pycache__").mkdir()
    (other / "__pycache__" / "app.pyc").write_bytes(b"stale")
    (other / "data").mkdir()
    (other / ".git").mkdir()
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(other), str(tmp_path / "dist"), "077"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == good.digest
    assert (tmp_path / "dist" / good.path.name).read_bytes() == good.path.read_bytes()


def test_another_byte_anywhere_gives_another_digest(good, tmp_path):
    app = app_folder(tmp_path / "app", wheels=WHEELS)
    (app / "app.py").write_text((app / "app.py").read_text() + "\n")
    assert built(app, tmp_path / "dist").digest != good.digest


def test_a_failed_build_leaves_the_package_that_was_there(good, tmp_path, monkeypatch):
    app = app_folder(tmp_path / "app", wheels=WHEELS)
    package = built(app, tmp_path / "dist")
    monkeypatch.setattr(package_file, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(TooLargeError):
        built(app, tmp_path / "dist")
    monkeypatch.undo()
    (app / "wheels" / "tiny-1.0-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(AppError, match=r"tiny-1\.0-py3-none-any\.whl: the lock has tiny==1\.0 with other hashes"):
        built(app, tmp_path / "dist")
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [package.path.name]
    assert read_package(package.path).digest == good.digest


def test_what_cannot_be_a_package_is_not_built(tmp_path):
    app = app_folder(tmp_path / "app")
    with pytest.raises(AppError, match=r"'\.\./small' is no name for a package"):
        build(app, "../small", (), tmp_path / "dist")
    (app / "a b~.txt").write_text("")
    with pytest.raises(AppError, match="is no name for a file in a package"):
        build(app, "small", (), tmp_path / "dist")
    (app / "a b~.txt").unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        build(app, "small", (), tmp_path / "file")
    (app / "septum.toml").write_text((app / "septum.toml").read_text() + "[presets.x]\nrounds = 2020-01-01\n")
    with pytest.raises(ConfigError, match="a preset holds what JSON cannot"):
        build(app, "small", (), tmp_path / "dist")
    assert not (tmp_path / "dist").exists() or list((tmp_path / "dist").iterdir()) == []


# --- bad packages ---------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bit_of_a_package_may_be_another(good, tmp_path_factory, data):
    whole = bytearray(good.path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.septum"
    path.write_bytes(whole)
    refused(path)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_package_that_is_cut_or_longer_is_refused(good, tmp_path_factory, data):
    whole = good.path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    more = data.draw(st.binary(max_size=5))
    path = tmp_path_factory.getbasetemp() / "longer.septum"
    path.write_bytes(whole[:at] + more + (whole[at:] if more else b""))
    if path.read_bytes() != whole:
        refused(path)


def test_where_the_parts_of_a_package_meet_it_cannot_be_cut(good, tmp_path):
    whole = good.path.read_bytes()
    marks = [at for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") for at in range(len(whole))
             if whole.startswith(mark, at)]  # fmt: skip
    assert len(marks) >= 13
    for at in marks:
        (tmp_path / "cut.septum").write_bytes(whole[:at])
        refused(tmp_path / "cut.septum")


CHANGES = {
    "name": "other", "version": "2.0.0", "tree": "sha256:" + "0" * 64, "leaves": ["rows"], "columns": {},
    "presets": {"x": {}}, "wheels": [], "preinstalled": ["torch"], "hyper": {"type": "object", "properties": {}},
}  # fmt: skip


@pytest.mark.parametrize("key", [key for key in CHANGES if key != "name"])
def test_a_description_that_says_something_else_is_refused(good, tmp_path, key):
    members = members_of(good.path)
    said = {**json.loads(members[DESCRIPTION]), key: CHANGES[key]}
    data = json.dumps(said, indent=1, ensure_ascii=False).encode()
    message = refused(raw(tmp_path / "bad.septum", {**members, DESCRIPTION: data}))
    assert "does not say what is in the package" in message or "hyper" in message or "small" in message


def test_the_same_description_in_other_bytes_is_refused(good, tmp_path):
    members = members_of(good.path)
    for data in (members[DESCRIPTION] + b"\n", json.dumps(json.loads(members[DESCRIPTION])).encode()):
        assert "does not say what is in the package" in refused(
            raw(tmp_path / "bad.septum", {**members, DESCRIPTION: data})
        )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is not of format 1"),
        (b'{"format": 1}', "is not of format 1"),
        (b" " * (package_file.MAX_MANIFEST_BYTES + 1), "bytes, at most 1048576"),
    ],
)
def test_a_description_that_is_none_is_refused(good, tmp_path, data, says):
    assert says in refused(raw(tmp_path / "bad.septum", {**members_of(good.path), DESCRIPTION: data}))


def test_a_package_of_another_format_is_refused_with_a_reason(good, tmp_path):
    members = members_of(good.path)
    data = json.dumps({**json.loads(members[DESCRIPTION]), "format": 2}).encode()
    with pytest.raises(AppError, match="not of format 1") as caught:
        read_package(raw(tmp_path / "bad.septum", {**members, DESCRIPTION: data}))
    assert caught.value.hint == "the package was built by another septum"


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a b", "x" * 101, 7, None])
def test_a_package_whose_app_has_no_proper_name_is_refused(good, tmp_path, name):
    members = members_of(good.path)
    data = json.dumps({**json.loads(members[DESCRIPTION]), "name": name}, indent=1).encode()
    assert "is no name for a package" in refused(raw(tmp_path / "bad.septum", {**members, DESCRIPTION: data}))


def changed(good, **changes):
    """The members with some of them replaced, added, or (None) taken away, in the order of packages."""
    members = {**members_of(good.path), **changes}
    found = {name: data for name, data in members.items() if data is not None}
    wheels = sorted(name for name in found if name.startswith("wheels/"))
    rest = sorted(name for name in found if name not in (DESCRIPTION, *wheels))
    return {name: found[name] for name in (DESCRIPTION, *rest, *wheels)}


TINY, LOCK, MANIFEST = "wheels/tiny-1.0-py3-none-any.whl", "app/requirements.lock", "app/septum.toml"


def test_a_wheel_that_was_swapped_is_refused(good, tmp_path):
    members = changed(good, **{TINY: b"evil"})
    assert "the lock has tiny==1.0 with other hashes" in refused(raw(tmp_path / "raw.septum", members))
    assert "the lock has tiny==1.0 with other hashes" in refused(forged(tmp_path / "forged.septum", members))


def test_a_wheel_that_is_not_in_the_lock_is_refused(good, tmp_path):
    members = changed(good, **{"wheels/evil-1.0-py3-none-any.whl": b"evil"})
    assert "evil-1.0-py3-none-any.whl: the lock does not name it" in refused(forged(tmp_path / "f.septum", members))


def test_a_pin_without_its_wheel_is_refused(good, tmp_path):
    members = changed(good, **{TINY: None})
    assert "requirements.lock pins tiny==1.0, and wheels/ has no such wheel" in refused(
        forged(tmp_path / "f.septum", members)
    )


def test_a_wheel_under_the_name_of_another_is_refused(good, tmp_path):
    members = members_of(good.path)
    renamed = changed(good, **{TINY: None, "wheels/zz-1.0-py3-none-any.whl": members[TINY]})
    assert "zz-1.0-py3-none-any.whl: the lock does not name it" in refused(forged(tmp_path / "f.septum", renamed))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        (LOCK, b"tiny\n", "line 1: 'tiny' is no pin with a hash"),
        (LOCK, b"numpy==1.0 --hash=sha256:" + b"a" * 64, "pins numpy, which the silo itself provides"),
        (MANIFEST, None, "app is None"),
        (MANIFEST, b"\xff", "not TOML"),
        (MANIFEST, b"x =", "not TOML"),
        (MANIFEST, b"x = " + b"[" * 100_000, "cannot be read"),
        (MANIFEST, b"x = " + b"9" * 10_000, "cannot be read"),
        (LOCK, None, "there is no requirements.lock"),
        ("wheels/tiny-1.0.tar.gz", b"", "is no wheel"),
        ("wheels/sub/tiny-2.0-py3-none-any.whl", b"", "wheels/ holds wheels, and no folders"),
        ("evil.txt", b"", "and nothing else"),
        ("scripts/postinst", b"", "and nothing else"),
        ("app/__pycache__/app.cpython-311.pyc", b"", "is no part of an app"),
        ("app/sub/x.pyc", b"", "is no part of an app"),
        ("app/data/rows.csv", b"", "is no part of an app"),
        ("app/dist/x.py", b"", "is no part of an app"),
    ],
)
def test_a_package_with_a_bad_part_is_refused_and_the_part_is_named(good, tmp_path, name, data, says):
    assert says in refused(raw(tmp_path / "bad.septum", changed(good, **{name: data})))


def test_files_in_another_order_are_refused(good, tmp_path):
    members = members_of(good.path)
    assert "and nothing else" in refused(raw(tmp_path / "bad.septum", dict(reversed(members.items()))))


HIDDEN = "# {}: utf-7\n# harmless +AAo-import os\n"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (HIDDEN.format("coding").encode(), "app/evil.py declares the encoding utf-7"),
        (b"# vim: set fileencoding=latin-1 :\n", "declares the encoding iso-8859-1"),
        (b"# coding: nonsense\n", "is not UTF-8"),
        (b"x = '\xff'\n", "is not UTF-8"),
    ],
)
def test_a_source_that_python_reads_otherwise_than_people_do_is_refused(good, tmp_path, source, says):
    """In UTF-7 a comment can hold lines of code: who reads the package would not see them."""
    members = changed(good, **{"app/evil.py": source})
    assert says in refused(forged(tmp_path / "bad.septum", members))
    app = app_folder(tmp_path / "app")
    (app / "evil.py").write_bytes(source)
    with pytest.raises(AppError, match="UTF-8"):
        build(app, "small", (), tmp_path / "dist")


def test_more_files_than_a_steward_can_read_are_refused(good, tmp_path):
    members = changed(good, **{f"app/f{number}.py": b"" for number in range(2_001)})
    assert "an app of more than 2000 files" in refused(raw(tmp_path / "bad.septum", members))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(AppError, match=r"none\.septum cannot be read: No such file") as caught:
        read_package(tmp_path / "none.septum")
    assert caught.value.hint == "septum app build APP_DIR"


# --- unpacking ------------------------------------------------------------------------------------------------------


def test_what_is_unpacked_is_what_was_built_and_nobody_may_write_there(good, tmp_path):
    target = tmp_path / "silo" / "open"
    unpack(good, target)
    assert digest_of(target / "app") == good.tree
    assert {wheel_at(path) for path in (target / "wheels").iterdir()} == set(good.wheels)
    modes = {path.relative_to(target).as_posix(): path.stat().st_mode & 0o777 for path in [target, *target.rglob("*")]}
    assert {mode for name, mode in modes.items() if (target / name).is_dir()} == {0o500}
    assert {mode for name, mode in modes.items() if (target / name).is_file()} == {0o400}
    assert [path.name for path in (tmp_path / "silo").iterdir()] == ["open"]
    remove(target)
    assert list((tmp_path / "silo").iterdir()) == []
    remove(target)


@pytest.mark.parametrize("what", ["other bytes", "cut", "gone"])
def test_a_package_that_changes_after_it_was_looked_at_is_not_unpacked(good, tmp_path, what):
    path = tmp_path / "small.septum"
    path.write_bytes(good.path.read_bytes())
    package = replace(good, path=path)
    if what == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        at = data.index(b"import os")
        path.write_bytes(data[:at] + b"import sh" + data[at + 9 :] if what == "other bytes" else data[:at])
    with pytest.raises((SeptumError, OSError)):
        unpack(package, tmp_path / "silo" / "open")
    assert list((tmp_path / "silo").iterdir()) == []


def test_nothing_is_deleted_through_a_link(good, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").write_text("")
    unpack(good, tmp_path / "open")
    (tmp_path / "open").chmod(0o700)
    (tmp_path / "open" / "link").symlink_to(outside)
    remove(tmp_path / "open")
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o750


def test_a_version_with_a_wheel_for_each_of_two_systems_is_one_dependency(tmp_path):
    app = app_folder(tmp_path / "app", wheels={})
    made = [
        wheel_at(write_wheel(app / "wheels", "tiny", "1.0", {"t.py": ""}, tag))
        for tag in ("py3-none-any", "cp311-abi3-any")
    ]
    (app / "requirements.lock").write_text("".join(map(pinned, made)))
    assert {wheel.file for wheel in built(app, tmp_path / "dist").wheels} == {wheel.file for wheel in made}


class Counted:
    """An open file that counts what is read of it."""

    def __init__(self, file):
        self.file, self.bytes_read = file, 0
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, size):
        data = self.file.read(size)
        self.bytes_read += len(data)
        return data


def test_a_package_is_read_once_to_verify_all_of_it(good):
    with good.path.open("rb") as file:
        counted = Counted(file)
        assert package_file._read(good.path, counted, good.path.stat().st_size) == good
        assert counted.bytes_read == good.path.stat().st_size
    assert good.wheels
    assert good.digest == f"sha256:{hashlib.sha256(good.path.read_bytes()).hexdigest()}"
