"""What a wheel would write, found out before it is unpacked."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from tests.sdk.packages import info, make_wheel, write_zip

from septum.errors import AppError, TooLargeError
from septum.sdk import wheel_content
from septum.sdk.wheel_content import check_content


def test_a_plain_wheel_is_measured(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "tiny", "1.0")
    with zipfile.ZipFile(path) as wheel:
        assert check_content(path) == sum(len(wheel.read(name)) for name in wheel.namelist())


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil", "tiny/../../evil.py", "tiny\\evil.py", "tiny/ev\til.py", "tiny/\u202eyp.live"]
)
def test_a_wheel_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = make_wheel(tmp_path, "tiny", "1.0", **{name: "evil"})
    with pytest.raises(AppError, match=r"tiny-1.0.*would lie elsewhere"):
        check_content(path)


@pytest.mark.parametrize("name", ["septum/secagg.py", "numpy/__init__.py", "septum"])
def test_a_wheel_that_brings_what_the_silo_provides_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AppError, match="which the silo itself provides"):
        check_content(make_wheel(tmp_path, "tiny", "1.0", **{name: ""}))


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO | 0o666])
def test_a_link_or_device_in_a_wheel_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_zip(tmp_path / "tiny-1.0-py3-none-any.whl", [(info("tiny.py", mode=mode), b"/etc/passwd")])
    with pytest.raises(AppError, match="neither a file nor a folder"):
        check_content(path)


def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = info("tiny.py", method=zipfile.ZIP_DEFLATED)
    path = write_zip(tmp_path / "tiny-1.0-py3-none-any.whl", [(bomb, bytes(20_000_000))])
    assert path.stat().st_size < 100_000
    assert check_content(path) == 20_000_000
    monkeypatch.setattr(wheel_content, "MAX_BYTES", 19_999_999)
    with pytest.raises(TooLargeError, match="would become 20000000"):
        check_content(path)


def test_a_list_that_says_too_little_gets_no_more_bytes_than_it_says(tmp_path: Path) -> None:
    """What the limit rests on: zipfile gives what the list says, or raises."""
    bomb = info("tiny.py", method=zipfile.ZIP_DEFLATED)
    path = write_zip(tmp_path / "tiny-1.0-py3-none-any.whl", [(bomb, bytes(1_000_000))])
    data = path.read_bytes()
    path.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert check_content(path) == 10
    with zipfile.ZipFile(path) as wheel, wheel.open("tiny.py") as file:
        with pytest.raises(zipfile.BadZipFile):
            file.read()
        assert file.tell() <= 10


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_content, "MAX_FILES", 3)
    with pytest.raises(TooLargeError, match="holds 4 files"):
        check_content(make_wheel(tmp_path, "tiny", "1.0"))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"an sdist"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    path.write_bytes(data)
    with pytest.raises(AppError, match="is no wheel"):
        check_content(path)
