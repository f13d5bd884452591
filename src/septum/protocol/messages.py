"""What silos and the coordinator say to each other. See docs/decisions/0002-the-wire.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from septum.errors import MessageError
from septum.protocol.codec import LATER
from septum.protocol.plan import Plan, digest_of
from septum.secagg.context import MAX_SILOS
from septum.secagg.messages import Advert, Reveal

INLINE_LIMIT_BYTES = 64 * 1024  # larger payloads travel as blobs of their own
MAX_REASON_CHARS = 500
MAX_DETAILS_CHARS = 20_000  # a traceback of a deep stack
MAX_NAME_CHARS = 100  # the name of a rule or of a duration
MAX_DURATIONS = 32
MAX_SERVED = 256  # runs that a silo asks about in one message
MAX_WEIGHT = 2**53 - 1  # rows; what a float64 still holds exactly
DIGEST = re.compile(r"blake3:[0-9a-f]{64}")
PACKAGE_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MAX_SIGNATURES_CHARS = 64 * 1024
MAX_SEALED_BYTES = 256  # two shares of 33 bytes, and what seals them
SIGNATURE_BYTES = 64


class Stage(Enum):
    """The three kinds of work a silo is asked for."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True)
class Blob:
    """Some bytes by digest; small ones travel inside the message."""

    digest: str
    size_bytes: int
    inline: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.digest):
            raise MessageError(f"{self.digest[:80]!r} is not a digest: expected blake3: and 64 hex digits")
        if self.size_bytes < 0:
            raise MessageError(f"blob {self.digest}: a size of {self.size_bytes} bytes cannot be")
        if self.inline is None:
            return
        if len(self.inline) > INLINE_LIMIT_BYTES:
            raise MessageError(f"blob {self.digest}: {len(self.inline)} bytes inline, at most {INLINE_LIMIT_BYTES}")
        if len(self.inline) != self.size_bytes or digest_of(self.inline) != self.digest:
            raise MessageError(f"blob {self.digest}: the bytes that came with it are not its own")

    def without_bytes(self) -> Blob:
        """The reference alone, as states keep it."""
        return Blob(self.digest, self.size_bytes)


def blob_of(data: bytes) -> Blob:
    """A reference to `data`, with the bytes inside if they are small enough.

    >>> blob_of(b"abc").inline
    b'abc'
    """
    return Blob(digest_of(data), len(data), data if len(data) <= INLINE_LIMIT_BYTES else None)


# --- silo -> coordinator -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Poll:
    """Is there a run for me, other than those I already serve?"""

    serving: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """I work for these runs, and have for a while. Which of them are over?"""

    runs: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.runs) > MAX_SERVED:
            raise MessageError(f"{len(self.runs)} runs in one message, at most {MAX_SERVED}")


@dataclass(frozen=True, slots=True)
class Join:
    """I have checked the plan, and take part. Also says "I am back" after an absence.

    dataset  digest of the rows that this run has here, where the silo's policy lets it be told; else empty
    """

    plan_digest: str
    dataset: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        if self.dataset and not DIGEST.fullmatch(self.dataset):
            raise MessageError(f"dataset: {self.dataset[:80]!r} is not a digest: expected blake3: and 64 hex digits")


@dataclass(frozen=True, slots=True)
class Refuse:
    """I do not take part. `rule` is the name of the silo's own rule that says so."""

    rule: str
    reason: str

    def __post_init__(self) -> None:
        _short("rule", self.rule, MAX_NAME_CHARS)
        _short("reason", self.reason, MAX_REASON_CHARS)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one piece of work.

    base        digest of the model it started from; empty for `prepare`
    weight      train rows behind the update; 0 for `evaluate`
    durations_s seconds spent in each step, for the timeline
    """

    stage: Stage
    round: int
    attempt: int
    base: str
    payload: Blob
    weight: int
    durations_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (0 if self.stage is Stage.EVALUATE else 1) <= self.weight <= MAX_WEIGHT:
            weight = self.weight if self.weight <= MAX_WEIGHT else f"more than {MAX_WEIGHT}"
            raise MessageError(f"a {self.stage.value} report with a weight of {weight} rows cannot be")
        _check_result(self.base, self.durations_s)


@dataclass(frozen=True, slots=True)
class Failure:
    """This piece of work could not be done here: the app raised, or its process hung or died."""

    stage: Stage
    round: int
    attempt: int
    reason: str
    details: str = ""

    def __post_init__(self) -> None:
        _short("reason", self.reason, MAX_REASON_CHARS)
        _short("details", self.details, MAX_DETAILS_CHARS)


@dataclass(frozen=True, slots=True)
class Await:
    """Nothing to say; I am here."""


@dataclass(frozen=True, slots=True)
class Leave:
    """I take no further part for now."""

    reason: str

    def __post_init__(self) -> None:
        _short("reason", self.reason, MAX_REASON_CHARS)


@dataclass(frozen=True, slots=True)
class Keys:
    """My public keys for one masked attempt: step R0.

    roster  digest of the names and identity keys by which I know the silos of the run
    """

    stage: Stage
    round: int
    attempt: int
    roster: str
    advert: Advert

    def __post_init__(self) -> None:
        if not PACKAGE_DIGEST.fullmatch(self.roster):
            raise MessageError(f"roster: {self.roster[:80]!r} is not a digest: expected sha256: and 64 hex digits")


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of my secrets, sealed for each other silo that has advertised keys: step R1."""

    stage: Stage
    round: int
    attempt: int
    sealed: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        _check_sealed(self.sealed)


@dataclass(frozen=True, slots=True)
class Masked:
    """The masked result of one piece of work: step R2. Its weight is inside, in a sum like everything else.

    ahead  my keys for the attempt that follows
    """

    stage: Stage
    round: int
    attempt: int
    base: str
    payload: Blob
    durations_s: Mapping[str, float] = field(default_factory=dict)
    ahead: Keys | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        _check_result(self.base, self.durations_s)


@dataclass(frozen=True, slots=True)
class Agreed:
    """I sign that the sum is to be over exactly the silos that I was told: step R3.

    ahead  my shares for the attempt that follows
    """

    stage: Stage
    round: int
    attempt: int
    signature: bytes
    ahead: Shares | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise MessageError(f"a signature of {len(self.signature)} bytes, {SIGNATURE_BYTES} are needed")


@dataclass(frozen=True, slots=True)
class Revealed:
    """Shares that take the masks off the sum: step R4."""

    stage: Stage
    round: int
    attempt: int
    reveal: Reveal


SiloMessage = Join | Refuse | Report | Failure | Await | Leave | Keys | Shares | Masked | Agreed | Revealed
Result = Report | Masked
BarrierAnswer = Keys | Shares | Agreed | Revealed


# --- coordinator -> silo -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """A run wants this silo."""

    run: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Over:
    """Of the runs that were named, nobody waits for a silo in these any more: ask again in each of them."""

    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing yet. Ask again at once."""


@dataclass(frozen=True, slots=True)
class MakeKeys:
    """Make keys for a masked attempt; answer with `Keys`."""

    stage: Stage
    round: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ShareKeys:
    """These silos advertised these keys; answer with `Shares`."""

    stage: Stage
    round: int
    attempt: int
    adverts: Mapping[str, Advert]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Load the data and make the summands of the app's statistics; if `initial`, also the initial model.

    In a masked run, here and in the other kinds of work:

    sealed  what the other silos sealed for this one
    ahead   make keys for the attempt that follows this one, too, and send them with the result
    """

    attempt: int
    initial: bool
    sealed: Mapping[str, bytes] = field(default_factory=dict, repr=False, metadata=LATER)
    ahead: MakeKeys | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Train:
    """Measure `model` (that of round - 1) on the test rows and train from it on the train rows.

    against  vote on `model` by comparing it with the model of this digest; empty where there is no vote on it
    burnt    so many rounds before this one came to nothing: the app's state is that from before them
    """

    round: int
    attempt: int
    model: Blob
    sealed: Mapping[str, bytes] = field(default_factory=dict, repr=False, metadata=LATER)
    ahead: MakeKeys | None = field(default=None, metadata=LATER)
    against: str = field(default="", metadata=LATER)
    burnt: int = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Measure `model`, the one that `round` made, on the test rows.

    against  as in `Train`
    edges    in a masked run, count the scores between these logit bins instead of in the usual ones: see
             `algorithms.roc_auc.finer_edges`
    """

    round: int
    attempt: int
    model: Blob
    sealed: Mapping[str, bytes] = field(default_factory=dict, repr=False, metadata=LATER)
    ahead: MakeKeys | None = field(default=None, metadata=LATER)
    against: str = field(default="", metadata=LATER)
    edges: tuple[int, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True)
class Agree:
    """The sum is to be over `survivors`; answer with `Agreed`. `ahead`: share keys for the next attempt, too."""

    stage: Stage
    round: int
    attempt: int
    survivors: tuple[str, ...]
    ahead: ShareKeys | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Unmask:
    """These silos signed the same list; answer with `Revealed`."""

    stage: Stage
    round: int
    attempt: int
    signatures: Mapping[str, bytes] = field(repr=False)


class Outcome(Enum):
    """How a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class End:
    """The run is over; the training process can go."""

    outcome: Outcome
    reason: str = ""


PollAnswer = Invitation | Wait
Work = Prepare | Train | Evaluate
Barrier = MakeKeys | ShareKeys | Agree | Unmask
Instruction = Prepare | Train | Evaluate | MakeKeys | ShareKeys | Agree | Unmask | Wait | End


# --- enrolment -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enroll:
    """A new silo shows its one-time token and proves that it holds the key it brings.

    public_key  Ed25519, 32 bytes raw
    proof       signature of `enrolment_proof(silo, token, public_key)`
    """

    silo: str
    token: str = field(repr=False)
    public_key: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The silo is known from now on."""

    silo: str
    coordinator: str


# --- app packages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppOffer:
    """A package that a silo can fetch. None of this is proven: the silo verifies the bytes.

    digest      sha256: of the package's file, by which silos approve it and plans name it
    blob        the same bytes, as they are fetched
    signatures  the authors' signatures, JSON
    """

    digest: str
    name: str
    version: str
    blob: Blob
    signatures: str

    def __post_init__(self) -> None:
        if not PACKAGE_DIGEST.fullmatch(self.digest):
            raise MessageError(f"{self.digest[:80]!r} is not a package's digest: expected sha256: and 64 hex digits")
        _short("name", self.name, MAX_NAME_CHARS)
        _short("version", self.version, MAX_NAME_CHARS)
        _short("signatures", self.signatures, MAX_SIGNATURES_CHARS)


@dataclass(frozen=True, slots=True)
class AppOffers:
    """Every package."""

    items: tuple[AppOffer, ...]


def enrolment_proof(silo: str, token: str, public_key: bytes) -> bytes:
    """What an enrolling silo signs: it binds the key to the name and to the token."""
    return b"septum-enroll-v1\0" + silo.encode() + b"\0" + token.encode() + b"\0" + public_key


def _short(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise MessageError(f"{name}: {len(text)} characters, at most {limit}")


def _check_result(base: str, durations_s: Mapping[str, float]) -> None:
    if base and not DIGEST.fullmatch(base):
        raise MessageError(f"base: {base[:80]!r} is not a digest: expected blake3: and 64 hex digits")
    if len(durations_s) > MAX_DURATIONS:
        raise MessageError(f"{len(durations_s)} durations in one report, at most {MAX_DURATIONS}")
    for name in durations_s:
        _short("the name of a duration", name, MAX_NAME_CHARS)


def _check_sealed(sealed: Mapping[str, bytes]) -> None:
    if len(sealed) > MAX_SILOS:
        raise MessageError(f"sealed shares for {len(sealed)} silos, at most {MAX_SILOS}")
    longest = max(map(len, sealed.values()), default=0)
    if longest > MAX_SEALED_BYTES:
        raise MessageError(f"sealed shares of {longest} bytes, at most {MAX_SEALED_BYTES}")
