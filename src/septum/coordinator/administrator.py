"""How does the first person get in? The first start makes an administrator with a one-time password.

The password stands in a file of the data directory (mode 0600) and nowhere else, until it was used.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from septum.adapters.identity.keys import write_private
from septum.coordinator.login import secret_hash
from septum.ports.credentials import CredentialStore
from septum.ports.people import PeopleStore, Person
from septum.protocol.codec import dumps
from septum.protocol.rights import Grant, Role

NAME = "admin"
FILE = "admin-password.json"
NEVER = 2.0**53  # Unix time: it waits in its file until somebody comes


def ensure_administrator(data_dir: Path, people: PeopleStore, credentials: CredentialStore, now: float) -> None:
    """See that somebody can come in. A password file that is of no use any more goes."""
    path = data_dir / FILE
    if people.people():
        known = credentials.credentials(NAME)
        if known is None or not known.one_time_hash:
            path.unlink(missing_ok=True)
        return
    path.unlink(missing_ok=True)  # of a first start that was cut short: nobody has used it
    password = secrets.token_urlsafe(24)
    write_private(path, dumps({"name": NAME, "password": password}) + b"\n")
    person = Person(
        NAME, "The administrator of the first start", created_at=now, grants=(Grant(Role.FEDERATION_ADMIN),)
    )
    people.add(person, secret_hash(password), until=NEVER)
