"""What stands in for a database, a disk and a clock in a test? Fakes that keep the ports' contracts, in memory.

They pass the same contract suites as the real adapters (see `septum.testing.contracts`), so a test that passes with
them says something about the real ones. They are not mocks: nothing is recorded, nothing is scripted.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from septum.adapters.blobs.names import check_area, check_digest, check_sender
from septum.adapters.store.missing import not_found, preset_not_found, taken
from septum.errors import AuthError, ConflictError, DigestError, NotFoundError, TooLargeError
from septum.ports.accounts import NOTHING_SAID, SiloAccount
from septum.ports.apps import AppRecord
from septum.ports.blobs import KEPT_OF_SENDER, OffsetError, OpenBlob
from septum.ports.registry import SiloRecord, not_theirs
from septum.ports.run_keys import SALT_BYTES, refuse_shredded
from septum.ports.store import ALL_RUNS, JournalEntry, Listed, Pending, RunFilter, StoredRun, Transition, listed_of
from septum.protocol.codec import Scalar, dumps, to_json
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.facts import Fact, ModelMade, RunEnded
from septum.protocol.feed import Change, FeedEntry, FeedFilter, Kind, Sight
from septum.protocol.plan import digest_of
from septum.protocol.rights import FIRST_ORGANISATION
from septum.protocol.run_state import Phase, Run
from septum.protocol.sources import source_of
from septum.protocol.views import JournalView


class FakeClock:
    """A clock that goes on only when told to.

    >>> clock = FakeClock(unix=1000.0)
    >>> clock.advance(2.5)
    >>> clock.unix(), clock.monotonic()
    (1002.5, 2.5)
    """

    def __init__(self, *, unix: float = 1_700_000_000.0, monotonic: float = 0.0) -> None:
        self._unix = unix
        self._monotonic = monotonic

    def unix(self) -> float:
        """Seconds since 1970, UTC. May jump."""
        return self._unix

    def monotonic(self) -> float:
        """Seconds since some moment. Never goes back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds} s; only the unix clock may jump: use jump")
        self._unix += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the unix clock forward or, if negative, back, as an administrator or NTP would."""
        self._unix += seconds


@dataclass(slots=True)
class _RunRecord:
    stored: StoredRun
    outbox: dict[int, Pending] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)


class MemoryRunStore:
    """Runs and their salts in memory. See `ports.store.RunStore` and `ports.run_keys.RunKeyStore` for the contracts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, _RunRecord] = {}
        self._effects = 0
        self._salts: dict[str, bytes] = {}
        self._with_files: set[str] = set()

    def create(
        self, run: Run, facts: Sequence[Fact], *, at: float, project: str = "", submitter: str = ""
    ) -> StoredRun:
        """Add a run at version 1, of a project and a submitter for ever. Raises ConflictError when the id is taken."""
        with self._lock:
            if run.id in self._runs:
                raise ConflictError(f"there is already a run {run.id!r}", hint=f"septum run show {run.id}")
            record = self._runs[run.id] = _RunRecord(StoredRun(run, 1, at, project, submitter))
            _note(record, facts, at)
            self._salts[run.id] = secrets.token_bytes(SALT_BYTES)
            return record.stored

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        """Apply transitions of different runs at once; the new outbox entries of each, in order."""
        with self._lock:
            for transition in transitions:  # all of them, before the first is applied
                self._check(transition)
            return tuple(self._apply(transition, at) for transition in transitions)

    def _check(self, transition: Transition) -> None:
        run_id = transition.run.id
        version = self._known(run_id).stored.version
        if version != transition.version:
            raise ConflictError(
                f"run {run_id} is at version {version}, but this change follows version {transition.version}",
                hint=f"septum run show {run_id}, and try again",
            )

    def _apply(self, transition: Transition, at: float) -> tuple[Pending, ...]:
        record = self._runs[transition.run.id]
        record.stored = replace(record.stored, run=transition.run, version=transition.version + 1)
        for done in transition.performed:
            record.outbox.pop(done, None)
        new = tuple(
            Pending(self._effects + number, effect) for number, effect in enumerate(transition.effects, start=1)
        )
        self._effects += len(new)
        record.outbox.update({pending.id: pending for pending in new})
        _note(record, transition.facts, at, transition.times)
        return new

    def get(self, run_id: str) -> StoredRun:
        """One run. Raises NotFoundError with the ids that are close."""
        with self._lock:
            return self._known(run_id).stored

    def project_of(self, run_id: str) -> str:
        """The project of a run. Raises NotFoundError with the ids that are close."""
        return self.get(run_id).project

    def runs_with_model(self, digest: str) -> Sequence[str]:
        """The ids of the runs that have made a model, newest first."""
        with self._lock:
            found = [record.stored for record in self._runs.values() if digest in _made(record)]
            return [stored.run.id for stored in sorted(found, key=_age, reverse=True)]

    def salt(self, run_id: str) -> bytes | None:
        """A run's salt: `ports.run_keys.RunKeyStore`."""
        with self._lock:
            record = self._runs.get(run_id)
            if record is not None:
                refuse_shredded(run_id, record.stored.shredded_by, record.stored.shredded_at)
            return self._salts.get(run_id)

    def shred(self, run_id: str, *, by: str, at: float) -> None:
        """Delete a run's salt for good."""
        with self._lock:
            record = self._known(run_id)
            if record.stored.run.phase is not Phase.ENDED:
                raise ConflictError(f"run {run_id} has not ended", hint=f"septum run stop {run_id}")
            if self._salts.pop(run_id, None) is not None:
                record.stored = replace(record.stored, shredded_at=at, shredded_by=by)
                self._with_files.add(run_id)

    def with_files(self) -> Sequence[str]:
        """The shredded runs of which files may be left."""
        return sorted(self._with_files)

    def files_gone(self, run_id: str) -> None:
        """No file of a shredded run is left."""
        self._with_files.discard(run_id)

    def page(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[StoredRun]:
        """Runs that are `wanted`, newest first, at most `limit`, starting after the run id `before`."""
        with self._lock:
            found = (record.stored for record in self._runs.values() if _is_wanted(record.stored, wanted))
            newest_first = sorted(found, key=_age, reverse=True)
            if before:
                bound = _age(self._known(before).stored)
                newest_first = [stored for stored in newest_first if _age(stored) < bound]
            return newest_first[:limit]

    def listed(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[Listed]:
        """The same runs as lists show them."""
        return [listed_of(stored) for stored in self.page(limit=limit, before=before, wanted=wanted)]

    def unfinished(self) -> Sequence[tuple[StoredRun, tuple[Pending, ...]]]:
        """Every run that has not ended, or whose outbox is not empty, oldest first, with its outbox in order."""
        with self._lock:
            records = sorted(self._runs.values(), key=lambda record: _age(record.stored))
            return [
                (record.stored, tuple(record.outbox.values()))
                for record in records
                if record.outbox or record.stored.run.phase is not Phase.ENDED
            ]

    def journal(
        self, run_id: str, *, after: int = 0, limit: int = 1000, kinds: Collection[type[Fact]] = ()
    ) -> Sequence[JournalEntry]:
        """At most `limit` entries of the journal after entry `after`, in order. Raises NotFoundError."""
        with self._lock:
            found = self._known(run_id).journal[after:]
            return [entry for entry in found if not kinds or type(entry.fact) in kinds][:limit]

    def journal_json(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, bytes]]:
        """The same, each as its number and the canonical JSON of its view."""
        entries = self.journal(run_id, after=after, limit=limit)
        views = (JournalView(entry.seq, entry.at, entry.fact) for entry in entries)
        return [(view.seq, dumps(to_json(view))) for view in views]

    def _known(self, run_id: str) -> _RunRecord:
        if run_id not in self._runs:
            raise not_found("run", run_id, list(self._runs))
        return self._runs[run_id]


def _note(record: _RunRecord, facts: Sequence[Fact], at: float, times: Sequence[float] = ()) -> None:
    happened = zip(facts, times or [at] * len(facts), strict=True)
    first = len(record.journal) + 1
    record.journal.extend(JournalEntry(seq, when, fact) for seq, (fact, when) in enumerate(happened, start=first))
    ends = [entry.at for entry in record.journal if isinstance(entry.fact, RunEnded)]
    ended_at = ends[-1] if ends and record.stored.run.phase is Phase.ENDED else None
    record.stored = replace(record.stored, ended_at=ended_at)


def _made(record: _RunRecord) -> set[str]:
    return {entry.fact.model.digest for entry in record.journal if isinstance(entry.fact, ModelMade)}


def _is_wanted(stored: StoredRun, wanted: RunFilter) -> bool:
    app = stored.run.plan.app
    return (
        (wanted.projects is None or stored.project in wanted.projects)
        and wanted.app in ("", app.name)
        and wanted.version in ("", app.version)
        and (wanted.ended is None or stored.run.outcome in wanted.ended or stored.run.id in wanted.these)
        and wanted.name in ("", stored.run.plan.name)
        and wanted.submitter in ("", stored.submitter)
        and stored.created_at >= wanted.since
        and (wanted.asking is None or _asked(stored) or stored.run.id in wanted.asking)
        and any(
            wanted.text.lower() in one.lower()
            for one in (stored.run.id, stored.run.plan.name, app.name, stored.submitter)
        )
    )


def _asked(stored: StoredRun) -> bool:
    return stored.run.outcome is not None and stored.run.plan.query is not None


def _age(stored: StoredRun) -> tuple[float, str]:
    return stored.created_at, stored.run.id


@dataclass(slots=True)
class _Invitation:
    token_hash: bytes
    expires_at: float
    burned: bool = False


class MemoryApps:
    """Packages' records in memory. See `ports.apps.AppRegistry` for the contract."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._apps: dict[str, AppRecord] = {}
        self._removed: dict[tuple[str, str], str] = {}

    def add(self, record: AppRecord) -> AppRecord:
        """Know a package, or replace the signatures of one that is known."""
        with self._lock:
            removed = self._removed.get((record.name, record.version), record.digest)
            if removed != record.digest:
                raise taken(record, removed, removed=True)
            self._removed.pop((record.name, record.version), None)
            of_version = [
                one for one in self._apps.values() if (one.name, one.version) == (record.name, record.version)
            ]
            for known in of_version:
                if known.digest != record.digest:
                    raise taken(record, known.digest, removed=False)
                record = replace(known, signatures=record.signatures)
            kept = self._apps.get(record.digest)
            self._apps[record.digest] = replace(record, presets={} if kept is None else kept.presets)
            return self._apps[record.digest]

    def get(self, digest: str) -> AppRecord:
        """One package. Raises NotFoundError."""
        with self._lock:
            return self._known(digest)

    def all(self) -> Sequence[AppRecord]:
        """Every package, by name, the newest push first."""
        with self._lock:
            return sorted(self._apps.values(), key=lambda one: (one.name, -one.pushed_at, one.digest))

    def set_preset(self, digest: str, name: str, values: Mapping[str, Scalar]) -> AppRecord:
        """Give a package a preset, in place of one of that name."""
        with self._lock:
            known = self._known(digest)
            self._apps[digest] = replace(known, presets={**known.presets, name: dict(values)})
            return self._apps[digest]

    def drop_preset(self, digest: str, name: str) -> AppRecord:
        """Take a preset back. Raises NotFoundError."""
        with self._lock:
            known = self._known(digest)
            if name not in known.presets:
                raise preset_not_found(known, name)
            rest = {other: values for other, values in known.presets.items() if other != name}
            self._apps[digest] = replace(known, presets=rest)
            return self._apps[digest]

    def remove(self, digest: str) -> None:
        """Forget a package and its presets; one that is not there is ignored."""
        with self._lock:
            gone = self._apps.pop(digest, None)
            if gone is not None:
                self._removed[gone.name, gone.version] = digest

    def _known(self, digest: str) -> AppRecord:
        if digest not in self._apps:
            raise NotFoundError(f"there is no app {digest!r}")
        return self._apps[digest]


class MemoryFeed:
    """The feed in memory. See `ports.feed.FeedStore` for the contract; it takes every write for one that changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[FeedEntry] = []
        self._newest = 0

    @contextmanager
    def telling(self, changes: Sequence[Change], *, at: float) -> Iterator[None]:
        """What is written while this is open adds these."""
        yield
        self.add(changes, at=at)

    def add(self, changes: Sequence[Change], *, at: float) -> None:
        """Add what nothing else was written for."""
        with self._lock:
            for change in changes:
                self._newest += 1
                self._entries.append(FeedEntry(self._newest, at, change))

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[FeedEntry]:
        """At most `limit` entries after entry `seq`, in order."""
        with self._lock:
            return [entry for entry in self._entries if entry.seq > seq][:limit]

    def page(self, sight: Sight, wanted: FeedFilter, *, limit: int, before: int = 0) -> Sequence[FeedEntry]:
        """At most `limit` entries that are in sight and wanted, newest first."""
        with self._lock:
            found = [one for one in self._entries if sight.sees(one.change) and wanted.wants(one.change)]
        return [one for one in reversed(found) if not before or one.seq < before][:limit]

    def newest(self) -> int:
        """The number of the newest entry; 0 where there is none."""
        with self._lock:
            return self._entries[-1].seq if self._entries else 0

    def silos_online(self) -> Mapping[str, bool]:
        """Of each silo of which it is known: whether it was told last that it is online, or that it is offline."""
        kinds = {Kind.SILO_ONLINE: True, Kind.SILO_OFFLINE: False}
        with self._lock:
            return {one.change.silo: kinds[one.change.kind] for one in self._entries if one.change.kind in kinds}

    def trim(self, keep: int) -> int:
        """Forget all but the newest `keep` entries; how many went."""
        with self._lock:
            gone = max(0, len(self._entries) - keep)
            del self._entries[:gone]
            return gone


class MemoryRegistry:
    """Silos in memory. See `ports.registry.SiloRegistry` for the contract."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silos: dict[str, SiloRecord] = {}
        self._invitations: dict[str, _Invitation] = {}

    def invite(
        self,
        silo: str,
        token_hash: bytes,
        *,
        expires_at: float,
        organisation: str = FIRST_ORGANISATION,
        renew: bool = False,
    ) -> None:
        """Let `silo` come in once. Raises ConflictError when it is enrolled and not revoked, or is another one's."""
        with self._lock:
            known = self._silos.setdefault(silo, SiloRecord(silo, b"", 0.0, 0.0, organisation=organisation))
            if known.organisation != organisation:
                raise not_theirs(silo)
            if known.public_key and not known.revoked and not renew:
                raise ConflictError(f"silo {silo!r} is already enrolled", hint=f"septum silo revoke {silo}")
            self._invitations[silo] = _Invitation(token_hash, expires_at)

    def enroll(self, silo: str, token_hash: bytes, public_key: bytes, *, at: float) -> SiloRecord:
        """Burn the invitation and know the key. Raises AuthError when no valid invitation fits."""
        with self._lock:
            invitation = self._invitations.get(silo)
            if invitation is None or not hmac.compare_digest(invitation.token_hash, token_hash):
                raise AuthError(f"there is no invitation for silo {silo!r} with this token")
            known = self._silos[silo]
            if invitation.burned:
                if known.public_key != public_key:
                    raise AuthError(f"the invitation of silo {silo!r} has been used by another key")
                return known
            if at >= invitation.expires_at:
                raise AuthError(f"the invitation of silo {silo!r} expired {at - invitation.expires_at:.0f} s ago")
            invitation.burned = True
            self._silos[silo] = replace(known, public_key=public_key, enrolled_at=at, revoked=False)
            return self._silos[silo]

    def get(self, silo: str) -> SiloRecord:
        """One silo. Raises NotFoundError."""
        with self._lock:
            return self._known(silo)

    def all(self) -> Sequence[SiloRecord]:
        """Every enrolled or invited silo, by name."""
        with self._lock:
            return [self._silos[name] for name in sorted(self._silos)]

    def revoke(self, silo: str) -> None:
        """Refuse this silo's key, and an open invitation, from now on. Raises NotFoundError."""
        with self._lock:
            self._silos[silo] = replace(self._known(silo), revoked=True)
            self._invitations.pop(silo, None)

    def seen(self, silos: Sequence[str], *, at: float) -> None:
        """Note that these silos were here."""
        with self._lock:
            for silo in silos:
                if silo in self._silos:
                    known = self._silos[silo]
                    self._silos[silo] = replace(known, seen_at=max(known.seen_at, at))

    def _known(self, silo: str) -> SiloRecord:
        if silo not in self._silos:
            raise not_found("silo", silo, list(self._silos))
        return self._silos[silo]


class MemoryAccounts:
    """What silos have said of themselves, in memory. See `ports.accounts.SiloAccounts` for the contract."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry
        self._accounts: dict[str, SiloAccount] = {}

    def describe(self, silo: str, description: SiloDescription, *, at: float) -> None:
        """Keep what a silo says of itself. Raises NotFoundError."""
        self._registry.get(silo)
        known = self._accounts.get(silo, NOTHING_SAID)
        self._accounts[silo] = replace(known, description=description, described_at=at)

    def stand(self, silo: str, standing: Standing, *, at: float) -> None:
        """Keep whether a silo is paused. Raises NotFoundError."""
        self._registry.get(silo)
        known = self._accounts.get(silo, NOTHING_SAID)
        self._accounts[silo] = replace(known, standing=standing, stood_at=at)

    def accounts(self) -> Mapping[str, SiloAccount]:
        """What each silo has said that has said anything, by name."""
        return dict(sorted(self._accounts.items()))


@dataclass(slots=True)
class FakeSpan:
    """A span as it was told. `ended_at`: None while it is open."""

    name: str
    parent: str
    began_at: float
    about: Mapping[str, str | int]
    ended_at: float | None = None
    problem: str = ""


class MemorySpans:
    """Spans in memory, by traceparent. See `ports.spans.Spans` for the contract."""

    def __init__(self) -> None:
        self.spans: dict[str, FakeSpan] = {}
        self.closed = False

    def begin(self, name: str, *, at: float, parent: str = "", about: Mapping[str, str | int] | None = None) -> str:
        """A span; its traceparent has that of its trace in it."""
        number = len(self.spans) + 1
        trace = parent.split("-")[1] if parent else f"{number:032x}"
        traceparent = f"00-{trace}-{number:016x}-01"
        self.spans[traceparent] = FakeSpan(name, parent, at, dict(about or {}))
        return traceparent

    def end(self, traceparent: str, *, at: float, problem: str = "") -> None:
        """It is over."""
        span = self.spans.get(traceparent)
        if span is not None and span.ended_at is None:
            span.ended_at, span.problem = at, problem

    def close(self) -> None:
        """Nothing more comes."""
        self.closed = True


class MemoryBlobs:
    """Blobs in memory. See `ports.blobs.BlobStore` for the contract."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._areas: dict[str, dict[str, bytes]] = {}
        self._cut: dict[tuple[str, str, str], bytes] = {}  # area, digest, sender; the newest last
        self._appending: set[tuple[str, str, str]] = set()

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`."""
        del durable  # memory is as durable as it gets
        check_area(area)
        if digest:
            check_digest(digest)
        whole = _whole(data, limit)
        found = digest_of(whole)
        if digest and found != digest:
            raise DigestError(f"the bytes that were announced as {digest} have the digest {found}")
        with self._lock:
            self._areas.setdefault(area, {})[found] = whole
        return found

    def append(
        self, area: str, digest: str, data: Iterable[bytes], *, sender: str, start: int = 0, limit: int = 0
    ) -> None:
        """Store the blob whose bytes from `start` to the end these are; what comes before a cut is kept."""
        key = (check_area(area), check_digest(digest), check_sender(sender))
        with self._lock:
            if key in self._appending:
                raise ConflictError(f"{digest} is on its way from {sender!r} already")
            here = len(self._cut.get(key, b""))
            if start not in (0, here):
                raise OffsetError(f"of {digest}, {here} bytes are here, but byte {start} comes next", offset=here)
            whole = bytearray(self._cut.pop(key, b"")[:start])
            self._appending.add(key)
        try:
            self._append(key, digest, whole, data, limit)
        finally:
            with self._lock:
                self._appending.discard(key)

    def _append(
        self, key: tuple[str, str, str], digest: str, whole: bytearray, data: Iterable[bytes], limit: int
    ) -> None:
        try:
            for chunk in data:
                whole += chunk
                if limit and len(whole) > limit:
                    break
        except BaseException:
            self._keep(key, bytes(whole))
            raise
        if limit and len(whole) > limit:
            raise TooLargeError(f"these bytes are more than {limit}, the limit for this blob")
        found = digest_of(bytes(whole))
        if found != digest:
            raise DigestError(f"the bytes that were announced as {digest} have the digest {found}")
        with self._lock:
            if key not in self._appending:
                raise ConflictError(f"{key[0]!r} was dropped while {digest} arrived")
            self._areas.setdefault(key[0], {})[digest] = bytes(whole)

    def _keep(self, key: tuple[str, str, str], data: bytes) -> None:
        with self._lock:
            if data and key in self._appending:  # else its area was dropped
                self._cut[key] = data
            others = [one for one in self._cut if one[2] == key[2]]
            for one in others[:-KEPT_OF_SENDER]:
                del self._cut[one]

    def share(self, area: str, digest: str, into: str) -> None:
        """Have a blob in another area as well. Raises NotFoundError."""
        check_area(into)
        with self._lock:
            self._areas.setdefault(into, {})[digest] = self._known(area, digest)

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        """How many bytes of a sender's cut upload are here."""
        key = (check_area(area), check_digest(digest), check_sender(sender))
        with self._lock:
            return len(self._cut.get(key, b""))

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError."""
        with self._lock:
            return self._known(area, digest)

    @contextmanager
    def open(self, area: str, digest: str, *, last: bool = False) -> Iterator[OpenBlob]:
        """A blob, to be read. Raises NotFoundError."""
        del last
        with self._lock:
            data = self._known(area, digest)
        yield OpenBlob(source_of(data))

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""
        with self._lock:
            return len(self._known(area, digest))

    def digests(self, area: str) -> Sequence[str]:
        """Every blob of an area, in order."""
        with self._lock:
            return sorted(self._areas.get(check_area(area), ()))

    def free_bytes(self) -> int:
        """As if it were a disk."""
        return 2**40

    def used_bytes(self) -> int:
        """The sizes of all blobs, and of what is kept of cut uploads."""
        with self._lock:
            blobs = [data for area in self._areas.values() for data in area.values()]
            return sum(map(len, [*blobs, *self._cut.values()]))

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""
        check_area(area)
        for digest in digests:
            check_digest(digest)
        with self._lock:
            for digest in digests:
                self._areas.get(area, {}).pop(digest, None)

    def drop(self, area: str) -> None:
        """Forget a whole area."""
        check_area(area)
        with self._lock:
            self._areas.pop(area, None)
            self._cut = {key: data for key, data in self._cut.items() if key[0] != area}
            self._appending = {key for key in self._appending if key[0] != area}

    def _known(self, area: str, digest: str) -> bytes:
        check_digest(digest)
        data = self._areas.get(check_area(area), {}).get(digest)
        if data is None:
            raise NotFoundError(f"there is no blob {digest} in {area!r}")
        return data


def _whole(data: bytes | Iterable[bytes], limit: int) -> bytes:
    whole = bytearray()
    for chunk in (data,) if isinstance(data, bytes) else data:
        whole += chunk
        if limit and len(whole) > limit:
            raise TooLargeError(f"these bytes are more than {limit}, the limit for this blob")
    return bytes(whole)
