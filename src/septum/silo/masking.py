"""How does a silo's agent mask what leaves? Its side of secure aggregation in one run: keys, shares, masks, reveals.

The secrets of an attempt live here, in memory alone: an agent that is started again has none, and its silo is out of
the attempt that was under way. What must outlive it is the release journal (journal.py): for which sums over whom it
signed. The app's process has no part in this. See docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from septum.adapters.file_source import file_source
from septum.errors import SecAggError, SeptumError
from septum.protocol.masked import NOTHING_ELSE, Asked, Beside, evaluation_sums, masked_layout, masked_pieces, scale_of
from septum.protocol.messages import (
    INLINE_LIMIT_BYTES,
    Agree,
    Agreed,
    Barrier,
    Blob,
    Evaluate,
    Keys,
    MakeKeys,
    Masked,
    Prepare,
    Revealed,
    ShareKeys,
    Shares,
    Stage,
    Unmask,
    Work,
    blob_of,
)
from septum.protocol.plan import Plan
from septum.protocol.sources import Source, layout_of, source_of
from septum.protocol.vote import Ballot, Voter
from septum.secagg import silo as machine
from septum.secagg.context import Place, Terms, roster_digest, threshold
from septum.secagg.masks import Masker
from septum.silo.journal import EVERYTHING, MODEL, QUERIES, STATISTICS, Query
from septum.silo.masking_tools import MaskingTools

KEPT_BYTES = 4 * 2**20  # a masked result up to this size is made in memory, a larger one in a file
LEAST_TOLD = 2  # silos that two sums may tell about together, whatever the policy: fewer would be no sum


@dataclass(slots=True)
class _Attempt:
    """One attempt.

    base    of the work that was asked for
    result  digest and weight of what was masked for it, and what was put beside it
    """

    place: Place
    state: machine.State
    roster: str
    base: str = ""
    result: tuple[str, int, Beside] | None = None


class MaskedPart:
    """A silo's masked part in one run. For one thread."""

    def __init__(self, tools: MaskingTools, run: str, silo: str, plan: Plan) -> None:
        self._tools = tools
        self._run = run
        self._silo = silo
        self._plan = plan
        self._sealed: Mapping[str, bytes] = {}
        self._ahead: MakeKeys | None = None
        self._request = NOTHING_ELSE
        self._voter = None if plan.vote is None else Voter(plan.vote)
        self._attempts: dict[Place, _Attempt] = {}  # the one at work, and the one that follows

    def asked(self, work: Work) -> None:
        """Work was asked for: keep what the others sealed for this silo until it is done."""
        self._sealed, self._ahead = work.sealed, work.ahead
        self._request = Asked(
            "" if isinstance(work, Prepare) else work.against, work.edges if isinstance(work, Evaluate) else ()
        )

    def answer(self, asked: Barrier) -> Keys | Shares | Agreed | Revealed:
        """The answer to a step of an attempt. Raises SecAggError when what was asked is not to be done."""
        where = (asked.stage, asked.round, asked.attempt)
        if isinstance(asked, MakeKeys):
            return self._keys(asked)
        attempt = self._at(asked.stage, asked.round, asked.attempt)
        match asked:
            case ShareKeys():
                return self._share(asked)
            case Agree(survivors=survivors, ahead=ahead):
                signature = self._agree(attempt, asked.stage, survivors)
                return Agreed(*where, signature, self._shares_ahead(ahead))
            case Unmask(signatures=signatures):
                attempt.state, reveal = machine.step(attempt.state, machine.Signatures(signatures))
                return Revealed(*where, reveal)

    def logged(self, asked: Agree | Unmask) -> dict[str, object]:
        """What the silo's log keeps of a sum that it signed or revealed shares for; two silos can compare it."""
        state = self._at(asked.stage, asked.round, asked.attempt).state
        who = asked.survivors if isinstance(asked, Agree) else asked.signatures
        return {"sum": state.sum, "silos" if isinstance(asked, Agree) else "signed_by": sorted(who)}

    def protect(self, result: Masked, plain: bytes | Path, weight: int, target: Path) -> Masked:
        """The result with its masked payload: inside if it is small, else in the file `target`.

        Raises SecAggError, and OSError when the file cannot be written; then nothing of it is kept.
        """
        if isinstance(plain, bytes):
            return self._protect(result, source_of(plain), weight, target)
        with file_source(plain) as source:
            return self._protect(result, source, weight, target)

    def _protect(self, result: Masked, plain: Source, weight: int, target: Path) -> Masked:
        attempt = self._at(result.stage, result.round, result.attempt)
        beside = Beside(self._vote(result, plain), self._request.edges)
        given = (result.payload.digest, weight, beside)
        if attempt.result not in (None, given):  # work that was done twice need not have one result
            raise SecAggError("another result under the same keys: two under one mask would tell how they differ")
        layout = masked_layout(result.stage, layout_of(plain), self._request, vote=beside.vote is not None)
        terms = Terms(result.base, self._plan.digest, layout)
        attempt.state, masks = machine.step(attempt.state, machine.Bundle(self._sealed, terms))
        attempt.base, attempt.result = result.base, given
        masker = Masker(masks, self._tools.primitives)
        pieces = masked_pieces(result.stage, plain, weight, scale_of(self._plan), masker, beside)
        keys = self._keys_ahead(attempt.place)
        if plain.size_bytes <= KEPT_BYTES:
            data = b"".join(pieces)
            if len(data) <= INLINE_LIMIT_BYTES:
                return replace(result, payload=blob_of(data), ahead=keys)
            pieces = iter((data,))
        return replace(result, payload=_written(pieces, target), ahead=keys)

    def _vote(self, result: Masked, plain: Source) -> Ballot | None:
        """This silo's vote on the model that the result measured; None in a run without votes."""
        if self._voter is None or result.stage is Stage.PREPARE:
            return None
        return self._voter.vote(result.base, self._request.against, evaluation_sums(plain))

    def _keys_ahead(self, at_work: Place) -> Keys | None:
        """Keys for the attempt that follows; without them it asks for keys itself, and says then what is wrong."""
        if self._ahead is None:
            return None
        try:
            return self._keys(self._ahead, at_work)
        except SeptumError:
            return None

    def _keys(self, asked: MakeKeys, at_work: Place | None = None) -> Keys:
        """Keys for an attempt: the same when they are asked for again, and new ones once shares of them were given.

        Keys are asked for twice after shares when the first time came to nothing: of what it was, nothing was masked
        or could yet be, and the journal holds whatever keys a sum is made with. What is neither for this attempt nor
        for the one `at_work` is forgotten.
        """
        place = Place(self._run, asked.stage.value, asked.round, asked.attempt)
        attempt = self._attempts.get(place)
        if attempt is None or attempt.state.shared is not None:
            self._tools.journal.check()  # what could not be signed in the end is not trained either
            keys = self._tools.keys(self._plan.silos)
            quorum = max(threshold(len(self._plan.silos)), self._tools.min_cohort, self._plan.quorum)
            party = machine.Party(self._silo, keys, quorum, place)
            state, _ = machine.begin(party, self._tools.primitives, self._tools.sign)
            attempt = _Attempt(place, state, roster_digest(keys))
        kept = {} if at_work is None else {at_work: self._attempts[at_work]}
        self._attempts = {**kept, place: attempt}
        return Keys(asked.stage, asked.round, asked.attempt, attempt.roster, attempt.state.advert)

    def _share(self, asked: ShareKeys) -> Shares:
        attempt = self._at(asked.stage, asked.round, asked.attempt)
        attempt.state, sealed = machine.step(attempt.state, machine.Adverts(asked.adverts))
        return Shares(asked.stage, asked.round, asked.attempt, sealed)

    def _shares_ahead(self, asked: ShareKeys | None) -> Shares | None:
        """Shares for the attempt that follows; without them it asks for keys itself, and says then what is wrong."""
        if asked is None:
            return None
        try:
            return self._share(asked)
        except SecAggError:
            return None

    def _agree(self, attempt: _Attempt, stage: Stage, survivors: tuple[str, ...]) -> bytes:
        """Sign a sum over these silos. What was decided is on the disk before it is said, and stays said."""
        state, signature = machine.step(attempt.state, machine.Survivors(survivors))
        if self._plan.query is not None:
            query = Query(QUERIES, EVERYTHING, "")
        else:
            query = Query(STATISTICS if stage is Stage.PREPARE else MODEL, self._plan.app.digest, attempt.base)
        alone = max(LEAST_TOLD, self._tools.min_cohort)
        self._tools.journal.release(query, frozenset(survivors), attempt.place, alone)
        attempt.state = state
        return signature

    def _at(self, stage: Stage, round_: int, attempt: int) -> _Attempt:
        """The attempt with these numbers, whose secrets are here. Raises SecAggError."""
        place = Place(self._run, stage.value, round_, attempt)
        if place not in self._attempts:
            raise SecAggError(
                f"this silo has no keys for {stage.value} round {round_} attempt {attempt}: "
                "its agent was started again, or never asked for them",
                hint="nothing needs to be done: the next attempt makes new keys",
            )
        return self._attempts[place]


def _written(pieces: Iterable[bytes], target: Path) -> Blob:
    """A blob in a file, digested while it is written."""
    digest, size = blake3(), 0
    try:
        with target.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                size += file.write(piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Blob(f"blake3:{digest.hexdigest()}", size)
