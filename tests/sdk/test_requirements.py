"""A lock pins wheels by hash, and nothing else; a requirement of the silo's own is a name with versions."""

from __future__ import annotations

import pytest
from tests.sdk.packaging import pinned, write_wheel

from septum.errors import AppError, ConfigError
from septum.sdk import requirements
from septum.sdk.requirements import check_requirement, check_wheels, lock_in, wheel_at, wheel_named

A, B = "a" * 64, "b" * 64


def locked(text):
    return lock_in({"lock": text.encode()}, "lock")


def test_a_lock_is_read_as_pip_reads_it():
    text = f"# made by hand\n\nScikit_Learn==1.7.0 --hash=sha256:{A} \\\n    --hash=sha256:{B}  # two systems\r\n"
    assert locked(text) == {("scikit-learn", "1.7.0", A), ("scikit-learn", "1.7.0", B)}


def test_an_app_without_a_lock_has_no_pins():
    assert lock_in({}, "") == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        "scipy",
        "scipy==1.0",
        f"scipy>=1.0 --hash=sha256:{A}",
        f"scipy==1.0 --hash=md5:{A}",
        f"scipy==1.0 --hash=sha256:{A[:-1]}",
        f"scipy==1.0 --hash=sha256:{A.upper()}",
        f"scipy==1.0 --hash=sha256:{A} ; python_version > '3'",
        f"scipy==* --hash=sha256:{A}",
        "--index-url http://example.org",
        "-r other.txt",
        "-e .",
        f"git+ssh://git@example.org/x --hash=sha256:{A}",
        f"../scipy==1.0 --hash=sha256:{A}",
        "\u0430==1 --hash=sha256:" + A,
    ],
)
def test_a_line_that_is_no_pin_with_a_hash_is_named(line):
    with pytest.raises(ConfigError, match=r"lock, line 2: .* is no pin with a hash") as caught:
        locked(f"# first\n{line}\n")
    assert caught.value.hint == "septum app lock APP_DIR"


@pytest.mark.parametrize("name", ["numpy", "NumPy", "septum", "pip", "setuptools"])
def test_what_the_silo_provides_cannot_be_locked(name):
    with pytest.raises(ConfigError, match=f"pins {name.lower()}, which the silo itself provides"):
        locked(f"{name}==1.0 --hash=sha256:{A}\n")


def test_a_lock_that_is_not_there_or_too_long_is_an_error(monkeypatch):
    with pytest.raises(ConfigError, match="there is no lock"):
        lock_in({}, "lock")
    monkeypatch.setattr(requirements, "MAX_LOCK_BYTES", 10)
    with pytest.raises(ConfigError, match="has 11 bytes, at most 10"):
        locked("#" * 11)


@pytest.fixture
def wheel(tmp_path):
    return wheel_at(write_wheel(tmp_path / "wheels", "Tiny_one", "1.0", {"tiny.py": "x = 1\n"}))


def test_wheels_that_are_locked_are_found(tmp_path, wheel):
    assert (wheel.name, wheel.version, wheel.file) == ("tiny-one", "1.0", "Tiny_one-1.0-py3-none-any.whl")
    assert check_wheels(tmp_path, "lock", {"lock": pinned(wheel).encode()}) == (wheel,)


def test_a_wheel_that_the_lock_does_not_name_is_refused(tmp_path, wheel):
    with pytest.raises(AppError, match=r"wheels/Tiny_one-1\.0-py3-none-any\.whl: the lock does not name it"):
        check_wheels(tmp_path, "lock", {"lock": b""})
    with pytest.raises(AppError, match=r"the lock does not name it"):
        check_wheels(tmp_path, "", {})
    other = pinned(wheel).replace(wheel.sha256, A)
    with pytest.raises(AppError, match=r"the lock has tiny-one==1\.0 with other hashes"):
        check_wheels(tmp_path, "lock", {"lock": other.encode()})


def test_a_pin_without_its_wheel_is_refused(tmp_path, wheel):
    text = pinned(wheel) + f"scipy==1.0 --hash=sha256:{A}\n"
    with pytest.raises(AppError, match=r"lock pins scipy==1\.0, and wheels/ has no such wheel"):
        check_wheels(tmp_path, "lock", {"lock": text.encode()})


def test_what_is_no_wheel_is_refused(tmp_path, wheel):
    folder = tmp_path / "wheels"
    for name in ("scipy-1.0.tar.gz", "scipy.whl", ".DS_Store"):
        (folder / name).write_bytes(b"")
        with pytest.raises(AppError, match="is no wheel"):
            check_wheels(tmp_path, "lock", {"lock": pinned(wheel).encode()})
        (folder / name).unlink()
    (folder / "other-1.0-py3-none-any.whl").symlink_to(folder / wheel.file)
    with pytest.raises(AppError, match="is no wheel"):
        wheel_at(folder / "other-1.0-py3-none-any.whl")
    with pytest.raises(AppError, match="is no wheel"):
        wheel_named("../x-1.0-py3-none-any.whl", A, 1)


@pytest.mark.parametrize("text", ["torch", "torch>=2.2", "torch>=2.2,<3", "scikit-learn==1.7.0", "a!=1"])
def test_a_requirement_of_the_silos_own_is_a_name_with_versions(text):
    check_requirement("here", text)


@pytest.mark.parametrize("text", ["", "torch >= 2", "torch>=", "torch[cuda]", "torch; x", "--pre", "torch~=2", 3, None])
def test_any_other_requirement_is_refused(text):
    with pytest.raises(ConfigError, match="here: preinstalled has"):
        check_requirement("here", text)
