"""Which apps does the coordinator hand to the silos? Packages as their authors built and signed them.

It looks at a package as closely as a silo does, so that a bad one is refused where it is pushed. It runs nothing of it,
and what it says of a package binds no silo: each verifies the bytes itself.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from septum.adapters.identity.app_signatures import Signed, verified
from septum.coordinator.areas import APPS
from septum.coordinator.effects import Performer
from septum.coordinator.feed import Feed
from septum.coordinator.pipe import Pipe, Room, pour
from septum.errors import ConflictError, DigestError, NotFoundError, SeptumError, TooLargeError
from septum.ports.apps import AppRecord, AppRegistry
from septum.ports.blobs import BlobStore, OpenBlob
from septum.ports.clock import Clock
from septum.protocol.codec import Scalar, dumps, to_json
from septum.protocol.feed import Change, Kind
from septum.protocol.messages import Blob
from septum.protocol.sources import SourceFile
from septum.protocol.views import AppView
from septum.sdk.package_file import description_of, read_description, read_opened
from septum.sdk.presets import check_preset

log = logging.getLogger("septum.coordinator.apps")

MAX_SIGNATURES_BYTES = 64 * 1024
MAX_PRESETS = 100  # given to one package; every list of packages carries them
MAX_PRESET_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """What a package says of itself."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Verify:
    """How packages are looked at.

    package     all of a file is verified, which errors call so; raises a SeptumError for one that is not sound
    signatures  the sidecar's JSON, for these facts and this digest; raises AuthError for one that is wrong
    preset      a preset's name and values, for the package in a file; the checked values, or a SeptumError
    """

    package: Callable[[OpenBlob, str], PackageFacts]
    signatures: Callable[[bytes, PackageFacts, str], None]
    preset: Callable[[OpenBlob, str, Mapping[str, object]], dict[str, Scalar]]


class Apps:
    """The packages that were pushed."""

    def __init__(
        self,
        registry: AppRegistry,
        blobs: BlobStore,
        performer: Performer,
        clock: Clock,
        verify: Verify,
        limit_bytes: int,
        feed: Feed,
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._performer = performer
        self._clock = clock
        self._verify = verify
        self._limit_bytes = limit_bytes
        self._feed = feed
        self._room = Room()

    async def push(self, digest: str, chunks: AsyncIterator[bytes], by: str = "") -> AppView:
        """Take a package; one that is known is taken again.

        Raises DigestError when the bytes are others, what `Verify.package` raises, ConflictError when its name and
        version belong to another package, TooLargeError.
        """
        came = await self._stored(chunks)
        try:
            if came.digest != digest:
                raise DigestError(f"{digest} was announced, and the bytes that came have the digest {came.digest}")
            facts = await self._performer.compute(self._verified, came)
            kept = await self._feed.write(
                _change(Kind.APP_PUSHED, by, facts), self._add, came, facts, self._clock.unix()
            )
        except SeptumError:
            await self._performer.write(self._discard, came.blob)
            raise
        log.info("app_pushed", extra={"app": kept.name, "version": kept.version, "digest": digest})
        return view_of(kept)

    async def sign(self, digest: str, signatures: bytes, by: str = "") -> AppView:
        """Keep these signatures of a package, in place of those that are there. Raises AuthError for a wrong one."""
        record = await self._performer.read(self._registry.get, digest)
        facts = PackageFacts(record.name, record.version)
        await self._performer.compute(self._verify.signatures, signatures, facts, digest)
        signed = replace(record, signatures=signatures.decode())
        kept = await self._feed.write(_change(Kind.APP_SIGNED, by, record), self._registry.add, signed)
        log.info("app_signed", extra={"app": kept.name, "version": kept.version, "digest": digest})
        return view_of(kept)

    async def remove(self, digest: str, runs_of: Callable[[str], Sequence[str]], by: str = "") -> None:
        """Forget a package, its presets and its bytes; one that is not there is ignored. Silos keep what they fetched.

        `runs_of`: the runs of a digest that have not ended. Raises ConflictError naming them, while there are any.
        """
        try:
            record = await self._performer.read(self._registry.get, digest)
        except NotFoundError:
            return
        if at_work := runs_of(digest):
            shown = ", ".join(at_work[:5]) + (f" and {len(at_work) - 5} more" if len(at_work) > 5 else "")
            raise ConflictError(
                f"{record.name} {record.version} is not removed: of its runs {shown} have not ended",
                hint=f"septum run stop {at_work[0]}",
            )
        await self._feed.write(_change(Kind.APP_REMOVED, by, record), self._remove, record)
        log.info("app_removed", extra={"app": record.name, "version": record.version, "digest": digest})

    async def set_preset(self, digest: str, name: str, values: Mapping[str, object], by: str = "") -> AppView:
        """Give a package a preset, in place of one of that name that was given; the package stays as it is.

        Raises NotFoundError, ConfigError for a value that its hyper-parameters do not allow, ConflictError for the name
        of a preset in the package, TooLargeError.
        """
        record = await self._performer.read(self._registry.get, digest)
        async with self._opened(record) as file:
            checked = await self._performer.read(self._verify.preset, file, name, values)
        if (size := len(dumps(to_json(checked)))) > MAX_PRESET_BYTES:
            raise TooLargeError(f"preset {name!r} has {size} bytes as JSON, at most {MAX_PRESET_BYTES}")
        if name not in record.presets and len(record.presets) >= MAX_PRESETS:
            raise TooLargeError(
                f"{record.name} {record.version} was given {MAX_PRESETS} presets, and no more are kept",
                hint=f"septum app preset remove {digest} NAME",
            )
        change = _change(Kind.APP_PRESET_SET, by, record, name)
        kept = await self._feed.write(change, self._registry.set_preset, digest, name, checked)
        log.info("preset_set", extra={"app": kept.name, "version": kept.version, "digest": digest, "preset": name})
        return view_of(kept)

    async def drop_preset(self, digest: str, name: str, by: str = "") -> AppView:
        """Take a preset back that was given to a package. Raises NotFoundError."""
        record = await self._performer.read(self._registry.get, digest)
        change = _change(Kind.APP_PRESET_REMOVED, by, record, name)
        kept = await self._feed.write(change, self._registry.drop_preset, digest, name)
        log.info("preset_removed", extra={"app": kept.name, "version": kept.version, "digest": digest, "preset": name})
        return view_of(kept)

    async def views(self) -> tuple[AppView, ...]:
        """Every package, by name, the newest push first."""
        return tuple(view_of(record) for record in await self._performer.read(self._registry.all))

    async def view(self, digest: str) -> AppView:
        """One package. Raises NotFoundError."""
        return view_of(await self._performer.read(self._registry.get, digest))

    async def description(self, digest: str) -> bytes:
        """What a package says of itself, JSON: hyper-parameters, contract, what leaves, presets, wheels."""
        async with self.file(digest) as file:
            return await self._performer.read(_description, file)

    @asynccontextmanager
    async def file(self, digest: str) -> AsyncIterator[OpenBlob]:
        """The bytes of a package. Raises NotFoundError."""
        async with self._opened(await self._performer.read(self._registry.get, digest)) as opened:
            yield opened

    def _opened(self, record: AppRecord) -> AbstractAsyncContextManager[OpenBlob]:
        return self._performer.opened(self._blobs.open(APPS, record.blob))

    def _verified(self, came: _Came) -> PackageFacts:
        with self._blobs.open(APPS, came.blob) as opened:
            return self._verify.package(opened, came.digest)

    async def _stored(self, chunks: AsyncIterator[bytes]) -> _Came:
        return await pour(self._room, chunks, lambda pipe: self._performer.compute(self._store, pipe))

    def _store(self, pipe: Pipe) -> _Came:
        hasher, size_bytes = sha256(), 0

        def digested() -> Iterator[bytes]:
            nonlocal size_bytes
            for chunk in pipe:
                hasher.update(chunk)
                size_bytes += len(chunk)
                yield chunk

        try:
            blob = self._blobs.put(APPS, digested(), durable=True, limit=self._limit_bytes)
        finally:
            pipe.abandon()
        return _Came(f"sha256:{hasher.hexdigest()}", blob, size_bytes)

    def _remove(self, record: AppRecord) -> None:
        """The bytes first: a kill in between leaves a record, by which the removal is repeated."""
        self._blobs.discard(APPS, [record.blob])
        self._registry.remove(record.digest)

    def _add(self, came: _Came, facts: PackageFacts, at: float) -> AppRecord:
        self._blobs.size_bytes(APPS, came.blob)  # it may have been removed meanwhile: then this push failed
        known = next((one for one in self._registry.all() if one.digest == came.digest), None)
        signatures = "[]" if known is None else known.signatures
        return self._registry.add(
            AppRecord(came.digest, facts.name, facts.version, came.blob, came.size_bytes, at, signatures)
        )

    def _discard(self, blob: str) -> None:
        """Remove the bytes of a package that was refused, unless they are those of one that is known."""
        if all(one.blob != blob for one in self._registry.all()):
            self._blobs.discard(APPS, [blob])


@dataclass(frozen=True, slots=True)
class _Came:
    """A package that came: its digest, the digest under which its bytes are stored, and its size."""

    digest: str
    blob: str
    size_bytes: int


def view_of(record: AppRecord) -> AppView:
    """What people and silos see of a package."""
    blob = Blob(record.blob, record.size_bytes)
    return AppView(
        record.digest, record.name, record.version, blob, record.pushed_at, record.signatures, record.presets
    )


def _change(kind: Kind, by: str, app: PackageFacts | AppRecord, preset: str = "") -> Change:
    return Change(kind, by, app=f"{app.name}=={app.version}", preset=preset)


def _package(file: OpenBlob, called: str) -> PackageFacts:
    package = read_opened(SourceFile(file.source), file.size_bytes, Path(called))
    return PackageFacts(package.name, package.version)


def _signatures(signatures: bytes, facts: PackageFacts, digest: str) -> None:
    verified(signatures, Signed(facts.name, facts.version, digest))


def _preset(file: OpenBlob, name: str, values: Mapping[str, object]) -> dict[str, Scalar]:
    return check_preset(read_description(_description(file)), name, values)


def _description(file: OpenBlob) -> bytes:
    return description_of(SourceFile(file.source), file.size_bytes)


VERIFY = Verify(_package, _signatures, _preset)
