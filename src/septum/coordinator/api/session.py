"""Session: sign in, who am I, sign out."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import (
    COOKIE,
    CSRF_HEADER,
    Permission,
    address_of,
    caller_of,
    cookie_of,
    parts_of,
)
from septum.coordinator.api.bodies import answer, private_body, takes
from septum.coordinator.caller import Caller
from septum.errors import ForbiddenError
from septum.protocol.people_views import Entering, LinkView, SessionView, SignIn, WhoView
from septum.protocol.rights import Right

router = APIRouter(prefix="/session", tags=["session"])

SIGN_IN = Permission(
    None, "Sign in with a name and a password, and a code where a second factor is asked for.", public=True
)
WHO = Permission(None, "See who one is, and what one may do.")
LINK = Permission(None, "Make a link by which one's own browser signs in, once.", in_person=True)
ENTER = Permission(None, "Sign a browser in by a link that somebody who is signed in has made.", public=True)
SIGN_OUT = Permission(None, "End one's own session.")


@router.post(
    "", response_model=SessionView, status_code=201, dependencies=[Depends(SIGN_IN)], openapi_extra=takes(SignIn)
)
async def sign_in(request: Request) -> Response:
    """Open a session. 403 `password_change` answers a one-time password alone, 401 `second_factor` a missing code."""
    proof = await private_body(SignIn, request)
    if proof.cookie and CSRF_HEADER not in request.headers:  # another site's form cannot send it
        raise ForbiddenError(f"a session in a cookie is opened with the header {CSRF_HEADER}, of any value")
    opened = await parts_of(request).login.sign_in(proof, address_of(request))
    if not proof.cookie:
        return answer(opened, 201)
    response = answer(replace(opened, token=""), 201)
    keep_in_cookie(request, response, opened.token)
    return response


def keep_in_cookie(request: Request, response: Response, token: str) -> None:
    """Have the browser keep a session where no page can read it and no other site can use it."""
    name = cookie_of(request)
    response.set_cookie(name, token, secure=name == COOKIE, httponly=True, samesite="strict", path="/")


@router.post("/link", response_model=LinkView, status_code=201, dependencies=[Depends(LINK)])
async def link(request: Request) -> Response:
    """The code of a link to the console, `/enter#code=...`, by which a browser comes in as oneself. It works once."""
    return answer(parts_of(request).links.make(caller_of(request)), 201)


@router.post(
    "/enter", response_model=SessionView, status_code=201, dependencies=[Depends(ENTER)], openapi_extra=takes(Entering)
)
async def enter(request: Request) -> Response:
    """Open a session in a cookie with the code of such a link."""
    if CSRF_HEADER not in request.headers:  # another site's form cannot send it, and so sign nobody in as another
        raise ForbiddenError(f"a session in a cookie is opened with the header {CSRF_HEADER}, of any value")
    opened = await parts_of(request).links.use((await private_body(Entering, request)).code)
    response = answer(replace(opened, token=""), 201)
    keep_in_cookie(request, response, opened.token)
    return response


@router.get("", response_model=WhoView, dependencies=[Depends(WHO)])
async def who(request: Request) -> Response:
    """Who asks."""
    approve_own = parts_of(request).registered.approve_own
    return answer(
        who_view(caller_of(request), in_cookie=cookie_of(request) in request.cookies, approve_own=approve_own)
    )


@router.delete("", status_code=204, dependencies=[Depends(SIGN_OUT)])
async def sign_out(request: Request) -> Response:
    """End the session of this request."""
    await parts_of(request).login.sign_out(caller_of(request))
    response = Response(status_code=204)
    name = cookie_of(request)
    response.delete_cookie(name, secure=name == COOKIE, httponly=True, samesite="strict", path="/")
    return response


def who_view(caller: Caller, *, in_cookie: bool, approve_own: bool) -> WhoView:
    """What somebody is told of themselves."""
    person = caller.person
    rights = tuple(right for right in Right if caller.may_somewhere(right))
    csrf = caller.csrf if in_cookie else ""
    return WhoView(
        person.name,
        person.full_name,
        person.organisation,
        caller.via.value,
        person.grants,
        rights,
        person.totp,
        csrf,
        approve_own,
    )
