"""How does somebody come from `septum demo --console` into the console? By a link that signs in once.

The demo signs in as the administrator of the first start, with a password that it makes and shows: it is the owner of
this federation, which ends with the demo.
"""

from __future__ import annotations

import json
import secrets
import threading
import webbrowser
from typing import TYPE_CHECKING

from septum.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from septum.cli.command import Invocation
    from septum.cli.federation import Federation
    from septum.sdk.package import LoadedApp
    from septum.sdk.package_file import Package


def need_console() -> None:
    """Raise ConfigError where the console was not built."""
    from septum.coordinator.web import FOLDER, INDEX  # the coordinator, an extra

    if not (FOLDER / INDEX).is_file():
        raise ConfigError("the web console was not built on this machine", hint="make console, then this again")


def built(app_dir: Path, loaded: LoadedApp, out: Path) -> Package:
    """The demo's app as a package, so that runs of it can be started in the console, too."""
    from septum.sdk.package_file import build  # zip files, which other demos do not write

    out.mkdir()
    return build(app_dir, loaded.app.name, loaded.app.fields, out)


def greet(call: Invocation, federation: Federation, *, open_browser: bool) -> None:
    """Say where the console is, by a link that signs in once."""
    from septum.client import Access, Client, operator_access
    from septum.coordinator.administrator import FILE
    from septum.protocol.people_views import SignIn

    access = operator_access(federation.operator_dir)
    first = json.loads((federation.operator_dir / FILE).read_text())
    password = secrets.token_urlsafe(12)
    with Client(Access(access.url, "", access.ca_file)) as client:
        session = client.people.sign_in(SignIn(first["name"], first["password"], new_password=password))
    with Client(Access(access.url, session.token, access.ca_file)) as client:
        link = f"{federation.console_url}/enter#code={client.people.link().code}"
    call.output.item(
        {"event": "console", "url": federation.console_url, "link": link, "name": first["name"], "password": password},
        f"the console, for this machine alone; the link works once:\n\n  {link}\n\n"
        f"after that: {federation.console_url} as {first['name']} with {password}",
    )
    if open_browser and not webbrowser.open(link):
        call.output.note("no browser was found here: open the link in yours")


def stay(call: Invocation) -> None:
    """Stay up until Ctrl-C or SIGTERM, which may come as soon as it is said."""
    try:
        call.output.item({"event": "staying"}, "the federation stays up: Ctrl-C ends it")
        threading.Event().wait()
    except KeyboardInterrupt:
        call.output.note("ending the federation")
