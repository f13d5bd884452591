"""A steward reads for which sums a silo gave its signature, and lets some of them count no longer, with a reason."""

from __future__ import annotations

import getpass

import pytest

from septum.errors import SecAggError
from septum.secagg.context import Place
from septum.silo.journal import Journal, Query

FOUR = frozenset(("east", "north", "south", "west"))
APP, BASE = "sha256:" + "a" * 64, "blake3:" + "b" * 64
STATISTICS, UPDATE = Query("statistics", APP, ""), Query("model", APP, BASE)


@pytest.fixture
def silo(tmp_path):
    folder = tmp_path / "silo"
    folder.mkdir()
    (folder / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    return folder


@pytest.fixture
def journal(silo):
    made = Journal(silo, "north", unix=lambda: 1_700_000_000.0)
    made.release(STATISTICS, FOUR, Place("r-1", "prepare", 0, 1), 3)
    made.release(UPDATE, FOUR, Place("r-1", "train", 1, 2), 3)
    return made


def test_a_silo_that_signed_nothing_says_so_and_gets_no_file(septum, silo):
    done = septum("silo", "journal", "list", "--dir", silo)
    assert (done.code, done.out) == (0, "no masked sum was signed here yet\n")
    assert septum("silo", "journal", "list", "--dir", silo, "--json").envelope["data"] == {"entries": []}
    assert [path.name for path in silo.iterdir()] == ["silo.toml"]


def test_every_sum_is_listed_with_when_where_over_whom_and_about_what_newest_first(septum, silo, journal):
    rows = septum("silo", "journal", "list", "--dir", silo).out.splitlines()[1:]
    update, statistics = (row.split() for row in rows)
    assert update[0] == "2023-11-14"
    assert update[3:] == ["signed", "r-1", "train", "1", "attempt", "2", *sorted(FOUR), "model", BASE]
    assert statistics[3:] == ["signed", "r-1", "prepare", "0", "attempt", "1", *sorted(FOUR), "statistics", APP]


def test_programs_read_the_same_oldest_first(septum, silo, journal):
    entries = septum("silo", "journal", "list", "--dir", silo, "--json").envelope["data"]["entries"]
    assert entries[1] == {
        "kind": "release",
        "at": 1_700_000_000.0,
        "run": "r-1",
        "stage": "train",
        "round": 1,
        "attempt": 2,
        "query": {"kind": "model", "app": APP, "base": BASE},
        "silos": sorted(FOUR),
        "counts": True,
    }


@pytest.mark.parametrize(("option", "query"), [("--statistics", STATISTICS), ("--model", UPDATE)])
def test_what_is_forgiven_is_told_with_what_it_gives_up_and_stays_in_the_list(septum, silo, journal, option, query):
    reason = ("--reason", "west closed\nfor good")
    done = septum("silo", "journal", "forgive", "--dir", silo, option, query.name, *reason)
    assert done.code == 0
    assert f"1 sum about the {query.kind} {query.name} count" in done.out
    assert "can tell what one silo sent" in done.out
    newest = septum("silo", "journal", "list", "--dir", silo).out.splitlines()[1]
    assert f"forgiven by {getpass.getuser()}" in newest
    assert newest.split()[-7:] == [query.kind, query.name, *["west", "closed", "/", "for", "good"]]
    entries = septum("silo", "journal", "list", "--dir", silo, "--json").envelope["data"]["entries"]
    assert [entry.get("counts") for entry in entries] == [query is UPDATE, query is STATISTICS, None]
    assert {entries[2]["kind"], entries[2]["reason"]} == {"forgiven", "west closed\nfor good"}
    journal.release(query, FOUR - {"west"}, Place("r-2", "train", 1, 1), 3)
    other = UPDATE if query is STATISTICS else STATISTICS
    with pytest.raises(SecAggError, match="would tell what west sent"):
        journal.release(other, FOUR - {"west"}, Place("r-3", "train", 1, 1), 3)


@pytest.mark.parametrize("named", [(), ("--statistics", APP, "--model", BASE), ("--queries", "--model", BASE)])
def test_one_thing_is_forgiven_at_a_time(septum, silo, journal, named):
    done = septum("silo", "journal", "forgive", "--dir", silo, *named, "--reason", "why not")
    assert done.code != 0
    assert "name one of --statistics, --model and --queries" in done.err
    assert len(list(journal.all())) == 2


def test_what_is_not_in_the_journal_is_an_error_that_says_where_to_look(septum, silo, journal):
    done = septum("silo", "journal", "forgive", "--dir", silo, "--model", APP, "--reason", "why not")
    assert done.code != 0
    assert f"septum silo journal list --dir {silo}" in done.err


@pytest.mark.parametrize("verb", [("list",), ("forgive", "--model", BASE, "--reason", "why not")])
def test_a_directory_that_is_none_is_named(septum, tmp_path, verb):
    done = septum("silo", "journal", *verb, "--dir", tmp_path / "elsewhere")
    assert done.code != 0
    assert f"there is no silo's directory {tmp_path / 'elsewhere'}" in done.err
