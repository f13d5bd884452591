"""Which certificates the coordinator shows, and which ones a silo trusts.

A coordinator without a certificate of its own gets one from a private authority (CA) that septum makes beside it. The
CA's key is kept in the data directory, because silos pin the CA by its digest: only with its key can the server's
certificate be renewed, or carry another name, without every silo enrolling again. It protects no more than the server's
own key beside it does: this CA is trusted by this coordinator's silos alone, for this purpose alone.

ECDSA P-256 throughout: every TLS stack and inspecting proxy has it, which cannot be said of Ed25519 certificates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import os
import re
import secrets
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from septum.errors import ConfigError

CA_DAYS = 20 * 365  # as long as the federation: a new CA means enrolling every silo again
SERVER_DAYS = 397  # the longest that browsers take
RENEW_DAYS = 30
CLOCK_SLACK = timedelta(days=1)  # a silo's clock may be behind

_ONE_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_Name = x509.DNSName | x509.IPAddress


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What the coordinator's listener needs, and what silos pin.

    cert_path  the server's certificate and the CA's, PEM
    ca_path    the CA's certificate alone, PEM: what `GET /silo/v1/ca` answers
    digest     the CA's, as invitation tokens carry it
    """

    cert_path: Path
    key_path: Path
    ca_path: Path
    digest: str


def ensure_server_certificate(directory: Path, names: Iterable[str]) -> ServerCertificate:
    """The coordinator's certificate for `names` (host names and IP addresses), made or renewed if need be.

    Names that changed, or fewer than 30 days left, make a new server certificate from the same CA: silos go on as
    before. The files are written with mode 0600. Raises ConfigError for a name that is none, or files that cannot be
    used.
    """
    wanted = _general_names(names)
    paths = ServerCertificate(directory / "server.crt", directory / "server.key", directory / "ca.crt", "")
    ca_key_path = directory / "ca.key"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if paths.ca_path.exists() != ca_key_path.exists() and paths.ca_path.exists():
            raise ConfigError(
                f"{ca_key_path} is missing, so no certificate can be made that the enrolled silos trust",
                hint=f"restore it from a backup; or remove {paths.ca_path} and enrol every silo again",
            )
        if not paths.ca_path.exists():
            _make_ca(paths.ca_path, ca_key_path)
        ca, ca_key = _load_certificate(paths.ca_path), _load_key(ca_key_path)
        if _public(ca.public_key()) != _public(ca_key.public_key()):
            raise ConfigError(f"{ca_key_path} is not the key of {paths.ca_path}", hint="restore both from one backup")
        if not _is_current(paths, wanted, ca):
            _make_server(paths, wanted, ca, ca_key)
    except OSError as error:
        raise ConfigError(f"certificates in {directory}: {error.strerror} ({error.filename})") from error
    return ServerCertificate(paths.cert_path, paths.key_path, paths.ca_path, ca_digest(paths.ca_path.read_bytes()))


def ca_digest(pem: bytes) -> str:
    """How a CA is pinned: `sha256:` and the fingerprint that `openssl x509 -fingerprint -sha256` shows, in lower case.

    Raises ConfigError if `pem` does not hold exactly one certificate.
    """
    match = _ONE_PEM.fullmatch(pem)
    try:
        der = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        der = b""
    if not der:
        raise ConfigError(f"this is not one certificate in PEM: {len(pem)} bytes")
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def client_context(ca_file: Path | None, extra_ca: Path | None = None) -> ssl.SSLContext:
    """What a silo accepts: TLS 1.3, a certificate for the host that it asked for, from an authority that it trusts.

    Args:
        ca_file: the pinned CA, trusted instead of the system's; None for a publicly trusted coordinator.
        extra_ca: a bundle trusted besides, for a site whose proxy inspects TLS.
    """
    return pinned_context(None if ca_file is None else _read(ca_file), extra_ca)


def pinned_context(ca_pem: bytes | None, extra_ca: Path | None = None) -> ssl.SSLContext:
    """Like `client_context`, with the CA's certificate in memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks host names and certificates
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if ca_pem is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"the coordinator's CA certificate cannot be used: {error}", hint="septum silo enroll"
        ) from error
    if extra_ca is not None:
        try:
            context.load_verify_locations(cadata=_read(extra_ca).decode("utf-8", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the extra CA bundle {extra_ca} is not PEM: {error}") from error
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the certificate {path}: {error.strerror}") from error


def _general_names(names: Iterable[str]) -> tuple[_Name, ...]:
    found: dict[str, _Name] = {}
    for name in names:
        try:
            found[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            if not name or len(name) > 253 or not all(part and len(part) <= 63 for part in name.split(".")):
                raise ConfigError(f"{name!r} is neither a host name nor an IP address") from None
            try:
                found[name] = x509.DNSName(name.lower())
            except ValueError:
                raise ConfigError(f"{name!r} is no host name; write an international one in its xn-- form") from None
    if not found:
        raise ConfigError("a server certificate needs at least one name", hint="give the host name that silos use")
    return tuple(found[name] for name in sorted(found))


def _make_ca(path: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"septum coordinator {secrets.token_hex(4)}")])
    ca = (
        _builder(subject, subject, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    _replace(key_path, _key_pem(key))  # first: a CA without its key is the case that cannot be mended
    _replace(path, ca.public_bytes(Encoding.PEM))


def _make_server(
    paths: ServerCertificate, names: tuple[_Name, ...], ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "septum coordinator")])
    server = (
        _builder(subject, ca.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, SHA256())
    )
    _replace(paths.key_path, _key_pem(key))  # a crash before the next line leaves a pair that `_is_current` renews
    _replace(paths.cert_path, server.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=days) - CLOCK_SLACK)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_current(paths: ServerCertificate, names: tuple[_Name, ...], ca: x509.Certificate) -> bool:
    if not (paths.cert_path.exists() and paths.key_path.exists()):
        return False
    server, key = _load_certificate(paths.cert_path), _load_key(paths.key_path)
    present = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        server.issuer == ca.subject
        and _public(server.public_key()) == _public(key.public_key())
        and set(present) == set(names)
        and server.not_valid_after_utc - datetime.now(UTC) >= timedelta(days=RENEW_DAYS)
    )


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except ValueError as error:
        raise ConfigError(f"{path} is not a certificate in PEM: {error}", hint="restore it from a backup") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # not chained: such an error may quote what it could not read
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} holds no private key of septum's", hint="restore it from a backup")
    return key


def _public(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _replace(path: Path, data: bytes) -> None:
    """Write or replace a file of mode 0600, whole or not at all."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
