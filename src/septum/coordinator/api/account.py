"""Account: one's own password and second factor."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, caller_of, parts_of
from septum.coordinator.api.bodies import answer, private_body, takes
from septum.protocol.people_views import ConfirmTotp, NewPassword, OwnPassword, RecoveryView, TotpView

router = APIRouter(prefix="/account", tags=["account"])

PASSWORD = Permission(None, "Change one's own password, which ends one's sessions and tokens.", in_person=True)
TOTP = Permission(None, "Have a second factor asked for at one's own sign-in, or no longer.", in_person=True)


@router.put("/password", status_code=204, dependencies=[Depends(PASSWORD)], openapi_extra=takes(NewPassword))
async def password(request: Request) -> Response:
    """Change the password. The one that holds is asked for."""
    await parts_of(request).account.change_password(caller_of(request), await private_body(NewPassword, request))
    return Response(status_code=204)


@router.post("/totp", response_model=TotpView, dependencies=[Depends(TOTP)])
async def offer(request: Request) -> Response:
    """A new second factor for an authenticator program. It is asked for once it was confirmed."""
    return answer(parts_of(request).account.offer_totp(caller_of(request)))


@router.put("/totp", response_model=RecoveryView, dependencies=[Depends(TOTP)], openapi_extra=takes(ConfirmTotp))
async def confirm(request: Request) -> Response:
    """Ask for the offered second factor from now on. The recovery codes are shown this once."""
    wanted = await private_body(ConfirmTotp, request)
    return answer(RecoveryView(await parts_of(request).account.confirm_totp(caller_of(request), wanted)))


@router.post("/totp/off", status_code=204, dependencies=[Depends(TOTP)], openapi_extra=takes(OwnPassword))
async def drop(request: Request) -> Response:
    """Ask for no second factor any more. The password is asked for."""
    wanted = await private_body(OwnPassword, request)
    await parts_of(request).account.drop_totp(caller_of(request), wanted.password)
    return Response(status_code=204)
