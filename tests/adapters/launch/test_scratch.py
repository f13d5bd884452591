"""Is what an app wrote measured and removed, whatever its names?"""

from __future__ import annotations

import os
from pathlib import Path

from septum.adapters.launch import scratch
from septum.adapters.launch.scratch import excess, wipe


def test_a_folder_within_its_limit_has_no_excess(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(1_000_000))
    assert excess(tmp_path, 2_000_000) == ""
    assert excess(tmp_path, 900_000) == "its files have more than 900000 bytes"
    assert excess(tmp_path / "gone", 1) == ""


def test_a_file_counts_by_the_space_that_it_takes(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10**12)
    assert excess(tmp_path, 1_000_000) == ""


def test_links_are_counted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(5_000_000))
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "large")
    (inside / "round").symlink_to(inside)
    assert excess(inside, 1_000_000) == ""


def test_a_folder_of_too_many_files_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scratch, "MAX_ENTRIES", 3)
    for name in "abcd":
        (tmp_path / name).touch()
    assert excess(tmp_path, 10**9) == "it has more than 3 files"


def test_a_folder_is_removed_and_nothing_that_its_links_name(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("text")
    inside = tmp_path / "inside"
    (inside / "closed" / "deep").mkdir(parents=True)
    (inside / "closed" / "deep" / "file").touch()
    (inside / "closed").chmod(0)
    (inside / "folder").symlink_to(outside)
    os.link(outside / "kept", inside / "hard")
    os.mkfifo(inside / "pipe")
    wipe(inside)
    assert not inside.exists()
    assert (outside / "kept").read_text() == "text"


def test_a_nesting_that_no_path_can_name_is_removed(tmp_path: Path, monkeypatch) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(deep)
        for _ in range(3_000):
            os.mkdir("down")
            os.chdir("down")
    wipe(deep)
    assert not deep.exists()


def test_a_file_or_a_link_in_the_place_of_the_folder_is_removed_itself(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "file").touch()
    for name in ("link", "file", "gone"):
        wipe(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]
