"""How does a program read the coordinator's audit log?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from septum.client.wire import list_of
from septum.protocol.audit import (
    AuditEvent,
    AuditFilter,
    AuditLine,
    AuditProof,
    Countersignature,
    SignedHead,
)
from septum.protocol.codec import Json, from_json

PAGE = 1000
T = TypeVar("T")


class _Ask(Protocol):
    def __call__(self, method: str, path: str, *, params: Mapping[str, str | list[str]]) -> Json: ...


class AuditClient:
    """`/audit`. What is given as an iterator asks page by page."""

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

    def page(self, wanted: AuditFilter | None = None, *, limit: int = 100, after: int = 0) -> tuple[AuditEvent, ...]:
        """What was recorded and is wanted, newest first, at most `limit`; those that follow event `after`, if not 0."""
        one = wanted or AuditFilter()
        names = ("kind", "by", "run", "silo", "since", "until")
        params = {name: getattr(one, name) for name in names if getattr(one, name)}
        params |= {"limit": str(limit), **({"after": str(after)} if after else {})}
        return list_of(AuditEvent, self._ask("GET", "/audit", params=params))

    def lines(self, *, after: int = 0) -> Iterator[AuditLine]:
        """Every event after event `after`, oldest first, to the byte as it is hashed."""
        return self._all("/audit/lines", AuditLine, after)

    def heads(self, *, after: int = 0) -> Iterator[SignedHead]:
        """Every signed head of more than `after` events."""
        return self._all("/audit/heads", SignedHead, after)

    def countersignatures(self, *, after: int = 0) -> Iterator[Countersignature]:
        """What silos have signed, of heads of more than `after` events."""
        return self._all("/audit/countersignatures", Countersignature, after)

    def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The proof that event `seq` is among the first `size`."""
        return self._proof("inclusion", seq=seq, size=size)

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof that the log of `second` events begins with that of `first`."""
        return self._proof("consistency", first=first, second=second)

    def _proof(self, what: str, **given: int) -> tuple[bytes, ...]:
        params = {name: str(number) for name, number in given.items()}
        found = from_json(AuditProof, self._ask("GET", f"/audit/{what}", params=params))
        return tuple(bytes.fromhex(one) for one in found.hashes)

    def _all(self, path: str, kind: type[T], after: int) -> Iterator[T]:
        following: str | None = str(after) if after else ""
        while following is not None:
            params = {"limit": str(PAGE), **({"after": following} if following else {})}
            page = self._ask("GET", path, params=params)
            yield from list_of(kind, page)
            found = page.get("next") if isinstance(page, dict) else None
            following = found if isinstance(found, str) else None
