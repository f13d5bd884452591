"""What does the audit log say, and how is it known that nobody changed it? Chained events under signed tree heads.

Event n is canonical JSON; h_n = SHA-256(h_(n-1) || event n), so what is changed, put elsewhere or left out breaks the
chain there. The same events are the leaves of a Merkle tree (merkle.py), whose root the coordinator signs now and then
in a `TreeHead`: whoever keeps one head finds any other history by a proof of a few hashes. What it does not find:
events that were never recorded, and a history that was made anew before anybody else had seen a head of it.

No event has patient data, a secret, or anything else that the federation's members may not read: names, digests,
counts.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import TypeAlias, cast

from septum.errors import AuditError, MessageError
from septum.protocol.codec import dumps, loads, to_json
from septum.protocol.feed import SAYS as FEED_SAYS
from septum.protocol.feed import Change, Kind
from septum.protocol.merkle import EMPTY_ROOT, grown, is_consistent, leaf_hash, root_of

GENESIS = sha256(b"septum-audit-v1").digest()
MAX_EVENT_BYTES = 48 * 1024  # an event is some hundred bytes; fifteen texts of MAX_TEXT characters at most
MAX_TEXT = 500  # characters of one thing that an event is about
_HEAD_DOMAIN = b"septum-audit-head-v1\0"  # no other bytes that these keys sign begin so
_WITNESS_DOMAIN = b"septum-audit-witness-v1\0"
_HASH = re.compile(r"[0-9a-f]{64}")
_OWN = re.compile(r"[0-9]{1,12}:[0-9a-f]{64}")
_FIELDS = {"seq", "at", "kind", "by", "about"}

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, 32 bytes; message; signature, 64 bytes) -> whether it holds: Ed25519, RFC 8032."""


class AuditKind(Enum):
    """What is recorded besides what the feed tells (`protocol.feed.Kind`)."""

    OPENED = "coordinator.opened"
    LOG_READ = "audit.read"
    SIGNED_IN = "person.signed_in"
    SIGN_IN_REFUSED = "person.sign_in_refused"
    ACCESS_REFUSED = "access.refused"
    REFUSALS = "access.refusals"
    SILO_NOT_KNOWN = "silo.not_known"
    PEOPLE_READ = "people.read"
    LOGS_READ = "logs.read"
    SIGNED_OUT = "person.signed_out"
    PASSWORD_CHANGED = "person.password_changed"  # noqa: S105 - that there is another one
    SECOND_FACTOR = "person.second_factor"
    SUM_UNMASKED = "sum.unmasked"
    MODEL_MADE = "model.made"
    MODEL_DOWNLOADED = "model.downloaded"
    STATISTICS_MADE = "statistics.made"
    SILO_LOG = "silo.audit_log"
    ROSTER_PUSHED = "roster.pushed"
    RESTORED = "coordinator.restored"


AUDIT_SAYS: Mapping[str, str] = types.MappingProxyType(
    {
        AuditKind.OPENED.value: "A coordinator has begun to write here; in a first event `because` says why.",
        AuditKind.LOG_READ.value: "Somebody has read the audit log.",
        AuditKind.SIGNED_IN.value: "A person has signed in.",
        AuditKind.SIGN_IN_REFUSED.value: "Somebody was not let in; `person` only where the name was one.",
        AuditKind.ACCESS_REFUSED.value: "A person or token asked for what it has no right to.",
        AuditKind.REFUSALS.value: "More was refused in a minute than is recorded one by one; `count` says how much.",
        AuditKind.SILO_NOT_KNOWN.value: "A request in a silo's name was refused: its signature, key, time or nonce.",
        AuditKind.PEOPLE_READ.value: "Somebody has looked at people, their roles or tokens.",
        AuditKind.LOGS_READ.value: "Somebody has looked at what a run's processes wrote.",
        AuditKind.SIGNED_OUT.value: "A person has ended their session.",
        AuditKind.PASSWORD_CHANGED.value: "A person has chosen another password; their sessions and tokens have ended.",
        AuditKind.SECOND_FACTOR.value: "A person asks for a second factor from now on, or for none; `is` says which.",
        AuditKind.SUM_UNMASKED.value: "Silos have revealed what takes the masks off a sum of theirs; `transcript` is "
        "the SHA-256 of who took part, with which keys, and what they signed.",
        AuditKind.MODEL_MADE.value: "A round has made a model.",
        AuditKind.MODEL_DOWNLOADED.value: "Somebody has fetched a model.",
        AuditKind.STATISTICS_MADE.value: "Silos have answered a query over their data, all together.",
        AuditKind.SILO_LOG.value: "A silo has told the newest event of its own audit log, by its number and hash.",
        AuditKind.ROSTER_PUSHED.value: "A roster was pushed.",
        AuditKind.RESTORED.value: "Break-glass: the coordinator was put back to what a backup had.",
        **{kind.value: says for kind, says in FEED_SAYS.items()},
    }
)
"""Each kind in one sentence."""

UNRECORDED = frozenset({Kind.SILO_ONLINE, Kind.SILO_OFFLINE})
"""Changes that nobody made: a silo's network comes and goes."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something to be recorded.

    kind   what it is: of the feed, of the coordinator's audit log, or of a silo's
    by     who did it: a person's name, `operator`, `silo:` and a name; empty where nobody did
    about  what it is about, by name: ids, digests, counts
    """

    kind: Enum
    by: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


def record_of(change: Change) -> Record:
    """A change as the audit log has it.

    >>> record_of(Change(Kind.SILO_REVOKED, "ada", silo="basel")).about
    {'silo': 'basel'}
    """
    named = ("run", "silo", "app", "model", "group", "project", "person", "organisation", "token", "preset", "reason")
    about = {name: str(getattr(change, name)) for name in named if getattr(change, name)}
    if change.roles:
        about["roles"] = " ".join(change.roles)
    if change.outcome is not None:
        about["outcome"] = change.outcome.value
    return Record(change.kind, change.by, about)


def records_of(changes: Iterable[Change]) -> list[Record]:
    """Those changes that are recorded."""
    return [record_of(change) for change in changes if change.kind not in UNRECORDED]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A record with its place. `seq` counts from 1; `at` is UTC, as in 2026-01-31T23:59:59.123456Z."""

    seq: int
    at: str
    kind: str
    by: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> bytes:
        """What is hashed: canonical JSON."""
        return dumps(to_json(self))


def event_of(seq: int, record: Record, at: float) -> AuditEvent:
    """The event of a record; `at` is Unix time. Texts that are too long are cut.

    >>> event_of(1, Record(AuditKind.SIGNED_IN, "ada"), 0.5).bytes
    b'{"about":{},"at":"1970-01-01T00:00:00.500000Z","by":"ada","kind":"person.signed_in","seq":1}'
    """
    about = {name: text[:MAX_TEXT] for name, text in record.about.items()}
    return AuditEvent(seq, utc(at), record.kind.value, record.by[:MAX_TEXT], about)


def utc(at: float) -> str:
    """Unix seconds as the log has them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_event(data: bytes) -> AuditEvent:
    """An event from its bytes. Raises MessageError. By hand: the codec takes three times as long, for 10^6 events."""
    value = loads(data, MAX_EVENT_BYTES)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise MessageError("it is not written as events are")
    seq, at, kind, by, about = (value[name] for name in ("seq", "at", "kind", "by", "about"))
    if type(seq) is not int or not isinstance(at, str) or not isinstance(kind, str) or not isinstance(by, str):
        raise MessageError("its fields are not those of an event")
    if not isinstance(about, dict) or not all(type(text) is str for text in about.values()):
        raise MessageError("what it is about are texts by name")
    return AuditEvent(seq, at, kind, by, cast("dict[str, str]", about))


def linked(previous: bytes, event: bytes) -> bytes:
    """h_n of an event behind h_(n-1)."""
    return sha256(previous + event).digest()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event as it is kept: its bytes, and the hash that it and all before it are in."""

    event: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditLine:
    """The same as text: `event` to the byte as it is hashed, `hash` in hex."""

    event: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditProof:
    """Hashes of the tree, in hex, as RFC 6962 orders them."""

    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreeHead:
    """All of a log up to an event: how many there are, the root of their tree, the last hash of their chain; UTC."""

    size: int
    at: str
    root: str
    chain: str

    def __post_init__(self) -> None:
        if self.size < 0 or not (_HASH.fullmatch(self.root) and _HASH.fullmatch(self.chain)):
            raise MessageError("a tree head has a size and two hashes of 64 hex digits")

    @property
    def signed_bytes(self) -> bytes:
        """What the coordinator signs."""
        return _HEAD_DOMAIN + dumps(to_json(self))

    @property
    def witnessed_bytes(self) -> bytes:
        """What a silo signs that has seen it: other bytes, so that neither signature is taken for the other."""
        return _WITNESS_DOMAIN + dumps(to_json(self))


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with its signature: 128 hex digits, under a key `ed25519:` and 64 hex digits."""

    head: TreeHead
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Countersignature:
    """That a silo has seen a head of `size` events and found that it goes on from the one before. UTC."""

    silo: str
    size: int
    key: str
    signature: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """What a silo tells: how many events the last head had that it has seen, and its signature of that head.

    own  the newest event of its own log, as NUMBER:HASH: the coordinator keeps it in its log
    """

    size: int
    witness: Countersignature | None = None
    own: str = ""

    def __post_init__(self) -> None:
        if self.own and not _OWN.fullmatch(self.own):
            raise MessageError("a silo's newest event is NUMBER:HASH")


@dataclass(frozen=True, slots=True)
class HeadShown:
    """The newest head; `proof`, in hex: that it goes on from the one that was seen."""

    head: SignedHead | None
    proof: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are looked for: those for which all of this holds. What is empty holds for all.

    kind          as in run.ended, or what stands before the point, as in run
    run, silo     what is about these
    since, until  UTC, as events have it or the beginning of that: 2026-01-31
    """

    kind: str = ""
    by: str = ""
    run: str = ""
    silo: str = ""
    since: str = ""
    until: str = ""

    def wants(self, event: AuditEvent) -> bool:
        """Whether this is one of them."""
        return (
            self.kind in ("", event.kind, event.kind.partition(".")[0])
            and self.by in ("", event.by)
            and self.run in ("", event.about.get("run", ""))
            and self.silo in ("", event.about.get("silo", ""))
            and event.at >= self.since
            and (not self.until or event.at < self.until)
        )


# --- checking ----------------------------------------------------------------------------------------------------


def check_signature(signed: SignedHead, verify: Verify, key: str = "") -> None:
    """Whether a head is signed, by `key` if that is given. Raises AuditError."""
    if key and signed.key != key:
        raise AuditError(f"the head of {signed.head.size} events is signed by {signed.key}, and not by {key}")
    if not _holds(verify, signed.key, signed.head.signed_bytes, signed.signature):
        raise AuditError(f"the signature under the head of {signed.head.size} events does not hold")


def check_witness(head: TreeHead, witness: Countersignature, verify: Verify) -> None:
    """Whether a silo's countersignature is one of this head. Raises AuditError."""
    if witness.size != head.size or not _holds(verify, witness.key, head.witnessed_bytes, witness.signature):
        raise AuditError(f"what silo {witness.silo!r} signed is not the head of {head.size} events")


def check_goes_on(seen: TreeHead, head: TreeHead, proof: Sequence[bytes]) -> None:
    """Whether a head's history begins with the one that was seen. Raises AuditError where it is another one."""
    if head.size < seen.size:
        raise AuditError(f"the audit log had {seen.size} events and has {head.size} now: it was cut or put back")
    roots = (bytes.fromhex(seen.root), bytes.fromhex(head.root))
    if seen.size and not is_consistent(seen.size, head.size, roots, proof):
        raise AuditError(f"the audit log of {head.size} events does not go on from the {seen.size} that were seen")


@dataclass(slots=True)
class Checker:
    """Checks a log event by event; it stops at the first that is wrong, by an AuditError that names it."""

    size: int = 0
    chain: bytes = GENESIS
    peaks: tuple[bytes, ...] = ()

    def take(self, entry: AuditEntry, nodes: bytes | None = None) -> None:
        """The next event, if it follows from those before. `nodes`: those that it makes complete, where kept."""
        number, chain = self.size + 1, linked(self.chain, entry.event)
        if not entry.event.endswith(b',"seq":%d}' % number):  # sorted keys: it is the last one, and need not be parsed
            raise bad_event(number, _in_its_place(entry.event))
        if chain != entry.hash:
            raise bad_event(number, "its hash is not that of the events up to it")
        peaks, made = grown(self.peaks, self.size, leaf_hash(entry.event))
        if nodes is not None and nodes != b"".join(made):
            raise bad_event(number, "the tree's nodes that are kept with it are other ones")
        self.size, self.chain, self.peaks = number, chain, peaks

    def check_head(self, head: TreeHead) -> None:
        """Whether this is the head of the events so far. Raises AuditError."""
        if (head.size, head.root, head.chain) != (self.size, root_of(self.peaks).hex(), self.chain.hex()):
            raise AuditError(f"the head that was signed over {head.size} events is not that of the events here")

    def head(self, at: str) -> TreeHead:
        """The head of the events so far."""
        return TreeHead(self.size, at, root_of(self.peaks).hex(), self.chain.hex())


def bad_event(number: int, why: str) -> AuditError:
    """That an event does not hold."""
    return AuditError(
        f"audit event {number} does not hold: {why}",
        hint="compare with an export or a backup from before; silos hold heads that were signed",
    )


def _in_its_place(data: bytes) -> str:
    try:
        return f"in its place stands event {read_event(data).seq}"
    except MessageError as error:
        return error.message


def _holds(verify: Verify, key: str, message: bytes, signature: str) -> bool:
    try:
        public, value = bytes.fromhex(key.removeprefix("ed25519:")), bytes.fromhex(signature)
    except ValueError:
        return False
    return key.startswith("ed25519:") and verify(public, message, value)


EMPTY_HEAD = TreeHead(0, "", EMPTY_ROOT.hex(), GENESIS.hex())
