"""Which versions of a wire are spoken here? One, and where it has a dialect the one before; others are refused.

To bump septum-protocol: raise `codec.PROTOCOL_VERSION`, and give `codec.SEPTUM` one `Dialect` that makes a message of
the version before into today's and back. Coordinators are upgraded first: a coordinator of version N answers a silo of
version N - 1 in that silo's version. A silo speaks its own version only. See docs/decisions/0002-the-wire.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from septum.errors import MessageError, VersionError

Body = dict[str, object]  # a message as a JSON object, with its `kind`


@dataclass(frozen=True, slots=True)
class Dialect:
    """The version before: `upgrade` makes a message of it today's, `downgrade` makes today's one of it."""

    upgrade: Callable[[Body], Body]
    downgrade: Callable[[Body], Body]


@dataclass(frozen=True, slots=True)
class Sides:
    """Who sent a message and who reads it, as errors name them: they are read on both sides."""

    sender: str
    receiver: str


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire and its versions.

    name     the field that carries the version
    version  the newest that is spoken, and the one that messages are written in
    older    the dialect of the version before, by its number; empty when only `version` is spoken
    advice   what to do about another version; `{older}` stands for the side that is behind
    """

    name: str
    version: int
    older: Mapping[int, Dialect] = field(default_factory=dict)
    advice: str = "upgrade septum on {older}"

    def __post_init__(self) -> None:
        assert set(self.older) <= {self.version - 1}, "one version back, not more: each one is tested for ever"

    @property
    def spoken(self) -> tuple[int, ...]:
        """Every version that is understood, newest first."""
        return (self.version, *self.older)

    def mark(self, body: Body, version: int | None = None) -> Body:
        """The message in a version, which it then carries; by default in the newest."""
        version = self.version if version is None else version
        dialect = self.older.get(version)
        return {**(dialect.downgrade(body) if dialect else body), self.name: version}

    def read(self, body: Body, sides: Sides) -> tuple[Body, int]:
        """The message as today's version has it, and the version that it came in. Raises VersionError."""
        version = body.get(self.name)
        if type(version) is not int:  # True == 1 in Python
            raise MessageError(f"a message of {sides.sender} without its version, {self.name}")
        self.check(version, sides)
        plain = {name: value for name, value in body.items() if name != self.name}
        dialect = self.older.get(version)
        return (dialect.upgrade(plain) if dialect else plain), version

    def check(self, version: int, sides: Sides) -> None:
        """Raises VersionError for a version that is not spoken here, naming both and who has to be upgraded."""
        if version in self.spoken:
            return
        behind = sides.receiver if version > self.version else sides.sender
        ours = " and ".join(str(known) for known in self.spoken)
        theirs = version if abs(version) < 10**9 else "of a number that cannot be"
        raise VersionError(
            f"{sides.sender} speaks {self.name} {theirs}, {sides.receiver} {ours} only",
            hint=self.advice.format(older=behind),
        )
