"""People who ask a running coordinator in raw HTTP, with whatever they have got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.coordinator.running import Answer, Running

from septum.protocol.codec import to_json
from septum.protocol.rights import read_grant

API = "/api/v1"
PASSWORD = "a long enough password"


@dataclass
class Visitor:
    """Somebody with a bearer token; empty for none."""

    coordinator: Running
    token: str = ""
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        bearer = {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.coordinator.ask(method, API + path, sent, {**bearer, **self.headers, **given})

    def told(self, method: str, path: str, body: object = None) -> object:
        """The JSON of an answer that has to be a good one."""
        answer = self.ask(method, path, body)
        assert answer.status < 300, answer.body
        return json.loads(answer.body) if answer.body else None

    def items(self, path: str) -> list[dict[str, object]]:
        return self.told("GET", path)["items"]


def operator(coordinator: Running) -> Visitor:
    return Visitor(coordinator, coordinator.access.token, "operator")


def grant(text: str) -> dict[str, object]:
    """A role as the API has it, from ROLE, ROLE@ORGANISATION or ROLE@project:NAME."""
    read = to_json(read_grant(text))
    assert isinstance(read, dict)
    return read


def invited(by: Visitor, name: str, *roles: str, organisation: str = "default") -> str:
    """The one-time password of a new person."""
    body = {"name": name, "organisation": organisation, "grants": [grant(one) for one in roles]}
    return by.told("POST", "/people", body)["password"]


def signed_in(coordinator: Running, name: str, password: str, **more: object) -> Visitor:
    session = Visitor(coordinator).told("POST", "/session", {"name": name, "password": password, **more})
    return Visitor(coordinator, session["token"], name)


def person(coordinator: Running, name: str, *roles: str, organisation: str = "default") -> Visitor:
    """A new person who has come in."""
    once = invited(operator(coordinator), name, *roles, organisation=organisation)
    return signed_in(coordinator, name, once, new_password=PASSWORD)
