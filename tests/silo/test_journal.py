"""The release journal: on the disk before a signature leaves, and no sum that could be subtracted from another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.silo.masked_parts import BASE, FOUR, WHERE, Parts, refuses

from septum.errors import ConfigError, NotFoundError, SecAggError, StorageError
from septum.protocol.messages import Agree, Agreed, MakeKeys, Stage
from septum.protocol.plan import digest_of
from septum.secagg.context import Place
from septum.silo.journal import (
    FILE_NAME,
    HEAD_BYTES,
    HEAD_NAME,
    MAX_REASON_CHARS,
    MODEL,
    STATISTICS,
    Forgiven,
    Journal,
    Query,
    Release,
    forgive,
)

SIX = frozenset(("east", "north", "south", "west", "x", "y"))
QUERY = Query("model", "sha256:app", BASE.digest)
PLACE = Place("r1", "train", 1, 1)
ELSEWHERE = Place("r2", "train", 1, 1)


def journal(folder: Path) -> Journal:
    return Journal(folder, "north", unix=lambda: 7.0)


def releases(folder: Path) -> list[tuple[str, ...]]:
    return [entry.silos for entry in journal(folder).all() if isinstance(entry, Release)]


# --- the rule ------------------------------------------------------------------------------------------------------


def test_a_sum_with_a_silo_less_is_refused_and_the_same_sum_is_not(tmp_path):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    with pytest.raises(SecAggError, match="it would tell what y sent, and 3 silos at least") as raised:
        north.release(QUERY, SIX - {"y"}, Place("r2", "train", 1, 1), 3)
    assert "signed a sum over other silos for the same model before" in raised.value.message
    for attempt in (2, 3):
        north.release(QUERY, SIX, Place("r1", "train", 1, attempt), 3)
    assert releases(tmp_path) == [tuple(sorted(SIX))]


def test_sums_that_are_far_enough_apart_are_allowed_until_together_they_tell_too_much(tmp_path):
    north = journal(tmp_path)
    north.release(QUERY, frozenset(("north", "a", "b", "c", "d", "e")), PLACE, 3)
    north.release(QUERY, frozenset(("north", "a", "b")), PLACE, 3)  # three, and the other three
    with pytest.raises(SecAggError, match="it would tell what"):
        north.release(QUERY, frozenset(("north", "c", "d", "e")), PLACE, 3)


@pytest.mark.parametrize(
    "other",
    [
        Query("statistics", QUERY.app, QUERY.base),
        Query("model", "sha256:other", QUERY.base),
        Query("model", QUERY.app, digest_of(b"another model")),
    ],
)
def test_what_is_about_something_else_does_not_count(tmp_path, other):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    north.release(other, SIX - {"y"}, ELSEWHERE, 3)
    assert len(releases(tmp_path)) == 2


ALMOST = Query("model", QUERY.app, digest_of(b"the same model but for its last bit"))


def test_another_model_for_the_same_round_counts_like_the_same_one_also_after_a_restart(tmp_path):
    """Who may call a model by any digest changes one bit of it, and has almost the same updates."""
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    for _ in range(2):
        with pytest.raises(SecAggError, match="it would tell what y sent") as raised:
            journal(tmp_path).release(ALMOST, SIX - {"y"}, Place("r1", "train", 1, 2), 3)
        assert "signed a sum over other silos for another model of this round before" in raised.value.message
    journal(tmp_path).release(ALMOST, SIX, Place("r1", "train", 1, 2), 3)  # a round done again over the same silos


def test_a_model_that_another_run_summed_before_brings_those_sums_into_its_round(tmp_path):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    north.release(QUERY, SIX, Place("r2", "train", 1, 1), 3)
    with pytest.raises(SecAggError, match="it would tell what y sent"):
        north.release(ALMOST, SIX - {"y"}, Place("r2", "train", 1, 2), 3)


@pytest.mark.parametrize(
    "place", [Place("r1", "train", 2, 1), Place("r1", "evaluate", 1, 1), Place("r2", "train", 1, 1)]
)
def test_a_silo_may_be_missing_in_another_round(tmp_path, place):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    north.release(ALMOST, SIX - {"y"}, place, 3)
    assert len(releases(tmp_path)) == 2


def test_what_is_forgiven_about_a_model_counts_no_longer_for_the_other_models_of_its_round(tmp_path):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    forgiven(tmp_path)
    north.release(ALMOST, SIX - {"y"}, Place("r1", "train", 1, 2), 3)


def test_it_holds_across_restarts(tmp_path):
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    for _ in range(2):
        with pytest.raises(SecAggError, match="would tell"):
            journal(tmp_path).release(QUERY, SIX - {"x"}, Place("r2", "train", 9, 1), 3)
    journal(tmp_path).release(QUERY, SIX, Place("r2", "train", 9, 1), 3)


def test_a_release_says_what_was_told_to_whom_and_when(tmp_path):
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    assert list(journal(tmp_path).all()) == [Release(7.0, "r1", "train", 1, 1, QUERY, tuple(sorted(SIX)))]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


# --- the file ------------------------------------------------------------------------------------------------------


def test_the_head_is_written_in_its_place_once_it_is_there_and_one_of_another_size_gives_way(tmp_path):
    running = journal(tmp_path)
    running.release(QUERY, SIX, PLACE, 3)
    path = tmp_path / HEAD_NAME
    first, inode = path.read_bytes(), path.stat().st_ino
    for number in range(2, 30):
        running.release(Query("model", QUERY.app, digest_of(b"%d" % number)), SIX, Place("r1", "train", number, 1), 3)
        assert (path.stat().st_size, path.stat().st_ino) == (HEAD_BYTES, inode)
    assert path.read_bytes() != first
    journal(tmp_path).check()
    path.write_bytes(path.read_bytes().strip())
    again = journal(tmp_path)
    again.release(QUERY, SIX, Place("r2", "train", 1, 1), 3)
    again.release(Query("model", QUERY.app, digest_of(b"other")), SIX, Place("r2", "train", 2, 1), 3)
    assert path.stat().st_size == HEAD_BYTES
    journal(tmp_path).check()


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b"\xff\xfe", b'{"at": 1}', b"[" * 10_000])
def test_a_damaged_file_is_an_error_that_names_the_line_and_the_next_command_and_allows_nothing(tmp_path, damage):
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + damage + b"\n")
    for silos in (SIX, SIX - {"y"}):
        with pytest.raises(ConfigError, match="line 2") as raised:
            journal(tmp_path).release(QUERY, silos, PLACE, 3)
        assert raised.value.hint == f"sed -n 2p {path}"
    assert path.read_bytes() == whole + damage + b"\n"


def test_a_line_that_a_kill_cut_off_was_never_signed_and_goes(tmp_path):
    """It was not on the disk as a whole, so no signature had left."""
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b'{"at": 7.0, "run": "r1", "sta')
    journal(tmp_path).release(Query("model", "sha256:app", ""), SIX, PLACE, 3)
    assert len(releases(tmp_path)) == 2


def test_a_file_that_cannot_be_read_or_written_is_an_error_and_nothing_is_known_of_the_sum(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    north = journal(tmp_path)
    with pytest.raises(StorageError, match="cannot be read") as raised:
        north.release(QUERY, SIX, PLACE, 3)
    assert raised.value.hint == f"ls -l {tmp_path / FILE_NAME}"
    (tmp_path / FILE_NAME).rmdir()
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot be written"):
        north.release(QUERY, SIX, PLACE, 3)
    (tmp_path / FILE_NAME).unlink()
    north.release(QUERY, SIX - {"y"}, PLACE, 3)  # that one was never signed
    assert releases(tmp_path) == [tuple(sorted(SIX - {"y"}))]


def test_a_release_and_the_name_of_its_file_are_synced_before_it_returns(tmp_path, monkeypatch):
    """The folder once in each process: a kill may have come between the file's first line and its name."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    assert synced[:2] == [FILE_NAME, tmp_path.name]
    synced.clear()
    north.release(Query("model", "sha256:app", ""), SIX, PLACE, 3)
    assert synced == [FILE_NAME]
    synced.clear()
    journal(tmp_path).release(Query("model", "sha256:app", "more"), SIX, PLACE, 3)
    assert synced[:2] == [FILE_NAME, tmp_path.name]


# --- a journal that is not the newest one --------------------------------------------------------------------------


def two_sums(folder: Path) -> tuple[Path, bytes, bytes]:
    """A journal of two sums; the file, its bytes after the first, and after both."""
    north = journal(folder)
    north.release(QUERY, SIX, PLACE, 3)
    first = (folder / FILE_NAME).read_bytes()
    north.release(Query("model", QUERY.app, digest_of(b"next")), SIX, Place("r1", "train", 2, 1), 3)
    return folder / FILE_NAME, first, (folder / FILE_NAME).read_bytes()


@pytest.mark.parametrize("damage", ["older", "gone", "changed", "a line less", "swapped"])
def test_an_agent_that_starts_on_an_older_or_changed_journal_signs_nothing_and_says_how_to_recover(tmp_path, damage):
    path, first, whole = two_sums(tmp_path)
    second = whole[len(first) :]
    found = {
        "older": first,
        "changed": whole.replace(b'"west"', b'"rest"'),
        "a line less": second,
        "swapped": second + first,
    }
    path.unlink() if damage == "gone" else path.write_bytes(found[damage])
    again = journal(tmp_path)
    for refused in (again.check, lambda: again.release(QUERY, SIX - {"y"}, PLACE, 3)):
        with pytest.raises(StorageError, match="is not the journal that this silo wrote") as raised:
            refused()
        assert raised.value.hint.startswith(f"put the newest copy of {path} back")
    path.write_bytes(whole)
    again.check()
    with pytest.raises(SecAggError, match="would tell"):
        again.release(QUERY, SIX - {"y"}, PLACE, 3)


def test_an_agent_that_was_killed_between_a_line_and_its_head_goes_on(tmp_path):
    path, first, _ = two_sums(tmp_path)
    path.write_bytes(first)
    (tmp_path / HEAD_NAME).unlink()
    journal(tmp_path).release(QUERY, SIX, Place("r2", "train", 1, 1), 3)
    head = (tmp_path / HEAD_NAME).read_bytes()
    journal(tmp_path).release(QUERY, SIX, Place("r3", "train", 1, 1), 3)
    (tmp_path / HEAD_NAME).write_bytes(head)
    journal(tmp_path).release(QUERY, SIX, Place("r4", "train", 1, 1), 3)
    assert len(releases(tmp_path)) == 4


def test_a_journal_of_before_there_were_heads_gets_one(tmp_path):
    path, _, whole = two_sums(tmp_path)
    (tmp_path / HEAD_NAME).unlink()
    journal(tmp_path).release(QUERY, SIX, Place("r2", "train", 1, 1), 3)
    assert (tmp_path / HEAD_NAME).stat().st_mode & 0o777 == 0o600
    path.write_bytes(whole)
    with pytest.raises(StorageError, match="is not the journal"):
        journal(tmp_path).check()


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b'{"bytes":-1,"sha256":"x"}'])
def test_a_damaged_head_is_an_error_that_names_it(tmp_path, damage):
    two_sums(tmp_path)
    (tmp_path / HEAD_NAME).write_bytes(damage)
    with pytest.raises(StorageError, match=HEAD_NAME):
        journal(tmp_path).check()


def test_what_a_steward_forgave_beside_a_running_agent_is_in_the_next_head(tmp_path):
    running = journal(tmp_path)
    running.release(QUERY, SIX, PLACE, 3)
    forgiven(tmp_path)
    running.release(QUERY, FIVE, PLACE, 3)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(StorageError, match="is not the journal"):
        journal(tmp_path).check()


# --- what a steward forgives --------------------------------------------------------------------------------------

FIVE = SIX - {"y"}


def forgiven(folder: Path, query: Query = QUERY, reason: str = "y closed for good") -> dict[Query, int]:
    return forgive(folder, query.kind, query.name, "ann", reason, at=8.0)


@pytest.mark.parametrize("query", [QUERY, Query(STATISTICS, "sha256:app", "")])
def test_an_agent_heeds_what_a_steward_forgives_while_it_runs_and_until_then_it_refuses(tmp_path, query):
    running = journal(tmp_path)
    running.release(query, SIX, PLACE, 3)
    with pytest.raises(SecAggError, match="would tell what y sent") as raised:
        running.release(query, FIVE, PLACE, 3)
    assert raised.value.hint == f"septum silo journal list --dir {tmp_path}"
    assert forgiven(tmp_path, query) == {query: 1}
    running.release(query, FIVE, PLACE, 3)
    with pytest.raises(SecAggError, match="would tell what y sent"):  # what was signed since counts
        running.release(query, SIX, PLACE, 3)
    with pytest.raises(SecAggError, match="would tell what y sent"):
        journal(tmp_path).release(query, SIX, PLACE, 3)


def test_nothing_else_is_forgiven(tmp_path):
    others = (
        Query(STATISTICS, QUERY.app, ""),
        Query(MODEL, QUERY.app, digest_of(b"another model")),
        Query(STATISTICS, QUERY.base, ""),  # an app's digest that is a model's
    )
    north = journal(tmp_path)
    places = {query: Place(f"r{number}", "train", 1, 1) for number, query in enumerate((QUERY, *others))}
    for query, place in places.items():
        north.release(query, SIX, place, 3)
    forgiven(tmp_path)
    north.release(QUERY, FIVE, places[QUERY], 3)
    for query in others:
        with pytest.raises(SecAggError, match="would tell what y sent"):
            north.release(query, FIVE, places[query], 3)


def test_the_journal_keeps_what_was_forgiven_by_whom_and_why(tmp_path):
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    before = (tmp_path / FILE_NAME).read_bytes()
    forgiven(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(before)
    assert list(journal(tmp_path).all()) == [
        Release(7.0, "r1", "train", 1, 1, QUERY, tuple(sorted(SIX))),
        Forgiven(8.0, QUERY, "ann", "y closed for good"),
    ]


def test_what_was_never_signed_or_was_forgiven_before_cannot_be_forgiven(tmp_path):
    with pytest.raises(NotFoundError):
        forgiven(tmp_path)
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    forgiven(tmp_path)
    whole = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(NotFoundError, match=f"no sum about the model {QUERY.base} counts") as raised:
        forgiven(tmp_path)
    assert raised.value.hint == f"septum silo journal list --dir {tmp_path}"
    assert (tmp_path / FILE_NAME).read_bytes() == whole


@pytest.mark.parametrize("reason", ["", " \n ", "x" * (MAX_REASON_CHARS + 1)])
def test_nothing_is_forgiven_without_a_reason(tmp_path, reason):
    journal(tmp_path).release(QUERY, SIX, PLACE, 3)
    with pytest.raises(ConfigError, match="a reason has 1 to 2000 characters"):
        forgiven(tmp_path, reason=reason)
    assert len(list(journal(tmp_path).all())) == 1


def test_lines_that_are_gone_while_an_agent_runs_are_not_taken_for_forgiven(tmp_path):
    north = journal(tmp_path)
    north.release(QUERY, SIX, PLACE, 3)
    north.release(Query(STATISTICS, QUERY.app, ""), SIX, PLACE, 3)
    path = tmp_path / FILE_NAME
    first = path.read_bytes().split(b"\n")[0] + b"\n"
    for left in (first, b"", None):
        path.unlink() if left is None else path.write_bytes(left)
        with pytest.raises(StorageError, match="has lost lines"):
            north.release(QUERY, SIX, PLACE, 3)


# --- with signatures -----------------------------------------------------------------------------------------------

THREE = ("east", "north", "west")
AGAIN = (Stage.TRAIN, 1, 2)


def test_the_sum_is_in_the_journal_when_the_signature_is_there_and_before_nothing_is(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    assert releases(tmp_path / "north") == []
    parts.parts["north"].answer(Agree(*WHERE, THREE))
    (release,) = journal(tmp_path / "north").all()
    place = (release.run, release.stage, release.round, release.attempt)
    assert (place, release.silos) == (("r1", "train", 1, 1), THREE)
    assert release.query == Query("model", parts.plan.app.digest, BASE.digest)


def test_a_silo_whose_journal_is_not_the_newest_one_makes_no_keys_and_so_does_not_train(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.agree(FOUR)
    (tmp_path / "north" / FILE_NAME).unlink()
    parts.restart("north")
    with pytest.raises(StorageError, match="is not the journal"):
        parts.parts["north"].answer(MakeKeys(*AGAIN))


@pytest.mark.parametrize("trouble", ["damaged", "unreadable"])
def test_without_its_journal_a_silo_signs_nothing(tmp_path, trouble):
    parts = Parts(tmp_path)
    parts.up_to_work()
    path = tmp_path / "north" / FILE_NAME
    path.parent.mkdir(exist_ok=True)
    if trouble == "damaged":
        path.write_bytes(b"nonsense\n")
    else:
        path.mkdir()
    for _ in range(2):
        with pytest.raises((ConfigError, StorageError)):
            parts.parts["north"].answer(Agree(*WHERE, THREE))
    path.unlink() if trouble == "damaged" else path.rmdir()
    assert isinstance(parts.parts["north"].answer(Agree(*WHERE, FOUR)), Agreed)  # the first list was not signed


def test_the_attack_a_later_attempt_without_one_silo_is_refused_by_the_others(tmp_path):
    """Training gives the same update again: the sum over four minus that over three is south's update."""
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.agree(FOUR)
    parts.up_to_work(*THREE, where=AGAIN)
    for silo in THREE:
        assert "it would tell what south sent" in refuses(parts, silo, Agree(*AGAIN, THREE))
    parts.up_to_work(where=(Stage.TRAIN, 1, 3))
    assert len(parts.agree(FOUR, (Stage.TRAIN, 1, 3))) == 4  # but the same four may


def test_a_policy_that_allows_sums_over_one_silo_does_not_allow_to_tell_one_silo_from_two_sums(tmp_path):
    """`min_cohort = 1` is for runs without masks: a masked sum over one silo would be no sum."""
    parts = Parts(tmp_path, min_cohort=1)
    parts.up_to_work()
    parts.agree(FOUR)
    parts.up_to_work(*THREE, where=AGAIN)
    for silo in THREE:
        assert "it would tell what south sent" in refuses(parts, silo, Agree(*AGAIN, THREE))


def test_the_attack_a_later_attempt_on_almost_the_same_model_without_one_silo_is_refused_too(tmp_path):
    """The updates are almost the same then, and so is the difference to the missing silo's."""
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.agree(FOUR)
    parts.up_to_work(*THREE, where=AGAIN, base=ALMOST.base)
    for silo in THREE:
        assert "it would tell what south sent" in refuses(parts, silo, Agree(*AGAIN, THREE))


def test_the_attack_over_a_restart_and_another_run_is_refused_too(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.agree(FOUR)
    parts.run = "r2"
    parts.restart(*FOUR)
    parts.up_to_work(*THREE)
    for silo in THREE:
        assert "it would tell what south sent" in refuses(parts, silo, Agree(*WHERE, THREE))


def test_a_model_that_was_only_measured_counts_like_one_that_was_trained_from(tmp_path):
    """Both sums hold the evaluation of the same model."""
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.agree(FOUR)
    journal(tmp_path / "north").release(Query("model", parts.plan.app.digest, BASE.digest), frozenset(FOUR), PLACE, 3)
    where = (Stage.EVALUATE, 1, 1)
    parts.up_to_work(*THREE, where=where)
    assert "it would tell what south sent" in refuses(parts, "north", Agree(*where, THREE))
