"""What do simulated silos say in the steps of a masked attempt? Nothing that masks: the sums are added up in the open.

The run machine goes through the same steps as over the network, so that a plan ends in the same model. No key is made.
"""

from __future__ import annotations

from septum.protocol.messages import (
    SIGNATURE_BYTES,
    Agree,
    Agreed,
    Barrier,
    BarrierAnswer,
    Keys,
    MakeKeys,
    Revealed,
    ShareKeys,
    Shares,
    Unmask,
)
from septum.secagg.messages import Advert, Reveal

_ROSTER = "sha256:" + 64 * "0"
_ADVERT = Advert(bytes(32), bytes(32), bytes(SIGNATURE_BYTES))


def answer(silo: str, asked: Barrier) -> BarrierAnswer:
    """A silo's answer that carries nothing."""
    where = (asked.stage, asked.round, asked.attempt)
    match asked:
        case MakeKeys():
            return Keys(*where, _ROSTER, _ADVERT)
        case ShareKeys(adverts=adverts):
            return Shares(*where, {other: b"" for other in adverts if other != silo})
        case Agree():
            return Agreed(*where, bytes(SIGNATURE_BYTES))
        case Unmask():
            return Revealed(*where, Reveal({}, {}))
