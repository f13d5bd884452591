"""Several silos' masked parts in one process, with real keys; and what their coordinator makes of what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.protocol.driving import APP
from tests.protocol.masking import evaluated, rows

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.identity.keys import public_bytes
from septum.adapters.identity.masking_primitives import openssl
from septum.coordinator.areas import models_area
from septum.coordinator.combining import Combiner
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.errors import SecAggError
from septum.protocol import payload, tensors
from septum.protocol.messages import (
    Agree,
    Agreed,
    Blob,
    Keys,
    MakeKeys,
    Masked,
    Prepare,
    Revealed,
    ShareKeys,
    Shares,
    Stage,
    Train,
    Unmask,
    blob_of,
)
from septum.protocol.plan import Masking, Plan
from septum.protocol.run_state import Combine, Combined, Contribution, Exchange, Step
from septum.silo.journal import Journal
from septum.silo.masking import MaskedPart
from septum.silo.masking_tools import MaskingTools

FOUR = ("east", "north", "south", "west")
SEVEN = (*FOUR, "coast", "hills", "isles")
BASE = blob_of(tensors.encode(payload.model_tensors({"w": np.zeros(6, np.float32)}, {})))
WHERE = (Stage.TRAIN, 1, 1)


def masked_plan(silos: Sequence[str] = FOUR, quorum: int = 3, **changes: object) -> Plan:
    return Plan("p", APP, {}, tuple(silos), rounds=3, quorum=quorum, masking=Masking(), **changes)


def plain_of(silo: str, value: float = 0.25) -> bytes:
    """What a silo trained from BASE: an update that says who it is."""
    update = {"w": np.full(6, value * (1 + SEVEN.index(silo)), np.float32)}
    return tensors.encode(payload.update_tensors(update, evaluated(*rows(SEVEN.index(silo)))))


def weight_of(silo: str) -> int:
    return 10 * (1 + SEVEN.index(silo))


def journal_in(folder: Path, silo: str) -> Journal:
    return Journal(folder / silo, silo, unix=lambda: 7.0)


@dataclass
class Parts:
    """The silos of a plan. Their journals outlive `restart`, and other Parts in one folder, as files do."""

    folder: Path
    plan: Plan = field(default_factory=masked_plan)
    run: str = "r1"
    min_cohort: int = 3
    journals: Callable[[Path, str], object] = journal_in

    def __post_init__(self) -> None:
        self.keys = {silo: Ed25519PrivateKey.generate() for silo in self.plan.silos}
        self.public: Mapping[str, bytes] = {silo: public_bytes(key) for silo, key in self.keys.items()}
        self.parts: dict[str, MaskedPart] = {}
        self.restart(*self.plan.silos)

    def tools(self, silo: str) -> MaskingTools:
        return MaskingTools(
            keys=lambda silos: {one: self.public[one] for one in silos},
            sign=self.keys[silo].sign,
            primitives=openssl(),
            journal=self.journals(self.folder, silo),
            min_cohort=self.min_cohort,
        )

    def restart(self, *silos: str) -> None:
        """New agents on the same folders."""
        for silo in silos:
            self.parts[silo] = MaskedPart(self.tools(silo), self.run, silo, self.plan)

    # --- one attempt -----------------------------------------------------------------------------------------------

    def advertise(self, *silos: str, where: tuple[Stage, int, int] = WHERE) -> dict[str, Keys]:
        return {silo: self.parts[silo].answer(MakeKeys(*where)) for silo in silos or self.plan.silos}

    def share(self, keys: Mapping[str, Keys], where: tuple[Stage, int, int] = WHERE) -> dict[str, Shares]:
        asked = ShareKeys(*where, {silo: one.advert for silo, one in keys.items()})
        return {silo: self.parts[silo].answer(asked) for silo in keys}

    def work(
        self,
        shares: Mapping[str, Shares],
        where: tuple[Stage, int, int] = WHERE,
        ahead: tuple[Stage, int, int] | None = None,
    ) -> None:
        keys = None if ahead is None else MakeKeys(*ahead)
        for silo in shares:
            sealed = {other: one.sealed[silo] for other, one in shares.items() if other != silo}
            prepare = where[0] is Stage.PREPARE
            asked = Prepare(where[2], False, sealed, keys) if prepare else Train(*where[1:], BASE, sealed, keys)
            self.parts[silo].asked(asked)

    def protect(
        self, silo: str, where: tuple[Stage, int, int] = WHERE, base: str = BASE.digest, plain: bytes | None = None
    ) -> Masked:
        plain = plain_of(silo) if plain is None else plain
        result = Masked(*where, base, blob_of(plain))
        return self.parts[silo].protect(result, plain, weight_of(silo), self.folder / f"{silo}.masked")

    def agree(self, silos: Sequence[str], where: tuple[Stage, int, int] = WHERE) -> dict[str, Agreed]:
        return {silo: self.parts[silo].answer(Agree(*where, tuple(silos))) for silo in silos}

    def unmask(self, signed: Mapping[str, Agreed], where: tuple[Stage, int, int] = WHERE) -> dict[str, Revealed]:
        asked = Unmask(*where, {silo: one.signature for silo, one in signed.items()})
        return {silo: self.parts[silo].answer(asked) for silo in signed}

    def up_to_work(
        self,
        *silos: str,
        where: tuple[Stage, int, int] = WHERE,
        base: str = BASE.digest,
        ahead: tuple[Stage, int, int] | None = None,
    ) -> tuple[dict[str, Keys], dict[str, Masked]]:
        """Keys, shares and masked results of these silos, with keys for another attempt beside them."""
        keys = self.advertise(*silos, where=where)
        self.work(self.share(keys, where), where, ahead)
        return keys, {silo: self.protect(silo, where, base) for silo in keys}

    def combined(
        self, keys: Mapping[str, Keys], results: Mapping[str, Masked], reveals: Mapping[str, Revealed], folder: Path
    ) -> tuple[Combined, bytes]:
        """What the coordinator makes of it: the effect's result, and the model's file."""
        rosters = {silo: one.roster for silo, one in keys.items()}
        adverts = {silo: one.advert for silo, one in keys.items()}
        said = {silo: one.reveal for silo, one in reveals.items()}
        exchange = Exchange(Step.UNMASK, rosters, adverts, {}, tuple(sorted(keys)), {}, said)
        blobs = DirectoryBlobs(folder)
        shelf, spool = Shelf(blobs), Spool(blobs, self.run, complete=False)
        assert BASE.inline is not None
        base = shelf.add(self.run, iter([BASE.inline]))
        contributions = {}
        for silo, result in results.items():
            spool.keep(result.payload, (1, 1))
            contributions[silo] = Contribution(result.payload.without_bytes(), 0)
        effect = Combine(Stage.TRAIN, 1, 1, base, None, contributions, exchange)
        made = Combiner(blobs, shelf).combine(effect, self.plan, self.run, spool)
        assert made.model is not None
        return made, blobs.get(models_area(self.run), made.model.digest)


def refuses(parts: Parts, silo: str, asked: object) -> str:
    """Why a silo does not answer."""
    try:
        parts.parts[silo].answer(asked)  # type: ignore[arg-type]
    except SecAggError as error:
        return error.message
    raise AssertionError(f"{silo} answered {asked}")


def lost(blob: Blob) -> Blob:
    return blob.without_bytes()
