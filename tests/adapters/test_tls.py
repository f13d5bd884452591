import ipaddress
import os
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from septum.adapters import tls
from septum.adapters.tls import ca_digest, client_context, ensure_server_certificate
from septum.errors import ConfigError

NAMES = ("localhost", "fl.example.org", "127.0.0.1", "::1")


def server_context(directory: Path, names=NAMES) -> ssl.SSLContext:
    certificate = ensure_server_certificate(directory, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_path, certificate.key_path)
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> str:
    """The TLS version that both agree on, over a real socket pair; raises the client's error."""
    theirs, ours = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=hostname) as wrapped:
            wrapped.sendall(b"x")
            return str(wrapped.version())
    finally:
        ours.close()
        thread.join()


def leaf(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "server.crt").read_bytes())


@pytest.mark.parametrize("hostname", NAMES)
def test_a_silo_that_pins_the_ca_reaches_every_name_by_tls_1_3(tmp_path, hostname):
    server = server_context(tmp_path)
    assert handshake(server, client_context(tmp_path / "ca.crt"), hostname) == "TLSv1.3"


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path):
    server = server_context(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client_context(tmp_path / "ca.crt"), "evil.example.org")


def test_another_ca_is_refused(tmp_path):
    ensure_server_certificate(tmp_path / "other", NAMES)
    server = server_context(tmp_path / "mine")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(tmp_path / "other" / "ca.crt"), "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(None), "localhost")


@pytest.mark.parametrize("pinned", [True, False])
def test_an_extra_ca_is_trusted_besides(tmp_path, pinned):
    ensure_server_certificate(tmp_path / "other", NAMES)
    server = server_context(tmp_path / "mine")
    ca_file = tmp_path / "other" / "ca.crt" if pinned else None
    assert handshake(server, client_context(ca_file, tmp_path / "mine" / "ca.crt"), "localhost") == "TLSv1.3"


def test_tls_1_2_is_refused(tmp_path):
    server = server_context(tmp_path)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)version|alert"):
        handshake(server, client_context(tmp_path / "ca.crt"), "localhost")


def test_the_certificates_satisfy_strict_verification(tmp_path):
    server = server_context(tmp_path)
    client = client_context(tmp_path / "ca.crt")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(server, client, "localhost") == "TLSv1.3"


def test_the_files_are_the_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        ensure_server_certificate(tmp_path / "data", NAMES)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(["ca.crt", "ca.key", "server.crt", "server.key"], 0o600)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_second_start_changes_nothing(tmp_path):
    first = ensure_server_certificate(tmp_path, NAMES)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert ensure_server_certificate(tmp_path, reversed(NAMES)) == first
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_names_make_another_certificate_that_enrolled_silos_still_trust(tmp_path):
    first = ensure_server_certificate(tmp_path, ["old.example.org"])
    pinned = client_context(first.ca_path)
    server = server_context(tmp_path, ["new.example.org", "10.1.2.3"])
    assert ensure_server_certificate(tmp_path, ["10.1.2.3", "new.example.org"]).digest == first.digest
    assert handshake(server, pinned, "new.example.org") == "TLSv1.3"
    assert handshake(server, pinned, "10.1.2.3") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, pinned, "old.example.org")
    names = leaf(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.1.2.3")]


@pytest.mark.parametrize(("days", "renewed"), [(29, True), (31, False)])
def test_a_certificate_is_renewed_in_its_last_30_days(tmp_path, monkeypatch, days, renewed):
    with monkeypatch.context() as patch:
        patch.setattr(tls, "SERVER_DAYS", days + 1)  # it begins a day ago
        first = ensure_server_certificate(tmp_path, NAMES)
    before = leaf(tmp_path)
    second = ensure_server_certificate(tmp_path, NAMES)
    assert second.digest == first.digest
    assert (leaf(tmp_path).serial_number != before.serial_number) == renewed
    assert leaf(tmp_path).not_valid_after_utc - datetime.now(UTC) > timedelta(days=28)


def test_a_crash_between_key_and_certificate_is_mended(tmp_path):
    ensure_server_certificate(tmp_path / "other", NAMES)
    first = ensure_server_certificate(tmp_path / "mine", NAMES)
    first.key_path.write_bytes((tmp_path / "other" / "server.key").read_bytes())
    server = server_context(tmp_path / "mine")
    assert handshake(server, client_context(first.ca_path), "localhost") == "TLSv1.3"


def test_a_lost_ca_key_is_an_error_not_a_new_ca(tmp_path):
    first = ensure_server_certificate(tmp_path, NAMES)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key is missing") as caught:
        ensure_server_certificate(tmp_path, NAMES)
    assert "enrol every silo again" in caught.value.hint
    assert ca_digest(first.ca_path.read_bytes()) == first.digest


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key"])
def test_a_broken_file_is_named(tmp_path, name):
    ensure_server_certificate(tmp_path, NAMES)
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=name):
        ensure_server_certificate(tmp_path, NAMES)


def test_a_ca_key_of_another_ca_is_found(tmp_path):
    ensure_server_certificate(tmp_path / "other", NAMES)
    ensure_server_certificate(tmp_path / "mine", NAMES)
    (tmp_path / "mine" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(ConfigError, match="is not the key of"):
        ensure_server_certificate(tmp_path / "mine", NAMES)


@pytest.mark.parametrize("names", [[], [""], ["a..b"], ["ä.example.org"], ["x" * 64]])
def test_what_is_no_name_is_refused(tmp_path, names):
    with pytest.raises(ConfigError, match="name"):
        ensure_server_certificate(tmp_path, names)
    assert not any(tmp_path.iterdir())


def test_the_digest_is_that_of_the_certificate_not_of_its_spelling(tmp_path):
    pem = ensure_server_certificate(tmp_path, NAMES).ca_path.read_bytes()
    assert ca_digest(b"\n" + pem.replace(b"\n", b"\r\n")) == ca_digest(pem)
    assert ca_digest(pem).removeprefix("sha256:") == x509.load_pem_x509_certificate(pem).fingerprint(tls.SHA256()).hex()


@pytest.mark.parametrize("extra", [b"", b"no certificate", b"\xff\xfe"])
def test_what_is_no_certificate_has_no_digest(extra):
    with pytest.raises(ConfigError, match="not one certificate"):
        ca_digest(extra)


def test_two_certificates_have_no_digest(tmp_path):
    with pytest.raises(ConfigError, match="not one certificate"):
        ca_digest(ensure_server_certificate(tmp_path, NAMES).cert_path.read_bytes())


@pytest.mark.parametrize("place", ["ca_file", "extra_ca"])
def test_a_ca_file_that_cannot_be_used_is_an_error(tmp_path, place):
    (tmp_path / "bad.pem").write_text("not PEM")
    ensure_server_certificate(tmp_path, NAMES)
    for path in (tmp_path / "bad.pem", tmp_path / "missing.pem"):
        files = {"ca_file": tmp_path / "ca.crt", "extra_ca": None, place: path}
        with pytest.raises(ConfigError, match=r"certificate|bundle"):
            client_context(files["ca_file"], files["extra_ca"])
