"""Which silos, with which keys, make a federation? A roster says so; administrators sign it, not the coordinator.

A roster counts when `threshold` of its own administrators signed it and, unless it is the first that a silo sees, as
many as the roster before asks for of that one's administrators: the rule by which TUF replaces its root keys (The
Update Framework specification 1.0, section 5.3). Rosters form a chain by `serial` and `previous`. The signatures
themselves are checked by a function that is passed in. See docs/decisions/0009-the-roster.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from septum.errors import AuthError, ConfigError, ConflictError, MessageError
from septum.protocol.codec import decode, dumps, encode, to_json
from septum.protocol.plan import MAX_SILOS, check_silo_name
from septum.protocol.versions import Sides, Wire

MAX_ADMINISTRATORS = 100
MAX_SIGNATURES = 2 * MAX_ADMINISTRATORS  # those of this roster and of the one before
MAX_SERIAL = 10**9

ROSTER = Wire("septum-roster", 1, advice="upgrade septum on {older}")
SIDES = Sides("the roster", "this septum")

_DOMAIN = b"septum-roster-v1\0"  # no other bytes that these keys sign begin so
_KEY = re.compile(r"ed25519:[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.@_-]{0,62}[a-z0-9])?")

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, 32 bytes; message; signature, 64 bytes) -> whether it holds: Ed25519, RFC 8032."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Who takes part in a federation, and who may change that.

    serial          1, and one more for each roster after it
    threshold       how many administrators have to sign
    administrators  name -> key; the keys lie with people, not with the coordinator
    silos           name -> key, `ed25519:` and 64 hex digits: the one that the silo made when it enrolled
    previous        the digest of the roster before; empty for serial 1
    """

    federation: str
    serial: int
    threshold: int
    administrators: Mapping[str, str]
    silos: Mapping[str, str]
    previous: str = ""

    def __post_init__(self) -> None:
        _check_name("the federation's name", self.federation)
        if not 1 <= self.serial <= MAX_SERIAL:
            raise ConfigError(f"roster: the serial is {self.serial}, 1 to {MAX_SERIAL} are possible")
        if bool(self.previous) != (self.serial > 1):
            raise ConfigError(f"roster {self.serial}: every roster but the first names the one before, by its digest")
        if self.previous and not _DIGEST.fullmatch(self.previous):
            raise ConfigError(f"roster {self.serial}: {self.previous[:80]!r} is no digest of a roster")
        _check_count("administrators", len(self.administrators), MAX_ADMINISTRATORS)
        _check_count("silos", len(self.silos), MAX_SILOS)
        if not 1 <= self.threshold <= len(self.administrators):
            raise ConfigError(
                f"roster: {self.threshold} administrators would have to sign, there are {len(self.administrators)}",
                hint=f"a threshold of 1 to {len(self.administrators)}",
            )
        for name in self.administrators:
            _check_name("an administrator's name", name)
        for name in self.silos:
            check_silo_name(name)
        _check_keys(self.administrators, self.silos)

    @property
    def signed_bytes(self) -> bytes:
        """What administrators sign: canonical, and not to be mistaken for anything else that a key signs."""
        return _DOMAIN + dumps(to_json(self))

    @property
    def digest(self) -> str:
        """The roster's name: `sha256:` over what is signed. Signatures are not in it, so it is known before them."""
        return f"sha256:{hashlib.sha256(self.signed_bytes).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One administrator's: under which key, and 128 hex digits."""

    key: str
    value: str

    def __post_init__(self) -> None:
        key_bytes(self.key)
        if not _SIGNATURE.fullmatch(self.value):
            raise ConfigError(f"{self.value[:40]!r} is no signature: 128 hex digits, lower case")


@dataclass(frozen=True, slots=True)
class SignedRoster:
    """A roster with the signatures that it has so far."""

    roster: Roster
    signatures: tuple[Signature, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.signatures) > MAX_SIGNATURES:
            raise ConfigError(f"a roster with {len(self.signatures)} signatures; at most {MAX_SIGNATURES}")

    def with_signature(self, signature: Signature) -> SignedRoster:
        """The same with one more; a key's newest signature replaces its older one. Sorted, so equal sets are equal."""
        by_key = {one.key: one for one in (*self.signatures, signature)}
        return replace(self, signatures=tuple(by_key[key] for key in sorted(by_key)))


# --- bytes ---------------------------------------------------------------------------------------------------------


def write_roster(signed: SignedRoster) -> bytes:
    """The document: canonical JSON and a line's end."""
    return encode(signed, ROSTER) + b"\n"


def read_roster(document: bytes) -> SignedRoster:
    """The roster in a document. Raises MessageError, also where the bytes are not exactly those of `write_roster`.

    So two documents that differ are never one roster: no space, escape or order of fields is free to vary.
    """
    signed = cast("SignedRoster", decode(SignedRoster, document, SIDES, ROSTER))
    if write_roster(signed) != document:
        raise MessageError(
            "this roster was reformatted: its bytes are not the canonical ones", hint="septum roster show"
        )
    return signed


def key_bytes(key: str) -> bytes:
    """The 32 bytes of a key's text. Raises ConfigError.

    >>> key_bytes("ed25519:" + "00" * 32) == bytes(32)
    True
    """
    if not _KEY.fullmatch(key):
        raise ConfigError(
            f"{key[:80]!r} is no public key: `ed25519:` and 64 hex digits, lower case",
            hint="septum silo key --dir DIR prints a silo's, septum roster key FILE an administrator's",
        )
    return bytes.fromhex(key.removeprefix("ed25519:"))


def key_text(public: bytes) -> str:
    """The text of a raw public key.

    >>> key_text(bytes(32))[:12]
    'ed25519:0000'
    """
    return f"ed25519:{public.hex()}"


def fingerprint(key: str) -> str:
    """What two people compare on the phone: 32 hex digits in groups of four, from a hash of the key.

    128 bits: nobody finds a second key with the same one.

    >>> fingerprint("ed25519:" + "00" * 32)
    '9559 a4ac ec1c 3edb a083 775d 7b28 39d3'
    """
    digits = hashlib.sha256(b"septum-key-fingerprint-v1\0" + key_bytes(key)).hexdigest()[:32]
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


# --- rules ---------------------------------------------------------------------------------------------------------


def signers(signed: SignedRoster, of: Roster, verify: Verify) -> tuple[str, ...]:
    """Which administrators of the roster `of` signed this one, by name: each once, and only where it holds."""
    message = signed.roster.signed_bytes
    held = {
        one.key
        for one in signed.signatures
        if one.key in of.administrators.values() and verify(key_bytes(one.key), message, bytes.fromhex(one.value))
    }
    return tuple(name for name, key in sorted(of.administrators.items()) if key in held)


def check_first(signed: SignedRoster, verify: Verify) -> None:
    """Whether enough of its own administrators signed it. Raises AuthError naming who did.

    This says nothing about who they are: whoever pins a first roster compares its digest with a person's.
    """
    _check_signed(signed, signed.roster, verify)


def check_next(pinned: Roster, signed: SignedRoster, verify: Verify) -> None:
    """Whether this roster may follow the pinned one. Raises ConflictError for its place in the chain, or AuthError."""
    following, known = signed.roster, f"roster {pinned.serial} of {pinned.federation!r}"
    if following.federation != pinned.federation:
        raise ConflictError(f"this roster is of the federation {following.federation!r}, pinned is {known}")
    if following.serial <= pinned.serial:
        raise ConflictError(
            f"roster {following.serial} is not newer than {known}, which is pinned: an old one was sent again, or two"
            " were made with one serial",
            hint=f"make the next one from {pinned.digest}: septum roster add-silo",
        )
    if following.serial > pinned.serial + 1:
        raise ConflictError(
            f"roster {following.serial} does not follow {known}: roster {pinned.serial + 1} is missing in between",
            hint="take them one by one: septum silo roster fetch does so",
        )
    if following.previous != pinned.digest:
        raise ConflictError(
            f"roster {following.serial} follows {following.previous}, but {known} is {pinned.digest}",
            hint="ask an administrator which of the two is theirs",
        )
    _check_signed(signed, pinned, verify)
    _check_signed(signed, following, verify)


def _check_signed(signed: SignedRoster, by: Roster, verify: Verify) -> None:
    found = signers(signed, by, verify)
    if len(found) < by.threshold:
        who = f" ({', '.join(found)})" if found else ""
        raise AuthError(
            f"roster {signed.roster.serial} has {len(found)}{who} of the {by.threshold} signatures needed from the "
            f"administrators of roster {by.serial}: {', '.join(sorted(by.administrators))}",
            hint="septum roster sign FILE --key KEYFILE, by each of them",
        )


def diff(old: Roster | None, new: Roster) -> tuple[str, ...]:
    """What changes, in words, with the fingerprints that a steward compares; everything there is without an old one."""
    if old is None:
        lines = [f"first roster of {new.federation!r}", f"have to sign: {new.threshold} of {len(new.administrators)}"]
        return (*lines, *_changes("administrator", {}, new.administrators), *_changes("silo", {}, new.silos))
    before, after = (f"{one.threshold} of {len(one.administrators)}" for one in (old, new))
    lines = [] if before == after else [f"have to sign: {before} -> {after}"]
    lines += _changes("administrator", old.administrators, new.administrators)
    return (*lines, *_changes("silo", old.silos, new.silos))


def _changes(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    lines = [f"{what} removed: {name}" for name in sorted(old.keys() - new.keys())]
    lines += [f"{what} added: {name}, key {fingerprint(new[name])}" for name in sorted(new.keys() - old.keys())]
    changed = [name for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    told = ((name, fingerprint(old[name]), fingerprint(new[name])) for name in changed)
    return lines + [f"{what} has another key: {name}, {before} -> {after}" for name, before, after in told]


def check_silos(roster: Roster, silos: Sequence[str], own_name: str, own_key: str) -> str | None:
    """Why these silos may not train together by this roster; None if they may.

    >>> key = "ed25519:" + "0" * 63
    >>> roster = Roster("f", 1, 1, {"ann": key + "1"}, {"north": key + "2"})
    >>> check_silos(roster, ["north", "south"], "north", key + "2")
    'roster 1 does not have the silo south'
    """
    if own_name not in roster.silos:
        return f"roster {roster.serial} does not have this silo, {own_name}"
    if roster.silos[own_name] != own_key:
        return f"roster {roster.serial} has another key for this silo, {own_name}"
    missing = [silo for silo in silos if silo not in roster.silos]
    if missing:
        return f"roster {roster.serial} does not have the silo{'s' * (len(missing) > 1)} {', '.join(missing[:10])}"
    return None


# --- checks of a roster's own values -------------------------------------------------------------------------------


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"roster: {name[:80]!r} cannot be {what}", hint="1 to 64 lower-case letters, digits and .@_- inside"
        )


def _check_count(what: str, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise ConfigError(f"a roster has 1 to {limit} {what}, not {count}")


def _check_keys(administrators: Mapping[str, str], silos: Mapping[str, str]) -> None:
    """One key, one holder: a person with two names would sign twice, a machine with two names would be two silos.

    A silo's key lies on a machine that runs unattended; with it alone nobody is to make rosters.
    """
    holders: dict[bytes, str] = {}
    for kind, keys in (("administrator", administrators), ("silo", silos)):
        for name, key in sorted(keys.items()):
            raw, holder = key_bytes(key), f"{kind} {name!r}"
            if raw in holders:
                raise ConfigError(f"roster: {holders[raw]} and {holder} have the same key", hint="each makes its own")
            holders[raw] = holder
