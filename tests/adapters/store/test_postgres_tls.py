"""A PostgreSQL server of another machine is spoken to by TLS alone, and only if its certificate says who it is.

A real server, with certificates that the test makes, on a loopback address of its own. It is another machine by its
name, `db.example.org`: the resolver says where that is, and nothing else is pretended.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket

import pytest
from tests.faults.counting import until
from tests.postgres_server import PORT, USER, running

from septum.adapters.store.open import open_store
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.tls import ensure_server_certificate
from septum.errors import ConfigError
from septum.testing.contracts.samples import new_run
from septum.testing.postgresql import unprivileged

pytestmark = pytest.mark.processes

NAME, OTHER_NAME = "db.example.org", "other.example.org"
LOOPBACK = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}"
THROUGH_TLS = (
    "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = current_database()"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return ensure_server_certificate(tmp_path_factory.mktemp("tls"), [NAME, LOOPBACK])


@pytest.fixture(scope="module")
def server(certificate):
    """It takes whoever comes by TCP, with TLS or without: it is the client that insists."""
    with running(f"listen_addresses={LOOPBACK}") as server:
        for path, name in ((certificate.cert_path, "server.crt"), (certificate.key_path, "server.key")):
            shutil.copyfile(path, server.folder / name)
            (server.folder / name).chmod(0o600)
            if unprivileged():
                shutil.chown(server.folder / name, unprivileged())
        with (server.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 trust\n")
        with (server.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"ssl = on\nssl_cert_file = '{server.folder}/server.crt'\n")
            settings.write(f"ssl_key_file = '{server.folder}/server.key'\n")
        server.restart()
        yield server


@pytest.fixture
def database(server):
    with server.database() as name:
        yield name


@pytest.fixture(autouse=True)
def _names(monkeypatch):
    """Where the two names lead, as a name server would say."""
    found = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        return found(LOOPBACK if host in (NAME, OTHER_NAME) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def opened(folder, host, database, ca_file=""):
    return open_store(folder / "data", PostgresAddress(host, PORT, USER, database, ca_file=str(ca_file)))


@pytest.mark.parametrize("host", [NAME, LOOPBACK], ids=["by name", "by address"])  # workers draw other addresses
def test_who_is_told_the_authority_speaks_tls_and_all_of_its_sessions_do(host, server, database, certificate, tmp_path):
    with opened(tmp_path, host, database, certificate.ca_path) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        assert stores.runs.get("run-a").version == 1
        others = int(server.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'septum'")[0][0])
        assert int(server.run(THROUGH_TLS, database)[0][0]) == others >= 2  # the writer and a reader


def refused(folder, host, database, ca_file=""):
    with pytest.raises(ConfigError) as caught:
        opened(folder, host, database, ca_file)
    assert not (folder / "data" / "septum.sqlite").exists()
    return caught.value


def test_a_certificate_of_an_authority_that_nobody_named_is_refused(database, tmp_path):
    error = refused(tmp_path, NAME, database)
    assert f"the PostgreSQL server at {NAME}:{PORT} cannot be trusted" in error.message
    assert (
        error.hint == f"openssl s_client -starttls postgres -connect {NAME}:{PORT} -showcerts, and ca_file in [store]"
    )


def test_a_certificate_of_another_authority_is_refused(database, tmp_path):
    other = ensure_server_certificate(tmp_path / "other", [NAME])
    error = refused(tmp_path, NAME, database, other.ca_path)
    assert f"the PostgreSQL server at {NAME}:{PORT} cannot be trusted" in error.message
    assert "ca_file in [store]" in error.hint


def test_a_certificate_that_names_another_host_is_refused(database, certificate, tmp_path):
    error = refused(tmp_path, OTHER_NAME, database, certificate.ca_path)
    assert (
        f"the certificate of the PostgreSQL server at {OTHER_NAME}:{PORT} does not name {OTHER_NAME}" in error.message
    )
    assert f"openssl s_client -starttls postgres -connect {OTHER_NAME}:{PORT}" in error.hint
    assert "url in [store]" in error.hint


def test_a_server_without_tls_is_refused_and_nothing_was_sent_to_it(server, database, certificate, tmp_path):
    def is_on():
        return server.run("SHOW ssl") == [["on"]]

    server.run("ALTER SYSTEM SET ssl = off")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: not is_on(), "the server speaks no TLS")
    try:
        error = refused(tmp_path, NAME, database, certificate.ca_path)
        assert f"the PostgreSQL server at {NAME}:{PORT} offers no TLS" in error.message
        assert error.hint.startswith("ssl = on")
        assert server.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database) == [[0]]
    finally:
        server.run("ALTER SYSTEM RESET ssl")
        server.process.send_signal(signal.SIGHUP)
        until(is_on, "the server speaks TLS")
    opened(tmp_path, NAME, database, certificate.ca_path).close()
