"""A silo's line to its coordinator over HTTPS: one port, outbound only.

Connections are kept alive and handed out last-in-first-out, so a thread that asks again and again stays on one. A kept
connection that turns out to be dead before the first byte of an answer is replaced once, at once: every request is
idempotent, and each attempt is signed anew. Blobs stream in 1 MiB buffers, are checked while they pass, and go on where
they were cut (transfers.py).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar, cast

from septum.adapters.channel.elsewhere import MOVED, check, place_of
from septum.adapters.channel.http1 import Answer, Line, Origin, Request, StaleLineError, origin_of
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.channel.transfers import Transfers
from septum.adapters.identity.http_signatures import content_digest
from septum.adapters.tls import client_context
from septum.errors import ConnectionFailedError, MessageError
from septum.ports.identity import RequestSigner
from septum.protocol.audit import HeadSeen, HeadShown
from septum.protocol.codec import MAX_MESSAGE_BYTES, SEPTUM, TO_SILO, decode, encode
from septum.protocol.deploying import DeploymentOrder, DeploymentOrders, Told
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.log_lines import LogBatch
from septum.protocol.messages import (
    DIGEST,
    MAX_SERVED,
    PACKAGE_DIGEST,
    AppOffer,
    AppOffers,
    Instruction,
    Over,
    Poll,
    PollAnswer,
    Serving,
    SiloMessage,
)
from septum.protocol.system import SystemReport
from septum.protocol.versions import Wire

HOLD_S = 25.0  # how long the coordinator holds a request within a run before it answers Wait; a poll twice as long
HOLD_MARGIN_S = 20.0  # for a slow network, on top
MAX_IDLE_LINES = 8
_JSON = {"Content-Type": "application/json"}

T = TypeVar("T")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")  # the coordinator names runs: nothing that could leave the path


class HttpsChannel:
    """A `Channel` over HTTPS. See `ports.channel` for the contract."""

    def __init__(  # noqa: PLR0913  where a line leads, and whom it trusts, is settled here at once
        self,
        url: str,
        signer: RequestSigner,
        *,
        ca_file: Path | None = None,
        extra_ca: Path | None = None,
        proxies: ProxySettings | None = None,
        egress_hosts: tuple[str, ...] = (),
        answer_timeout_s: float = HOLD_S + HOLD_MARGIN_S,
        wire: Wire = SEPTUM,
        on_traceparent: Callable[[str, str], None] | None = None,
    ) -> None:
        """Set up; nothing is connected yet. Raises ConfigError for a URL, certificate or proxy that cannot be used.

        Args:
            url: `https://host` or `https://host:port`.
            signer: the silo's identity.
            ca_file: the CA pinned at enrolment; None trusts the system's authorities.
            extra_ca: a bundle to trust besides.
            proxies: from the environment; None goes directly.
            egress_hosts: `host` or `host:port`, where blobs may come from besides; by the system's authorities and
                `extra_ca`, not by `ca_file`.
            answer_timeout_s: the longest silence in an answer, more than the coordinator holds a request; of a poll
                HOLD_S more.
            wire: the protocol's version.
            on_traceparent: called with a run and the traceparent that an answer in it came with, empty for none.
        """
        self._proxies = proxies or ProxySettings()
        self._origin = origin_of(url, client_context(ca_file, extra_ca), self._proxies)
        self._egress_hosts = egress_hosts
        self._outside = client_context(None, extra_ca) if egress_hosts else None
        self._signer = signer
        self._answer_timeout_s = answer_timeout_s
        self._wire = wire
        self._on_traceparent = on_traceparent
        self._lock = threading.Lock()
        self._idle: list[Line] = []
        self._busy: set[Line] = set()
        self._closed = False
        self._transfers = Transfers(self._call, self._follow, self._origin.authority, egress_hosts)

    def __repr__(self) -> str:
        return f"HttpsChannel({self._origin.authority!r}, {self._signer.silo!r})"

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        """Ask for a run to take part in, other than `serving`."""
        message = Poll(tuple(serving))
        return cast("PollAnswer", self._ask("/silo/v1/poll", message, PollAnswer, held_s=HOLD_S))

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        """Say something in a run, and get the next instruction."""
        on_traceparent, folder = self._on_traceparent, _folder(run)
        if on_traceparent is None:
            return cast("Instruction", self._ask(f"{folder}/exchange", message, Instruction))

        def read(answer: Answer) -> Instruction:
            told = decode(Instruction, answer.read(MAX_MESSAGE_BYTES), TO_SILO, self._wire)
            on_traceparent(run, answer.header("traceparent"))
            return cast("Instruction", told)

        return self._call(self._post(f"{folder}/exchange", message), read)

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        """Send a file that a report will refer to. A repeat is a no-op."""
        self._transfers.send(_folder(run), _checked_digest(digest), path)

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        """Write a blob that an instruction refers to into `path`; its digest is checked. Raises DigestError."""
        self._transfers.fetch(_folder(run), _checked_digest(digest), path, size_bytes)

    def over(self, serving: Sequence[str]) -> tuple[str, ...]:
        """Which of these runs are over. Raises NotFoundError for a coordinator that is too old to say."""
        return cast("Over", self._ask("/silo/v1/over", Serving(tuple(serving[:MAX_SERVED])), Over)).runs

    def offers(self) -> Sequence[AppOffer]:
        """Every package that the coordinator offers."""
        return cast("AppOffers", self._read("/silo/v1/apps", AppOffers)).items

    def offer(self, digest: str) -> AppOffer:
        """The package of this digest. Raises NotFoundError."""
        if not PACKAGE_DIGEST.fullmatch(digest):
            raise MessageError(f"{digest[:80]!r} is not a package's digest: expected sha256: and 64 hex digits")
        return cast("AppOffer", self._read(f"/silo/v1/apps/{digest}", AppOffer))

    def fetch_app(self, offer: AppOffer, path: Path) -> None:
        """Write a package's file into `path`; the digest of its bytes is checked. Raises DigestError."""
        self._transfers.fetch("/silo/v1/apps", _checked_digest(offer.blob.digest), path, offer.blob.size_bytes)

    def tell(self, said: SiloDescription | Standing) -> None:
        """Say something of this silo. Raises NotFoundError for a coordinator that is too old to listen."""
        self._say(said)

    def deployments(self) -> DeploymentOrders:
        """All that this silo is to use now. Raises NotFoundError for a coordinator that is too old to know."""
        return cast("DeploymentOrders", self._read("/silo/v1/deployments", DeploymentOrders))

    def fetch_deployed(self, order: DeploymentOrder, path: Path) -> None:
        """Write an order's model into `path`; the digest of its bytes is checked. Raises DigestError."""
        model = order.model
        self._transfers.fetch("/silo/v1/deployments", _checked_digest(model.digest), path, model.size_bytes)

    def tell_deployed(self, told: Told) -> None:
        """Say how far this silo has got with a deployment. Raises NotFoundError for one that is not meant for it."""
        self._say(told)

    def compare_heads(self, seen: HeadSeen) -> HeadShown:
        """Say which head of the audit log was seen last; the newest one. NotFoundError: the coordinator is too old."""
        return cast("HeadShown", self._ask("/silo/v1/audit", seen, HeadShown))

    def tell_log(self, run: str, batch: LogBatch) -> None:
        """Tell lines of a run's log. Raises RateLimitedError, and NotFoundError for a coordinator that is too old."""
        self._call(self._post(f"{_folder(run)}/logs", batch), lambda answer: answer.read(MAX_MESSAGE_BYTES))

    def tell_system(self, report: SystemReport) -> None:
        """Tell how busy this machine is. Raises as `tell_log` does."""
        self._call(self._post("/silo/v1/system", report), lambda answer: answer.read(MAX_MESSAGE_BYTES))

    def roster(self, serial: int = 0) -> bytes | None:
        """The signed roster of this serial, 0 for the newest, as the coordinator passes it on; None if it has none."""
        path = f"/silo/v1/roster/{serial}" if serial else "/silo/v1/roster"
        return self._call(Request("GET", path), lambda answer: answer.read(MAX_MESSAGE_BYTES)) or None

    def close(self) -> None:
        """Give up, also in calls that are being held: they raise ConnectionFailedError."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for line in self._busy:
                line.abort()
        for line in idle:
            line.close()

    def _say(self, said: SiloDescription | Standing | Told) -> None:
        self._call(self._post("/silo/v1/account", said), lambda answer: answer.read(MAX_MESSAGE_BYTES))

    def _post(self, path: str, message: object, held_s: float = 0.0) -> Request:
        body = encode(message, self._wire)
        if len(body) > MAX_MESSAGE_BYTES:
            raise MessageError(f"a message of {len(body)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        return Request("POST", path, _JSON, lambda: body, len(body), content_digest(body), held_s=held_s)

    def _ask(self, path: str, message: object, expected: object, held_s: float = 0.0) -> object:
        request = self._post(path, message, held_s)
        return self._call(request, lambda answer: decode(expected, answer.read(MAX_MESSAGE_BYTES), TO_SILO, self._wire))

    def _read(self, path: str, expected: object) -> object:
        return self._call(
            Request("GET", path), lambda answer: decode(expected, answer.read(MAX_MESSAGE_BYTES), TO_SILO, self._wire)
        )

    def _call(self, request: Request, read: Callable[[Answer], T]) -> T:
        """Send, check the status, read: on a kept connection if there is one, and once more if that one was stale."""
        line = self._acquire(fresh=False)
        kept = line.ready
        try:
            return self._attempt(line, request, read)
        except StaleLineError as error:
            error.kept = kept
            if not (kept and request.repeat):
                raise
        return self._attempt(self._acquire(fresh=True), request, read)

    def _attempt(self, line: Line, request: Request, read: Callable[[Answer], T]) -> T:
        """One request on `line`, which goes back to the idle ones if it is good for another."""
        version = {self._wire.name: str(self._wire.version)}
        headers = {
            **request.headers,
            **version,
            **self._signer.headers(request.method, request.path, request.digest),
        }
        try:
            line.send(request.method, request.path, headers, request.body(), request.size_bytes)
            with closing(line.answer(request.method, self._answer_timeout_s + request.held_s)) as answer:
                if not (request.may_move and answer.status in MOVED):
                    answer.check(f"{request.method} {request.path}")
                return read(answer)
        except ConnectionFailedError:
            self._refuse_if_closed()
            raise
        finally:
            self._release(line)

    def _follow(self, location: str, headers: Mapping[str, str], read: Callable[[Answer], None]) -> str:
        """Get a blob from another host, with these headers alone: nothing there says which silo asks."""
        place = place_of(location, self._egress_hosts)
        assert self._outside is not None  # or no host would be named
        line = self._open(
            Origin(place.host, place.port, self._outside, self._proxies.proxy_for(place.host, place.port))
        )
        try:
            line.send("GET", place.path, headers, b"", 0)
            with closing(line.answer("GET")) as answer:
                check(answer, place)
                read(answer)
        except ConnectionFailedError:
            self._refuse_if_closed()
            raise
        finally:
            self._release(line, keep=False)
        return place.authority

    def _acquire(self, *, fresh: bool) -> Line:
        with self._lock:
            self._refuse_if_closed()
            line = self._idle.pop() if self._idle and not fresh else None
            if line is not None:
                self._busy.add(line)
                return line
        return self._open(self._origin)

    def _open(self, origin: Origin) -> Line:
        line = Line(origin, self._answer_timeout_s)
        with self._lock:
            if not self._closed:
                self._busy.add(line)
                return line
        line.close()
        self._refuse_if_closed()
        raise AssertionError("closed a moment ago")

    def _release(self, line: Line, *, keep: bool = True) -> None:
        with self._lock:
            self._busy.discard(line)
            if keep and line.ready and not self._closed and len(self._idle) < MAX_IDLE_LINES:
                self._idle.append(line)
                return
        line.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConnectionFailedError(f"the channel to {self._origin.authority} was closed")


def _folder(run: str) -> str:
    if not _RUN.fullmatch(run):
        raise MessageError(f"{run[:80]!r} is not a run's id")
    return f"/silo/v1/runs/{run}"


def _checked_digest(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise MessageError(f"{digest[:80]!r} is not a digest: expected blake3: and 64 hex digits")
    return digest
