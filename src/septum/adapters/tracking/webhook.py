"""How do other systems hear what happens? By signed POST requests, as Standard Webhooks 1.0 describes them.

    webhook-id         the same for the same thing told again: a receiver that has seen it may drop it
    webhook-timestamp  Unix time, seconds, of this attempt: a receiver refuses what is old
    webhook-signature  v1,BASE64: HMAC-SHA256 under the shared secret, over "ID.TIMESTAMP.BODY"

The body is `{"type": "run.ended", "timestamp": ..., "data": {...}}`, with what trackers are told, nothing of one silo;
of a change in the federation it is `{"type": "silo.offline", ..., "data": {...}}` with the change as the feed has it.
An answer other than 2xx, or none, counts as not heard, and it is told again; 410 (Gone) means that nobody wants it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from septum.errors import ConfigError, ConnectionFailedError, did_you_mean
from septum.ports.tracker import RoundMeasured, RunEnded, RunStarted, Told, Tracker, TrackerSettings
from septum.protocol.codec import Json, dumps, to_json
from septum.protocol.feed import FeedEntry, Kind, Noun, kinds_of

TIMEOUT_S = 10.0
GONE = 410
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # Standard Webhooks 1.0, section "Signature scheme"
SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with is no secret
KINDS = {RunStarted: "started", RoundMeasured: "measured", RunEnded: "ended"}
_SETTINGS = ("url", "secret_file", "on", "ca_file")
_MAKE_SECRET = 'printf "whsec_%s\\n" "$(openssl rand -base64 32)" > webhook.secret; chmod 600 webhook.secret'  # noqa: S105


class Webhook:
    """A Tracker that posts to one URL.

    on     which of started, measured, ended are told of runs
    kinds  which changes of the feed are told
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        on: frozenset[str],
        ca_file: str = "",
        kinds: frozenset[Kind] = frozenset(),
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret
        self._on = on
        self._kinds = kinds
        self._unix = unix
        self._client = httpx.Client(timeout=TIMEOUT_S, verify=_trust(ca_file), follow_redirects=False)

    def tell(self, told: Told) -> None:
        """Post one thing, if it is among those wanted. Raises ConnectionFailedError when it was not heard."""
        kind = KINDS[type(told)]
        if kind not in self._on:
            return
        self._post(f"run.{kind}", told.at, to_json(told), _id_of(kind, told))

    @property
    def kinds(self) -> frozenset[Kind]:
        """Of which changes it is told."""
        return self._kinds

    def change(self, entry: FeedEntry) -> None:
        """Post one change. Raises ConnectionFailedError when it was not heard."""
        data: dict[str, Json] = {name: value for name, value in _fields(entry).items() if value}
        self._post(entry.change.kind.value, entry.at, data, _name_of(f"feed {entry.seq} {entry.at!r}"))

    def _post(self, kind: str, at: float, data: Json, name: str) -> None:
        body = dumps({"type": kind, "timestamp": _iso(at), "data": data})
        try:
            answer = self._client.post(self._url, content=body, headers=self._headers(name, body))
        except httpx.HTTPError as error:
            raise ConnectionFailedError(f"{self._url}: {str(error) or type(error).__name__}") from error
        if not (answer.is_success or answer.status_code == GONE):
            raise ConnectionFailedError(f"{self._url} answered {answer.status_code} to {name}")

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _headers(self, name: str, body: bytes) -> dict[str, str]:
        at = str(int(self._unix()))
        return {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": at,
            "webhook-signature": signature(self._secret, name, at, body),
        }


def signature(secret: bytes, name: str, timestamp: str, body: bytes) -> str:
    """What a receiver compares, in constant time, with what it got.

    >>> signature(b"k" * 24, "msg_1", "1700000000", b"{}")
    'v1,E3sCg9uS8x43RKlJqcda1EcaYZxNkN+l2u7RBZBSZQQ='
    """
    mac = hmac.new(secret, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def _trust(ca_file: str) -> ssl.SSLContext:
    """TLS 1.2 at least, the receiver's certificate signed by this authority, or by one that the system trusts."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[tracking.webhook]: ca_file {ca_file} holds no certificate: {error}") from error


def make_webhook(settings: TrackerSettings) -> Tracker:
    """From `[tracking.webhook]`. Raises ConfigError."""
    values = settings.values
    for key in values:
        if key not in _SETTINGS:
            raise ConfigError(f"[tracking.webhook]: unknown key {key!r}; {did_you_mean(key, _SETTINGS)}")
    url = _text(settings, "url", "")
    if not url.startswith("https://") and not url.startswith(("http://127.0.0.1:", "http://localhost:")):
        raise ConfigError(
            f"[tracking.webhook]: url is {url!r}, an https:// address is needed",
            hint='url = "https://ci.example.org/x"',
        )
    wanted = frozenset(part.strip() for part in _text(settings, "on", "ended").split(",") if part.strip())
    on = wanted & set(KINDS.values())
    known = {*KINDS.values(), *(kind.value for kind in Kind), *(noun.value for noun in Noun)}
    for one in sorted(wanted - known):
        raise ConfigError(f"[tracking.webhook]: on has {one!r}; {did_you_mean(one, known)}")
    kinds = kinds_of(tuple(sorted(wanted - on)))
    if not wanted:
        raise ConfigError("[tracking.webhook]: on is empty, so nothing would be told", hint='on = "ended"')
    ca_file = _text(settings, "ca_file", "")
    ca_path = settings.data_dir / ca_file
    if ca_file and not ca_path.is_file():
        raise ConfigError(f"[tracking.webhook]: ca_file {ca_path} is not there", hint=f"ls -l {ca_path}")
    secret = _secret(settings.data_dir / _text(settings, "secret_file", "webhook.secret"))
    return Webhook(url, secret, on, str(ca_path) if ca_file else "", kinds)


def _text(settings: TrackerSettings, key: str, default: str) -> str:
    value = settings.values.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"[tracking.webhook]: {key} is {value!r}, a text is needed")
    return value


def _secret(path: Path) -> bytes:
    """The shared secret: `whsec_` and 24 to 64 bytes in base64, in a file that others may not read."""
    hint = f"in {path.parent}: {_MAKE_SECRET}"
    try:
        text, mode = path.read_text().strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[tracking.webhook]: secret_file {path} cannot be read: {error}", hint=hint) from error
    if mode & 0o077:
        raise ConfigError(f"[tracking.webhook]: others may read {path}", hint=f"chmod 600 {path}")
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise ConfigError(f"[tracking.webhook]: {path} does not hold whsec_ and 24 to 64 bytes in base64", hint=hint)
    return secret


def _id_of(kind: str, told: Told) -> str:
    """By which a receiver knows what it was told already: of the run, what, and when it happened."""
    place = f"{told.run} {kind} {told.round if isinstance(told, RoundMeasured) else ''} {told.at!r}"
    return _name_of(place)


def _name_of(place: str) -> str:
    return f"msg_{hashlib.sha256(place.encode()).hexdigest()[:32]}"


def _fields(entry: FeedEntry) -> dict[str, Json]:
    """The change without what does not apply."""
    change = to_json(entry.change)
    assert isinstance(change, dict)
    return {"seq": entry.seq, "at": entry.at, **change}


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
