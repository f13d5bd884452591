"""Which tensors does each kind of file hold? Checked on the header alone, by the silo and by the coordinator.

See the table in docs/decisions/0002-the-wire.md. No numpy: the silo's agent checks here what may leave.
"""

from __future__ import annotations

from septum.algorithms.partition import is_private
from septum.errors import TensorError, did_you_mean
from septum.protocol.layout import NAME, Layout, TensorSpec
from septum.protocol.messages import Stage

UPDATE = "update."
INITIAL = "initial."
STATISTICS = "statistics."
BINS = "evaluation.bins"
SUMS = "evaluation.sums"
MASKED = "masked."  # what stands before the names of tensors whose values are masked
NOISY = "evaluation.noisy"  # of a run with differential privacy that tells metrics: noisy_metrics.py has the numbers
NOISY_LENGTH = 35
VOTE = "vote"  # accepts, voters
WEIGHT = "weight"
PRIVATE = "private."  # in what a silo carries from round to round: its own parameters
STATE = "state."  # and there, beside them, what the app carries
OWN = "own."  # in what comes of the last evaluation, and stays in the silo: tensors of the model that it keeps
LOGITS = "logits"  # in what comes of scoring, and stays in the silo
CHOSEN = "chosen"  # and where that model came from: the number of a sdk.personal.Origin
MASKED_BINS = 3585  # of algorithms.roc_auc, which needs numpy: a test compares them
MAX_STATISTICS_BYTES = 16 * 2**20  # summands are a few numbers a feature; they are summed in memory
MAX_BINS = 1 << 20  # occupied logit bins of one silo
_ANY = -1  # a length that is not fixed


def check_report(
    stage: Stage, layout: Layout, model: Layout | None, *, initial: bool | None = None, noisy: bool | None = None
) -> None:
    """Whether a report's payload has the tensors that it must have, and no other. Raises TensorError naming the first.

    `model` is the layout of the model that the report started from; None for `prepare`. `initial` says whether a
    `prepare` report brings an initial model, `noisy` whether an `evaluate` report brings metrics with noise; None where
    both is right.
    """
    if not layout.is_canonical:  # the aggregation reads all updates as flat vectors of one order
        raise TensorError("the tensors of this report are not in canonical order: largest items first, then by name")
    evaluation = [_expect(BINS, "I64", (_ANY, 3)), _expect(SUMS, "F64", (4,))]
    match stage:
        case Stage.PREPARE:
            _check_prepared(layout, initial=initial)
        case Stage.EVALUATE:
            _check_exactly(layout, evaluation + _noisy(layout, _expect(NOISY, "F64", (NOISY_LENGTH,)), noisy))
        case Stage.TRAIN:
            assert model is not None
            parameters = [spec for spec in model.tensors if not spec.name.startswith(STATISTICS)]
            update = [_expect(UPDATE + spec.name, spec.dtype, spec.shape) for spec in parameters]
            _check_exactly(layout, evaluation + update)


def _noisy(layout: Layout, spec: TensorSpec, wanted: bool | None) -> list[TensorSpec]:
    """The tensor of metrics with noise, where it is to be there, or may and is."""
    return [spec] if wanted or (wanted is None and layout.region(spec.name)) else []


def check_shared(layout: Layout, model: Layout | None, private: tuple[str, ...]) -> None:
    """Whether neither a report's payload nor the model that it started from has a private parameter.

    `private`: the patterns of the app's manifest. With `check_report` it follows that what leaves has the names and
    shapes of the shared model, and no others. Raises TensorError naming the first.
    """
    for spec in layout.region(INITIAL):
        if is_private(spec.name.removeprefix(INITIAL), private):
            raise TensorError(
                f"tensor {spec.name!r} is private by the app's manifest and stays in the silo: {', '.join(private)}"
            )
    for spec in () if model is None else model.tensors:
        if not spec.name.startswith(STATISTICS) and is_private(spec.name, private):
            raise TensorError(
                f"the model that came has a tensor {spec.name!r}, which is private by the app's manifest: "
                f"{', '.join(private)}",
                hint="submit a new run: this one's model was not made by this app",
            )


def check_masked(
    stage: Stage, layout: Layout, model: Layout | None, *, initial: bool | None = None, noisy: bool | None = None
) -> None:
    """The same for a masked result: sums as U64 pairs (128-bit words), counts and update as U32 words.

    Of the values nothing can be checked: masked, they are evenly distributed. The silos check their own before.
    """
    if not layout.is_canonical:
        raise TensorError("the tensors of this result are not in canonical order: largest items first, then by name")
    weight = _expect(MASKED + WEIGHT, "U64", (1, 2))
    evaluation = [_expect(MASKED + SUMS, "U64", (3, 2)), _expect(MASKED + BINS, "U32", (MASKED_BINS, 2))]
    if layout.region(MASKED + VOTE):  # whether the run has a vote, the silos agree on in the layout that they sign
        evaluation.append(_expect(MASKED + VOTE, "U64", (2, 2)))
    match stage:
        case Stage.PREPARE:
            _check_masked_statistics(layout, weight, initial=initial)
        case Stage.EVALUATE:
            evaluation += _noisy(layout, _expect(MASKED + NOISY, "U64", (NOISY_LENGTH, 2)), noisy)
            _check_exactly(layout, evaluation)
        case Stage.TRAIN:
            assert model is not None
            parameters = [spec for spec in model.tensors if not spec.name.startswith(STATISTICS)]
            update = [_expect(MASKED + UPDATE + spec.name, "U32", spec.shape) for spec in parameters]
            _check_exactly(layout, [*evaluation, weight, *update])


def _check_masked_statistics(layout: Layout, weight: TensorSpec, *, initial: bool | None) -> None:
    sums = [spec for spec in layout.tensors if spec.name.startswith(MASKED + STATISTICS)]
    clear = [] if initial is False else list(layout.region(INITIAL))
    _check_exactly(layout, [weight, *sums, *clear])
    for spec in sums:
        if spec.dtype != "U64" or spec.shape[-1:] != (2,):
            raise TensorError(
                f"tensor {spec.name!r} is {spec.dtype} of shape {list(spec.shape)}, pairs of U64 are needed"
            )
    for spec in clear:
        own_name = spec.name.removeprefix(INITIAL)
        if spec.dtype != "F32" or not NAME.fullmatch(own_name) or own_name.startswith(STATISTICS):
            raise TensorError(f"tensor {spec.name!r} ({spec.dtype}) cannot be a parameter")
    if initial and not clear:
        raise TensorError(f"no tensor {INITIAL}NAME is there, though the initial model was asked for")
    size = sum(spec.size_bytes for spec in sums)
    if size > 2 * MAX_STATISTICS_BYTES:
        raise TensorError(f"masked statistics of {size} bytes, at most {2 * MAX_STATISTICS_BYTES}")


def _expect(name: str, dtype: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(name, dtype, shape, 0)


def _check_prepared(layout: Layout, *, initial: bool | None) -> None:
    dtypes = {STATISTICS: "F64", **({} if initial is False else {INITIAL: "F32"})}
    for spec in layout.tensors:
        dtype = next((dtype for prefix, dtype in dtypes.items() if spec.name.startswith(prefix)), None)
        if dtype is None:
            raise TensorError(f"tensor {spec.name!r} was not asked for")
        if spec.dtype != dtype:
            raise TensorError(f"tensor {spec.name!r} is {spec.dtype}, expected {dtype}")
        own_name = spec.name.removeprefix(INITIAL)
        if not NAME.fullmatch(own_name) or (own_name != spec.name and own_name.startswith(STATISTICS)):
            raise TensorError(f"tensor {spec.name!r}: {own_name!r} is no name for a parameter")
    if initial and not layout.region(INITIAL):
        raise TensorError(f"no tensor {INITIAL}NAME is there, though the initial model was asked for")
    size = sum(spec.size_bytes for spec in layout.region(STATISTICS))
    if size > MAX_STATISTICS_BYTES:
        raise TensorError(f"statistics of {size} bytes, at most {MAX_STATISTICS_BYTES}")


def _check_exactly(layout: Layout, expected: list[TensorSpec]) -> None:
    wanted, found = {spec.name: spec for spec in expected}, {spec.name: spec for spec in layout.tensors}
    for name in sorted(found.keys() - wanted.keys()):
        raise TensorError(f"tensor {name!r} was not asked for; {did_you_mean(name, wanted)}")
    for name in sorted(wanted.keys() - found.keys()):
        raise TensorError(f"tensor {name!r} is missing")
    for name, spec in found.items():
        want = wanted[name]
        if spec.dtype != want.dtype:
            raise TensorError(f"tensor {name!r} is {spec.dtype}, expected {want.dtype}")
        if not _fits(spec.shape, want.shape):
            raise TensorError(f"tensor {name!r} has shape {list(spec.shape)}, expected {list(want.shape)}")
    if BINS in found and found[BINS].shape[0] > MAX_BINS:
        raise TensorError(f"tensor {BINS!r} has {found[BINS].shape[0]} rows, at most {MAX_BINS}")


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (_ANY, size) for size, want in zip(shape, wanted, strict=True))
