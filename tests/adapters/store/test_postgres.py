"""A PostgreSQL server restarts, is full, read-only or locked, or lets nobody in: nothing is lost, and it is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from tests.faults.counting import until
from tests.postgres_server import running

from septum.adapters.store import postgres as backend
from septum.adapters.store import postgres_driver, postgres_lease
from septum.adapters.store.open import open_store
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.postgres_driver import Connection
from septum.errors import ConfigError, ConflictError, StorageError
from septum.ports.groups import Group
from septum.ports.store import RunFilter, Transition
from septum.protocol.feed import Change, Kind
from septum.testing.contracts.samples import COMBINE, FACTS, busy_run, new_run

pytestmark = pytest.mark.processes

SECRET = "correct horse battery"


@pytest.fixture
def address(postgres):
    with postgres.store() as name:
        yield postgres.address(name)


@pytest.fixture
def stores(address, tmp_path):
    with open_store(tmp_path / "data", address) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        yield stores


@pytest.fixture(scope="module")
def breakable():
    """A server that a test may stop; it is up again after each."""
    with running() as server:
        yield server


@pytest.fixture
def broken(breakable, tmp_path):
    """A store on a server that a test may stop."""
    with breakable.store() as name:
        with open_store(tmp_path / "data", breakable.address(name)) as stores:
            stores.runs.create(new_run("run-a"), (), at=1.0)
            yield breakable, stores
        if breakable.process is None:
            breakable.start()


def commit(stores, version, run=None):
    return stores.runs.commit([Transition(run or busy_run("run-a"), version, (COMBINE,), (), FACTS)], at=2.0)


def test_an_empty_database_gets_the_tables_and_the_next_opening_finds_them(postgres, tmp_path):
    with postgres.database() as name:
        for epoch in (1, 2):
            with open_store(tmp_path, postgres.address(name)) as stores:
                assert stores.epoch == epoch
        columns = postgres.run(
            "SELECT data_type, collation_name, count(*) FROM information_schema.columns WHERE table_schema = 'public' "
            "AND table_name NOT IN ('alembic_version', 'lease') GROUP BY 1, 2",
            name,
        )
    kinds = {(kind, collation) for kind, collation, _ in columns}
    whatever = {("bigint", None), ("double precision", None), ("boolean", None), ("bytea", None)}
    assert kinds == {*whatever, ("character varying", "C"), ("text", "C")}  # 64 bits, and text by its bytes


def test_the_order_of_names_is_that_of_their_bytes_whatever_the_locale(stores):
    for name in ("b", "B", "a-1", "a", "A", "ä"):
        stores.groups.add(Group(name))
    assert [group.name for group in stores.groups.groups()] == ["A", "B", "a", "a-1", "b", "ä"]


def test_runs_are_found_whatever_the_case_of_ascii_letters(stores):
    stores.runs.create(new_run("Run-B"), (), at=2.0)
    assert [one.run.id for one in stores.runs.page(limit=9, wanted=RunFilter(text="run-b"))] == ["Run-B"]


def test_ids_of_effects_are_not_given_again_after_a_restart(address, tmp_path):
    with open_store(tmp_path, address) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        ((first,),) = stores.runs.commit([Transition(new_run("run-a"), 1, (COMBINE,))], at=2.0)
        stores.runs.commit([Transition(new_run("run-a"), 2, (), (first.id,))], at=3.0)
    with open_store(tmp_path, address) as stores:
        ((second,),) = stores.runs.commit([Transition(new_run("run-a"), 3, (COMBINE,))], at=4.0)
        assert second.id > first.id


def test_a_commit_is_synced_even_where_the_server_is_set_to_be_careless(postgres, address, tmp_path):
    postgres.run(f"ALTER DATABASE {address.database} SET synchronous_commit = off")
    try:
        with open_store(tmp_path, address) as stores, stores.runs._database.write() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    finally:
        postgres.run(f"ALTER DATABASE {address.database} RESET synchronous_commit")


@pytest.fixture
def paused(monkeypatch):
    """Whoever opens a store stands still from then on: it does not say that it lives."""
    monkeypatch.setattr(postgres_lease, "RENEW_EVERY_S", 3600.0)
    monkeypatch.setattr(postgres_lease, "LEASE_S", 0.3)


def opened_when_free(directory, address):
    """Open a store as soon as another coordinator is taken for dead."""
    found = []

    def is_free():
        with suppress(ConflictError):
            found.append(open_store(directory, address))
        return bool(found)

    until(is_free, "the lease has run out")
    return found[0]


def test_who_was_replaced_can_write_no_more(paused, stores, address, tmp_path):
    with opened_when_free(tmp_path / "elsewhere", address) as other:
        with pytest.raises(ConflictError, match=rf"taken over the PostgreSQL database {address.database} at .*epoch"):
            commit(stores, 1)
        commit(other, 1)
    assert stores.runs.get("run-a").version == 2  # reading is harmless


def test_a_second_coordinator_is_refused_while_the_first_one_lives_and_comes_in_when_it_has_ended(
    stores, address, tmp_path
):
    with pytest.raises(ConflictError, match=rf"belongs to the coordinator with process id {os.getpid()} on ") as caught:
        open_store(tmp_path / "elsewhere", address)
    assert "standby = true" in caught.value.hint
    commit(stores, 1)
    stores.close()
    with open_store(tmp_path / "elsewhere", address) as other:  # at once: it was given up
        commit(other, 2)


def test_a_lease_is_renewed_for_as_long_as_its_owner_lives(postgres, address, tmp_path, monkeypatch):
    monkeypatch.setattr(postgres_lease, "RENEW_EVERY_S", 0.05)
    monkeypatch.setattr(postgres_lease, "LEASE_S", 5.0)

    def ends():
        return postgres.run("SELECT until FROM lease", address.database)[0][0]

    with open_store(tmp_path / "data", address) as stores:
        first = ends()
        until(lambda: ends() > first + 0.2, "it is renewed")
        assert not stores.lost.done()


def test_an_owner_that_wakes_learns_that_it_was_replaced_though_it_has_nothing_to_write(address, tmp_path, monkeypatch):
    monkeypatch.setattr(postgres_lease, "LEASE_S", 0.0)  # taken for dead at once
    monkeypatch.setattr(postgres_lease, "RENEW_EVERY_S", 0.05)
    with open_store(tmp_path / "data", address) as stores, open_store(tmp_path / "other", address) as other:
        with pytest.raises(ConflictError, match="has taken over the PostgreSQL database"):
            stores.lost.result(30)
        assert not other.lost.done()


def test_a_lease_outlives_a_restart_of_the_server(broken, tmp_path):
    server, stores = broken
    server.restart()
    address = server.address(stores.runs._database.shown.split()[3])
    with pytest.raises(ConflictError, match="belongs to the coordinator"):
        open_store(tmp_path / "elsewhere", address)
    commit(stores, 1)


def test_a_server_that_restarts_between_commits_is_not_noticed(broken):
    server, stores = broken
    commit(stores, 1)
    server.restart()
    commit(stores, 2)
    server.restart()
    assert stores.runs.get("run-a").version == 3


def test_a_server_that_is_down_is_named_and_the_same_commit_is_made_when_it_is_back(broken):
    server, stores = broken
    server.stop()
    for _ in range(2):
        with pytest.raises(StorageError, match=r"does not answer.*nothing was changed") as caught:
            commit(stores, 1)
        assert "pg_isready" in caught.value.hint
    with pytest.raises(StorageError, match="does not answer"):
        stores.runs.get("run-a")
    server.start()
    commit(stores, 1)
    assert stores.runs.get("run-a").version == 2


def test_a_server_that_crashes_in_the_middle_of_a_commit_has_changed_nothing(broken):
    server, stores = broken

    def interrupted():
        with stores.runs._database.write() as connection:
            connection.exec_driver_sql("DELETE FROM journal")
            connection.exec_driver_sql("DELETE FROM run_index")
            server.restart()
            connection.exec_driver_sql("DELETE FROM runs")

    with pytest.raises(StorageError, match="nothing was changed"):
        interrupted()
    commit(stores, 1)
    assert stores.runs.get("run-a").version == 2


def losing_answers(monkeypatch, before=None, after=None):
    """The next COMMIT is not answered: something happens before it is sent, or after it is done."""
    commit_ = Connection.commit
    used = []

    def commit(self):
        if used:
            return commit_(self)
        used.append(self)
        if before:
            before()
        if after:
            commit_(self)
            after()
        return commit_(self)

    monkeypatch.setattr(Connection, "commit", commit)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(broken, monkeypatch):
    """The server made it, and crashed before it said so. It is asked when it is back."""
    server, stores = broken
    losing_answers(monkeypatch, after=server.restart)
    ((pending,),) = commit(stores, 1)
    ((stored, outbox),) = stores.runs.unfinished()
    assert (stored.version, outbox, len(stores.runs.journal("run-a"))) == (2, (pending,), len(FACTS))
    commit(stores, 2)


def test_a_commit_that_did_not_arrive_may_be_tried_again(broken, monkeypatch):
    server, stores = broken
    losing_answers(monkeypatch, before=server.restart)
    with pytest.raises(StorageError, match="nothing was changed"):
        commit(stores, 1)
    commit(stores, 1)
    assert (stores.runs.get("run-a").version, len(stores.runs.journal("run-a"))) == (2, len(FACTS))


@pytest.mark.parametrize("made", [True, False])
def test_nothing_is_written_while_nobody_knows_whether_a_commit_was_made(broken, monkeypatch, made):
    """The server stays away for longer than a commit waits for it."""
    server, stores = broken
    monkeypatch.setattr(backend, "OUTCOME_S", 0.0)
    losing_answers(monkeypatch, **{"after" if made else "before": server.stop})
    for _ in range(2):
        with pytest.raises(StorageError, match="in the middle of a commit"):
            commit(stores, 1)
    server.start()
    if made:  # whoever was told otherwise starts again from what there is
        with pytest.raises(ConflictError, match="told to have failed, and was made"):
            commit(stores, 1)
        assert stores.runs.get("run-a").version == 2
    else:
        commit(stores, 1)
        assert stores.runs.get("run-a").version == 2


def test_commits_go_on_through_crash_after_crash(broken):
    """Each commit that was acknowledged is there, in order, and each that was refused is not."""
    server, stores = broken
    done, refused, ends = [], [], threading.Event()

    def write():
        while not ends.is_set():
            try:
                with stores.feed.telling([Change(Kind.GROUP_ADDED, "ada", group=f"group-{len(done)}")], at=1.0):
                    stores.groups.add(Group(f"group-{len(done)}"))
                done.append(f"group-{len(done)}")
            except StorageError:
                refused.append(len(done))
                ends.wait(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            before = len(done)
            until(lambda before=before: len(done) > before + 5, "commits go on")
            server.restart()
        before = len(done)
        until(lambda: len(done) > before, "commits go on")
    finally:
        ends.set()
        writer.join()
    assert {group.name for group in stores.groups.groups()} == set(done)
    entries = stores.feed.after(0, limit=100_000)
    assert [entry.change.group for entry in entries] == done
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)


def test_a_process_that_stops_in_the_middle_of_a_commit_holds_others_up_for_a_while_only(
    paused, address, tmp_path, monkeypatch
):
    monkeypatch.setitem(backend._SETTINGS, "idle_in_transaction_session_timeout", "300ms")
    stopped = open_store(tmp_path / "stopped", address)
    stopped.runs.create(new_run("run-a"), (), at=1.0)

    def interrupted():
        with stopped.runs._database.write() as connection:
            connection.exec_driver_sql("UPDATE runs SET version = 9")
            with opened_when_free(tmp_path / "other", address) as other:  # waits for the row, and gets it
                commit(other, 1)
            connection.exec_driver_sql("UPDATE runs SET version = 10")

    with pytest.raises(StorageError, match="nothing was changed"):
        interrupted()
    with pytest.raises(ConflictError, match="taken over"):
        commit(stopped, 2)
    stopped.close()


def test_a_database_that_another_program_holds_is_an_error_and_then_works_again(
    postgres, address, tmp_path, monkeypatch
):
    monkeypatch.setitem(backend._SETTINGS, "lock_timeout", "50ms")
    with open_store(tmp_path, address) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        with holding(postgres, address, "BEGIN; SELECT * FROM coordinator FOR UPDATE"):
            with pytest.raises(StorageError, match=r"locked by another process.*nothing was changed"):
                commit(stores, 1)
            assert stores.runs.get("run-a").version == 1  # reading goes on meanwhile
        commit(stores, 1)


@contextmanager
def holding(server, address, statement):
    """Another program's session, in the middle of this."""
    with server.session(address.database) as other:
        other.run(statement, ())
        yield


def test_a_standby_is_named_and_nothing_is_changed(postgres, address, tmp_path):
    """A database that takes no writes answers as a standby does."""
    with open_store(tmp_path, address) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
    postgres.run(f"ALTER DATABASE {address.database} SET default_transaction_read_only = on")
    try:
        with pytest.raises(StorageError, match=r"is read-only, as a standby is; nothing was changed") as caught:
            open_store(tmp_path, address)
        assert "pg_is_in_recovery" in caught.value.hint
    finally:
        postgres.run(f"ALTER DATABASE {address.database} RESET default_transaction_read_only")
    with open_store(tmp_path, address) as stores:
        commit(stores, 1)


def test_no_connection_left_is_said(breakable, tmp_path):
    with breakable.store() as name:
        breakable.run(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        breakable.run("CREATE ROLE plain LOGIN")
        try:
            with pytest.raises(StorageError, match=rf"database {name} at .* has no connection left") as caught:
                open_store(tmp_path, PostgresAddress(str(breakable.folder), 5432, "plain", name))
            assert "max_connections" in caught.value.hint
        finally:
            breakable.run(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
            breakable.run("DROP ROLE plain")


def test_a_database_that_is_not_there_is_named_with_how_to_make_it(postgres, tmp_path):
    with pytest.raises(ConfigError, match="there is no database 'absent'") as caught:
        open_store(tmp_path, postgres.address("absent"))
    assert caught.value.hint == f"createdb -h {postgres.folder} -p 5432 -O septum -E UTF8 -T template0 absent"
    open_store(tmp_path).close()  # the directory was given back


def test_tables_of_somebody_else_are_left_alone(postgres, tmp_path):
    with postgres.database() as name:
        postgres.run("CREATE TABLE theirs (id int)", name)
        with pytest.raises(ConfigError, match=rf"database {name} at .* has tables, and they are not septum's"):
            open_store(tmp_path, postgres.address(name))
        assert postgres.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == [["theirs"]]


def test_a_database_of_another_encoding_is_refused(postgres, tmp_path):
    postgres.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(ConfigError, match="has the encoding LATIN1; septum needs UTF8"):
        open_store(tmp_path, postgres.address("latin"))


def test_a_user_without_rights_is_told_so(postgres, tmp_path):
    with postgres.database() as name:
        postgres.run("CREATE ROLE guest LOGIN")
        postgres.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", name)
        with pytest.raises(ConfigError, match="refuses user 'guest': permission denied"):
            open_store(tmp_path, PostgresAddress(str(postgres.folder), 5432, "guest", name))


def test_a_wrong_password_is_never_repeated(breakable, tmp_path, caplog):
    rules = breakable.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    breakable.run(f"CREATE ROLE ada LOGIN SUPERUSER PASSWORD '{SECRET}'")
    rules.write_text(f"local all ada scram-sha-256\n{before}")
    breakable.process.send_signal(signal.SIGHUP)
    with breakable.store() as name:

        def opened(password):
            return open_store(tmp_path, PostgresAddress(str(breakable.folder), 5432, "ada", name, password))

        until(lambda: refuses(opened, ""), "the server asks for a password")
        with pytest.raises(ConfigError, match="does not let user 'ada' in") as caught:
            opened(f"{SECRET}!")
        assert SECRET not in f"{caught.value.message} {caught.value.hint} {caplog.text} {caught.value.__cause__!r}"
        opened(SECRET).close()
    rules.write_text(before)
    breakable.process.send_signal(signal.SIGHUP)


def refuses(opened, password):
    try:
        opened(password).close()
    except ConfigError:
        return True
    return False


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match="PostgreSQL server at /nowhere:5432 does not answer"):
        open_store(tmp_path, PostgresAddress("/nowhere", 5432, "septum", "septum"))


def test_a_full_disk_changes_nothing_and_says_which(stores):
    """As PostgreSQL says it: there is no small disk to fill here."""

    def filled():
        with stores.runs._database.write() as connection:
            connection.exec_driver_sql("DELETE FROM run_index")
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$")

    with pytest.raises(StorageError, match=r"no space left for the PostgreSQL database.*nothing was changed") as caught:
        filled()
    assert "df -h" in caught.value.hint
    commit(stores, 1)
    assert [one.run.id for one in stores.runs.page(limit=9)] == ["run-a"]


def test_what_was_to_be_written_is_in_no_error(stores):
    with pytest.raises(StorageError, match="failed") as caught, stores.runs._database.write() as connection:
        connection.exec_driver_sql("INSERT INTO runs (id) VALUES ($1)", ("a patient's name",))
    assert "patient" not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__!r}"


def test_a_sqlite_coordinator_loads_nothing_of_postgresql(tmp_path):
    program = (
        "import sys; from pathlib import Path; from septum.coordinator.root import ADAPTERS\n"
        f"ADAPTERS.open_store(Path({str(tmp_path)!r}), None).close()\n"
        "print(*(m for m in ('pg8000', 'scramp', 'sqlalchemy.dialects.postgresql') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_the_driver_prepares_only_so_many_statements(postgres, address, monkeypatch):
    monkeypatch.setattr(postgres_driver, "MOST_PREPARED", 3)
    with postgres.session(address.database) as session:
        for number in (1, 2, 3, 1, 4, 5, 1):
            assert session.run(f"SELECT $1::bigint + {number}", (1,)).rows == [[1 + number]]
        assert session.run("SELECT count(*) FROM pg_prepared_statements", ()).rows == [[3]]
