"""How does a coordinator stand a thousand silos that wait? Light ones: each holds a signed poll, all in one process.

They ask as an agent does (septum/adapters/channel): a connection that breaks is replaced once at once, then the agents'
own backoff is kept to, and Retry-After. What they never do is take part in a run: an invitation counts as an answer.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.channel.backoff import attempt_of, pause_after
from septum.adapters.channel.http1 import StaleLineError
from septum.adapters.channel.wire_errors import error_of
from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.keys import public_bytes
from septum.adapters.store.open import open_store
from septum.adapters.tls import client_context
from septum.errors import ConnectionFailedError, SeptumError, TimedOutError
from septum.protocol.codec import encode
from septum.protocol.messages import Poll

PATH = "/silo/v1/poll"
ANSWER_S = 80.0  # more than a coordinator may hold a poll
CONNECT_S = 10.0  # as an agent: for each step


def enrol_crowd(data_dir: Path, count: int) -> tuple[Ed25519Signer, ...]:
    """Make `count` silos known to a coordinator that is not running, each with a key of its own."""
    now, signers = time.time(), []
    with open_store(data_dir) as stores:
        for number in range(count):
            name, key = f"crowd-{number}", Ed25519PrivateKey.generate()
            stores.registry.invite(name, b"\0" * 32, expires_at=now + 60.0)
            stores.registry.enroll(name, b"\0" * 32, public_bytes(key), at=now)
            signers.append(Ed25519Signer(name, key))
    return tuple(signers)


@dataclass(frozen=True, slots=True)
class CrowdView:
    """How a crowd is at one moment.

    held       silos whose request is sent and not answered
    answered   how many requests were answered, by HTTP status
    broken     how many connections failed, by the kind of error
    unexcused  refusals with 429 or 503 that did not say when to come back
    back_s     for each silo that asked since `mark`: when its newest request was sent, seconds after the mark
    """

    held: int
    answered: Mapping[int, int]
    broken: Mapping[str, int]
    unexcused: int
    back_s: Mapping[str, float]


@dataclass(slots=True)
class _Counts:
    answered: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    held: set[str] = field(default_factory=set)
    back_s: dict[str, float] = field(default_factory=dict)
    unexcused: int = 0
    marked_at: float = 0.0


class Crowd:
    """Silos that poll from a thread with an event loop, from entering the context to leaving it."""

    def __init__(self, port: int, ca_file: Path, signers: Sequence[Ed25519Signer]) -> None:
        self._port = port
        self._signers = signers
        self._context = client_context(ca_file)
        self._counts = _Counts(marked_at=time.monotonic())
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def view(self) -> CrowdView:
        """How it is now."""
        with self._changed:
            counts = self._counts
            return CrowdView(
                len(counts.held),
                dict(counts.answered),
                dict(counts.broken),
                counts.unexcused,
                dict(counts.back_s),
            )

    def mark(self) -> None:
        """Count anew from here."""
        with self._changed:
            self._counts = _Counts(held=self._counts.held, marked_at=time.monotonic())

    def wait_until(self, condition: Callable[[CrowdView], bool], timeout_s: float) -> CrowdView:
        """Wait until the crowd is as `condition` wants it. Raises TimedOutError with what it is like then."""
        deadline = time.monotonic() + timeout_s
        while not condition(view := self.view()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                seen = f"{view.held} of {len(self._signers)} held, {view.answered}, {view.broken}"
                raise TimedOutError(f"the crowd was not so within {timeout_s:g} s: {seen}")
            with self._changed:
                self._changed.wait(min(left_s, 0.1))
        return view

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve_all())
        self._loop.close()

    async def _serve_all(self) -> None:
        silos = [asyncio.create_task(self._serve(signer)) for signer in self._signers]
        await self._stop.wait()
        for silo in silos:
            silo.cancel()
        await asyncio.wait(silos)

    async def _serve(self, signer: Ed25519Signer) -> None:
        """One silo: it asks until it is cancelled."""
        failures, rand = 0, random.SystemRandom().random
        while True:
            served = 0
            try:
                async for _ in self._answers(signer):
                    served, failures = served + 1, 0
            except SeptumError as error:
                if served and isinstance(error, StaleLineError):
                    continue  # a kept connection: a new one may do
                failures = attempt_of(error, failures)
                await self._pause(pause_after(error, failures, rand))
                failures += 1

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _answers(self, signer: Ed25519Signer) -> AsyncIterator[None]:
        """Connect, and poll on that connection until it breaks, or an error is answered: that is raised."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        except OSError as error:
            raise self._broken(error) from error
        try:
            while True:
                sent_at = time.monotonic()
                try:
                    await self._poll(signer, reader, writer)
                except (OSError, EOFError) as error:
                    raise self._broken(error, sent_at) from error
                yield
        finally:
            self._note(signer.silo, held=False)
            writer.transport.abort()

    def _broken(self, error: Exception, sent_at: float | None = None) -> ConnectionFailedError:
        with self._changed:
            self._counts.broken[type(error).__name__] += 1
        if sent_at is None or isinstance(error, TimeoutError):
            return ConnectionFailedError(f"{type(error).__name__}: {error}")
        return StaleLineError(f"{type(error).__name__}: {error}", held_s=time.monotonic() - sent_at)

    async def _poll(self, signer: Ed25519Signer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer. Raises OSError, EOFError, and the error that was answered."""
        body = encode(Poll())
        headers = {
            "Host": f"127.0.0.1:{self._port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **signer.headers("POST", PATH, content_digest(body)),
        }
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        self._note(signer.silo, held=True)
        async with asyncio.timeout(ANSWER_S):
            status, answered = _head_of(await reader.readuntil(b"\r\n\r\n"))
            content = await reader.readexactly(int(answered.get("content-length", "0")))
        self._answered(signer.silo, status, excused="retry-after" in answered)
        if status != 200:
            raise error_of(status, content, asked=f"POST {PATH}", retry_after=answered.get("retry-after"))

    def _note(self, silo: str, *, held: bool) -> None:
        with self._changed:
            if held:
                self._counts.held.add(silo)
                self._counts.back_s[silo] = time.monotonic() - self._counts.marked_at
            else:
                self._counts.held.discard(silo)
            self._changed.notify_all()

    def _answered(self, silo: str, status: int, *, excused: bool) -> None:
        with self._changed:
            self._counts.held.discard(silo)
            self._counts.answered[status] += 1
            self._counts.unexcused += status in (429, 503) and not excused
            self._changed.notify_all()


def _head_of(head: bytes) -> tuple[int, Mapping[str, str]]:
    """Status and headers by lower-case name."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}
