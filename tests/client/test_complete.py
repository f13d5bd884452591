"""The client has a method for every route of the public API; and its answers are tables in a notebook."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import get_type_hints

import httpx

from septum.client import Access, Client
from septum.client.wire import Rows
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import PREFIX, create_app
from septum.coordinator.api.examples import PACKAGE, value_of
from septum.errors import SeptumError
from septum.protocol.codec import dumps, to_json
from septum.protocol.html import MAX_ROWS
from septum.protocol.priority import Priority
from septum.protocol.views import AppView, RunView

BY_A_BROWSER = {"oidc_begin", "oidc_callback", "session_enter"}  # it is sent there, and comes back with a cookie


def methods_of(client):
    parts = [client, *(value for value in vars(client).values() if type(value).__module__.startswith("septum.client."))]
    for part in parts:
        for name, method in inspect.getmembers(part, inspect.ismethod):
            if not name.startswith("_") and method != client.close:
                yield method


def arguments_of(method, path):
    hints = get_type_hints(method)
    needed = [one.name for one in inspect.signature(method).parameters.values() if one.default is one.empty]
    for name in needed:
        if hints[name] is Path:
            yield name, path
        else:
            yield name, PACKAGE if name == "digest" and "app" in method.__name__ else value_of(hints[name], name)


def test_every_route_has_a_method(tmp_path):
    document = create_app(ApiParts(*[None] * len(fields(ApiParts)))).openapi()
    routes = {
        operation["operationId"]: (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    asked = set()

    def nobody(request):
        asked.add((request.method, request.url.path))
        if request.method == "PUT" and request.url.path.startswith(f"{PREFIX}/apps/"):  # then the signatures follow
            return httpx.Response(200, content=dumps(to_json(value_of(AppView))))
        return httpx.Response(404, content=dumps({"code": "not_found", "detail": "nothing is here"}))

    client = Client(Access("https://nobody.example", "token"))
    nowhere = httpx.MockTransport(nobody)
    client._connect = partial(httpx.Client, transport=nowhere, base_url=f"https://nobody.example{PREFIX}")
    client._http = client._connect()
    (tmp_path / "file").write_bytes(b"package")
    for method in methods_of(client):
        with suppress(SeptumError):
            found = method(**dict(arguments_of(method, tmp_path / "file")))
            next(iter(found), None) if inspect.isgenerator(found) else None
    client.push_app(tmp_path / "file", PACKAGE, b"[]")
    with suppress(SeptumError):
        next(client.feed.watch(after=1))
    for priority in Priority:
        with suppress(SeptumError):
            client.prioritise("r-1", priority)
    missing = {
        name
        for name, (verb, path) in routes.items()
        if not any(method == verb and path.match(where) for method, where in asked)
    }
    assert missing == BY_A_BROWSER


def test_what_is_shown_in_a_notebook_is_a_table_in_which_no_text_is_code():
    view = replace(value_of(RunView), name="<script>alert(1)</script>", reason='"&')
    for shown in (view._repr_html_(), Rows([view])._repr_html_()):
        assert "<script>" not in shown
        assert "&lt;script&gt;alert(1)" in shown
        assert "&quot;&amp;" in shown
        assert "0.8125" in shown
        assert shown.startswith("<table>")


def test_a_list_is_a_tuple_still_and_shows_no_more_than_one_can_look_at():
    view = value_of(RunView)
    many = Rows([view] * (MAX_ROWS + 5))
    assert many == (view,) * (MAX_ROWS + 5)
    assert many._repr_html_().count("<tr>") == MAX_ROWS + 1
    assert many._repr_html_().endswith("<p>and 5 more</p>")
    assert Rows()._repr_html_() == "<p>none</p>"


def test_a_secret_is_in_no_table():
    from septum.protocol.people_views import MadeToken

    made = value_of(MadeToken)
    assert made.token not in Rows([made])._repr_html_()
