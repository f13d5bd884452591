"""What is an audit log as a file? Lines of JSON that a third party can check with SHA-256 and Ed25519 alone.

    {"septum-audit":1,"name":...,"key":...}      whose log it is, and under which key its heads are signed
    {"head":{"head":{...},"key":...,...}}        each signed head, of the fewest events first
    {"event":{...},"hash":...}                   each event, in order; `event` is hashed to the byte as it stands there
    {"countersignature":{...}}                   what silos have signed
    {"end":{"events":n,"heads":n,"countersignatures":n}}

A file that was cut has no end; a silo's own log is the lines of its events alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from septum.errors import AuditError, MessageError
from septum.protocol.audit import (
    MAX_EVENT_BYTES,
    AuditEntry,
    Checker,
    Countersignature,
    SignedHead,
    Verify,
    check_signature,
    check_witness,
)
from septum.protocol.codec import Json, dumps, from_json, loads, to_json

VERSION = 1
MAX_LINE_BYTES = MAX_EVENT_BYTES + 4096
_ENTRY = re.compile(rb'\{"event":(\{.*\}),"hash":"([0-9a-f]{64})"\}')


@dataclass(frozen=True, slots=True)
class Checked:
    """What holds of a file.

    head     the newest that was signed; None where there is none
    silos    by silo, of how many events the newest head was that it has countersigned
    """

    events: int
    heads: int
    head: SignedHead | None
    silos: Mapping[str, int] = field(default_factory=dict)


def line_of_entry(entry: AuditEntry) -> bytes:
    """An event as a line, without its end.

    >>> line_of_entry(AuditEntry(b"{}", bytes(32)))[:13]
    b'{"event":{},"'
    """
    return b'{"event":' + entry.event + b',"hash":"' + entry.hash.hex().encode() + b'"}'


def entry_of_line(line: bytes) -> AuditEntry:
    """The event of a line; its bytes are not parsed. Raises MessageError."""
    found = _ENTRY.fullmatch(line) if len(line) <= MAX_LINE_BYTES else None
    if found is None:
        raise MessageError("it is no line of an audit log")
    return AuditEntry(found[1], bytes.fromhex(found[2].decode()))


def write(
    name: str,
    entries: Iterable[AuditEntry],
    heads: Iterable[SignedHead],
    countersignatures: Iterable[Countersignature],
) -> Iterator[bytes]:
    """The lines of a file, each with its end. `heads` are read first: events and signatures may be newer."""
    known = list(heads)
    yield _line({"septum-audit": VERSION, "name": name, "key": known[-1].key if known else ""})
    for signed in known:
        yield _line({"head": to_json(signed)})
    events = 0
    for entry in entries:
        events += 1
        yield line_of_entry(entry) + b"\n"
    sizes = {signed.head.size for signed in known}
    signatures = [one for one in countersignatures if one.size in sizes]
    for one in signatures:
        yield _line({"countersignature": to_json(one)})
    yield _line({"end": {"events": events, "heads": len(known), "countersignatures": len(signatures)}})


def check(lines: Iterable[bytes], verify: Verify, key: str = "") -> Checked:
    """Check a whole file; `key`: the one that the heads have to be signed with, where it is known.

    Raises AuditError naming the first line or event that is wrong.
    """
    found = _File(verify, key)
    for number, line in enumerate(lines, 1):
        found.take(number, line.removesuffix(b"\n"))
    return found.end()


class _File:
    """A file as it is read, in one pass: heads stand before the events that they cover."""

    def __init__(self, verify: Verify, key: str) -> None:
        self._verify = verify
        self._key = key
        self._checker = Checker()
        self._begun = self._ended = False
        self._signed: dict[int, SignedHead] = {}
        self._silos: dict[str, int] = {}
        self._witnesses = 0

    def take(self, number: int, line: bytes) -> None:
        """The next line."""
        if self._ended:
            raise _bad(number, "it stands behind the end")
        try:
            if line.startswith(b'{"event":'):
                self._event(entry_of_line(line))
            else:
                self._other(loads(line, MAX_LINE_BYTES))
        except MessageError as error:
            raise _bad(number, error.message) from error

    def _event(self, entry: AuditEntry) -> None:
        if not self._begun or self._witnesses:
            raise MessageError("an event stands where none belongs")
        self._checker.take(entry)
        if self._checker.size in self._signed:
            self._checker.check_head(self._signed[self._checker.size].head)

    def _other(self, content: Json) -> None:
        match content:
            case {"septum-audit": version, "key": str(key)} if not self._begun:
                if version != VERSION:
                    raise MessageError(f"it is version {version} of an audit log; this septum reads {VERSION}")
                if self._key and key != self._key:
                    raise AuditError(f"this audit log is signed by {key or 'nobody'}, and not by {self._key}")
                self._begun, self._key = True, key
            case {"head": head} if self._begun and not self._checker.size:
                signed = from_json(SignedHead, head)
                check_signature(signed, self._verify, self._key)
                self._signed[signed.head.size] = signed
            case {"countersignature": one} if self._begun:
                self._witness(from_json(Countersignature, one))
            case {"end": {"events": events, "heads": heads, "countersignatures": witnesses}} if self._begun:
                if (events, heads, witnesses) != (self._checker.size, len(self._signed), self._witnesses):
                    raise MessageError("the file has not as many lines as its end says: some are missing")
                self._ended = True
            case _:
                raise MessageError("it is no line of an audit log, or stands where it does not belong")

    def _witness(self, one: Countersignature) -> None:
        if one.size not in self._signed:
            raise AuditError(f"silo {one.silo!r} has signed a head of {one.size} events, and the file has none")
        check_witness(self._signed[one.size].head, one, self._verify)
        self._silos[one.silo] = max(one.size, self._silos.get(one.silo, 0))
        self._witnesses += 1

    def end(self) -> Checked:
        """All lines were seen."""
        if not self._begun:
            raise AuditError("this is no audit log: its first line says whose it is", hint="septum audit export")
        newest = self._signed[max(self._signed)] if self._signed else None
        if newest is not None and newest.head.size > self._checker.size:
            raise AuditError(
                f"the file ends with event {self._checker.size}, and a head of {newest.head.size} events was signed: "
                "the end is missing"
            )
        if not self._ended:
            raise AuditError(f"the file has no end: it was cut after {self._checker.size} events")
        return Checked(self._checker.size, len(self._signed), newest, dict(sorted(self._silos.items())))


def _line(content: Json) -> bytes:
    return dumps(content) + b"\n"


def _bad(number: int, why: str) -> AuditError:
    return AuditError(f"line {number}: {why}")
