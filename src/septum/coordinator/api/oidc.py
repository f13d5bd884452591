"""OIDC: sign in by the federation's identity provider, in a browser or from a command line."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from septum.coordinator.api.access import CSRF_HEADER, Permission, address_of, parts_of
from septum.coordinator.api.bodies import answer, private_body, takes
from septum.coordinator.api.session import keep_in_cookie
from septum.coordinator.oidc import BEGUN_S, MAX_FIELD_CHARS, Oidc
from septum.errors import AuthError, ForbiddenError, NotFoundError, SeptumError
from septum.protocol.people_views import (
    DeviceQuestion,
    DeviceView,
    Invited,
    ProviderView,
    RedirectView,
    SessionView,
    WaitView,
)

router = APIRouter(prefix="/oidc", tags=["oidc"])

BEGIN = Permission(None, "Sign in by the federation's identity provider.", public=True)
log = logging.getLogger("septum.coordinator.api.oidc")

PAGE_TYPE = "text/html"
BROWSER_COOKIE = "__Host-septum-oidc"
_Text = Annotated[str, Query(max_length=MAX_FIELD_CHARS)]


@router.get("", response_model=ProviderView, dependencies=[Depends(BEGIN)])
async def provider(request: Request) -> Response:
    """Whether there is one, and which."""
    return answer(ProviderView(parts_of(request).issuer))


@router.post(
    "/begin", response_model=RedirectView, dependencies=[Depends(BEGIN)], openapi_extra=takes(Invited, required=False)
)
async def begin(request: Request) -> Response:
    """Where the browser has to go. The body may be an invitation: then whoever comes back is the one invited."""
    if CSRF_HEADER not in request.headers:  # another site's form cannot send it
        raise ForbiddenError(f"this needs the header {CSRF_HEADER}, of any value")
    redirect = await _oidc(request).begin(await _invited(request), address_of(request))
    response = answer(RedirectView(redirect.url))
    # Lax: it has to come along when the provider sends the browser back.
    response.set_cookie(
        BROWSER_COOKIE, redirect.browser, int(BEGUN_S), secure=True, httponly=True, samesite="lax", path="/"
    )
    return response


@router.get("/callback", response_class=RedirectResponse, status_code=303, dependencies=[Depends(BEGIN)])
async def callback(request: Request, state: _Text = "", code: _Text = "", error: _Text = "") -> Response:
    """Where the provider sends the browser back to. It goes on to the console, with a session in its cookie.

    A browser that is refused goes on to the console's sign-in, which says why; who takes no pages gets a problem.
    """
    browser = request.cookies.get(BROWSER_COOKIE, "")
    try:
        if error or not code or not state:
            raise AuthError("the identity provider refused the sign-in", hint="begin again; its own log says more")
        session = await _oidc(request).come_back(state, code, browser)
    except SeptumError as refused:
        if PAGE_TYPE not in request.headers.get("accept", ""):
            raise
        log.info("oidc_refused", extra={"code": refused.code, "why": refused.message})
        return RedirectResponse(f"/?refused={refused.code}", 303)
    response = RedirectResponse("/", 303)
    keep_in_cookie(request, response, session.token)
    response.delete_cookie(BROWSER_COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    return response


@router.post(
    "/device", response_model=DeviceView, dependencies=[Depends(BEGIN)], openapi_extra=takes(Invited, required=False)
)
async def device(request: Request) -> Response:
    """Begin a sign-in without a browser of one's own (RFC 8628). The body may be an invitation."""
    return answer(await _oidc(request).begin_device(await _invited(request), address_of(request)))


@router.post(
    "/device/session",
    response_model=SessionView | WaitView,
    dependencies=[Depends(BEGIN)],
    openapi_extra=takes(DeviceQuestion),
)
async def device_session(request: Request) -> Response:
    """The session once the person has agreed (201), or how long to wait before asking again (200)."""
    told = await _oidc(request).ask_device((await private_body(DeviceQuestion, request)).handle)
    return answer(told, 200) if isinstance(told, WaitView) else answer(replace(told, csrf=""), 201)


async def _invited(request: Request) -> Invited:
    return await private_body(Invited, request, Invited())


def _oidc(request: Request) -> Oidc:
    oidc = parts_of(request).oidc
    if oidc is None:
        raise NotFoundError("this coordinator has no identity provider", hint="[oidc] in coordinator.toml")
    return oidc
