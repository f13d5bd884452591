"""Which values can messages, facts, events and effects hold? Strategies for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from tests.protocol.driving import APP

from septum.protocol import messages
from septum.protocol.deploying import DeploymentOrder, DeploymentOrders, DeployState, Told
from septum.protocol.description import OfferedDataset, SiloDescription, Standing, rows_bucket
from septum.protocol.log_lines import LogBatch, LogLevel, LogLine, LogOrigin
from septum.protocol.messages import Blob, Report, Stage, blob_of
from septum.protocol.plan import EarlyStopping, Masking, Metric, Plan, Private, Start, StrategyRef
from septum.protocol.query import Code, Pair, Query, QueryColumn
from septum.protocol.system import Readings, SystemReport, SystemSample
from septum.secagg.messages import Advert, Reveal
from septum.secagg.shamir import PRIME, SHARE_BYTES

texts = st.text(st.characters(codec="utf-8"), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**53 - 1)
silo_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
digests = st.binary(max_size=4).map(lambda data: blob_of(data).digest)
blobs = st.binary(max_size=40).map(blob_of) | st.builds(Blob, digests, counts)

plans = st.builds(
    lambda silos, **settings: Plan("heart", APP, silos=tuple(sorted(silos)), **settings),
    st.sets(silo_names, min_size=1, max_size=4),
    hyper=st.dictionaries(texts, st.booleans() | st.integers(-(2**63), 2**63) | floats | texts, max_size=4),
    rounds=st.integers(1, 100_000),
    seed=st.integers(0, 2**63 - 1),
    strategy=st.builds(StrategyRef, texts, st.dictionaries(texts, floats | st.integers(-9, 9), max_size=3)),
    gather_s=st.floats(0.001, 3600) | st.integers(1, 3600),
    deadline_s=st.floats(0.001, 3600),
    attempts=st.integers(1, 100),
    early_stopping=st.none() | st.builds(EarlyStopping, st.sampled_from(Metric), st.integers(1, 9), st.floats(0, 1)),
    clip_norm=st.none() | st.floats(0.1, 10) | st.integers(1, 10),
)
private_plans = st.builds(
    lambda private: Plan("heart", APP, {}, ("east", "west"), rounds=3, private=private),
    st.builds(Private, st.just(("*.bias", "head.*")), st.sampled_from(Start), st.integers(0, 10_000)),
)
masked_plans = st.builds(
    lambda silos, masking: Plan("heart", APP, {}, tuple(sorted(silos)), rounds=3, masking=masking),
    st.sets(silo_names, min_size=2, max_size=4),
    st.builds(Masking, st.floats(1e-6, 1e6), st.integers(1, 2**24), st.floats(0.001, 3600)),
)
reports = st.builds(
    Report,
    st.sampled_from(Stage),
    counts,
    counts,
    base=st.just("") | digests,
    payload=blobs,
    weight=st.integers(1, 2**53 - 1),
    durations_s=st.dictionaries(texts, floats, max_size=3),
)
bounds = st.tuples(st.integers(-99, 0), st.integers(1, 99))
numbers = st.builds(
    lambda limits, **asked: QueryColumn("age", "years", minimum=limits[0], maximum=limits[1], **asked),
    bounds,
    whole=st.booleans(),
    moments=st.booleans(),
    quantiles=st.sets(st.sampled_from((0.25, 0.5, 0.75))).map(lambda shares: tuple(sorted(shares))),
    cuts=st.sets(st.integers(-9, 9), min_size=1, max_size=3).map(lambda cuts: tuple(sorted(cuts))),
)
coded = st.sets(st.integers(-9, 9), min_size=1, max_size=3).map(
    lambda values: QueryColumn("sex", codes=tuple(Code(value, f"{value}") for value in sorted(values)))
)
queries = st.builds(
    lambda number, code, tables, least: Query((number, code), tables, least),
    numbers,
    coded,
    st.sampled_from(((), (Pair("age", "sex"),), (Pair("sex", "age"),))),
    st.just(1) | st.integers(3, 1_000),
)
query_plans = st.builds(
    lambda query: Plan("heart", APP, {}, ("east", "west"), rounds=1, masking=Masking(), query=query), queries
)
roster_digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
x25519_keys = st.integers(0, 2**255 - 20).map(lambda number: number.to_bytes(32, "little"))
adverts = st.builds(
    Advert,
    x25519_keys,
    x25519_keys,
    st.binary(min_size=64, max_size=64),
)
shares = st.integers(0, PRIME - 1).map(lambda number: number.to_bytes(SHARE_BYTES, "big"))
reveals = st.tuples(st.dictionaries(texts, shares, max_size=3), st.dictionaries(texts, shares, max_size=3)).map(
    lambda both: Reveal(both[0], {name: share for name, share in both[1].items() if name not in both[0]})
)
attempts = {"stage": st.sampled_from(Stage), "round": counts, "attempt": counts}
offers = st.builds(
    messages.AppOffer, st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True), texts, texts, blobs, signatures=texts
)
lines = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
buckets = st.just("") | st.integers(0, 10**6).map(rows_bucket)
orders = st.builds(
    DeploymentOrder,
    st.integers(1, 10**6),
    silo_names,
    st.integers(1, 10**6),
    texts,
    counts,
    blobs.map(Blob.without_bytes),
    st.just(APP),
    st.dictionaries(texts, st.booleans() | floats | texts, max_size=3),
    st.integers(0, 2**63 - 1),
    st.lists(texts, max_size=2).map(tuple),
)
log_lines = st.builds(
    LogLine,
    st.floats(0, 2e9) | st.integers(0, 2_000_000_000),
    st.sampled_from(LogLevel),
    st.sampled_from((LogOrigin.AGENT, LogOrigin.APP)),
    texts,
    st.integers(0, 1_000_000),
)
loads = st.floats(0, 1e12) | st.integers(0, 9)
readings = st.builds(Readings, loads, loads, loads, loads, loads, st.none() | loads, st.none() | loads)
samples = st.builds(SystemSample, st.floats(0, 2e9), readings)
_BY_TYPE: dict[object, st.SearchStrategy[object]] = {
    bool: st.booleans(),
    int: counts,
    float: floats | st.integers(-9, 9),
    str: texts,
    bytes: st.binary(max_size=64),
    type(None): st.none(),
    Blob: blobs,
    Plan: plans | masked_plans | private_plans | query_plans,
    Query: queries,
    Report: reports,
    messages.AppOffer: offers,
    Advert: adverts,
    Reveal: reveals,
    messages.Join: st.builds(messages.Join, texts, st.just("") | digests),
    messages.Keys: st.builds(messages.Keys, **attempts, roster=roster_digests, advert=adverts),
    messages.Masked: st.builds(
        messages.Masked,
        **attempts,
        base=st.just("") | digests,
        payload=blobs,
        durations_s=st.dictionaries(texts, floats, max_size=3),
    ),
    SiloDescription: st.builds(
        SiloDescription,
        lines,
        lines,
        lines,
        st.integers(0, 2**16),
        st.integers(0, 2**31),
        st.lists(lines, max_size=3).map(tuple),
        st.dictionaries(silo_names, silo_names, max_size=3),
        st.lists(st.builds(OfferedDataset, lines, st.lists(lines, max_size=3).map(tuple), buckets), max_size=3).map(
            tuple
        ),
    ),
    DeploymentOrders: st.lists(orders, max_size=3, unique_by=lambda one: one.name).map(tuple).map(DeploymentOrders),
    Told: st.builds(
        Told,
        st.integers(1, 10**6),
        st.sampled_from(DeployState),
        st.just("") | lines,
        st.dictionaries(st.sampled_from([metric.value for metric in Metric]), floats),
    ),
    Standing: st.builds(Standing, st.booleans(), st.just("") | lines),
    LogBatch: st.builds(
        LogBatch,
        st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
        counts,
        st.lists(log_lines, min_size=1, max_size=3).map(tuple),
    ),
    SystemReport: st.builds(
        SystemReport,
        st.lists(samples, min_size=1, max_size=3).map(tuple),
        st.floats(0, 1e9) | st.integers(0, 9),
        st.floats(0, 1e9),
    ),
    messages.Agreed: st.builds(messages.Agreed, **attempts, signature=st.binary(min_size=64, max_size=64)),
}


def values_of(hint: object) -> st.SearchStrategy[Any]:
    """Values of a type: a scalar, an enum, a dataclass, or a union, tuple or mapping of them."""
    if hint in _BY_TYPE:
        return _BY_TYPE[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)})
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(texts, values_of(arguments[1]), max_size=3)
    return st.one_of([values_of(member) for member in arguments])


# Everything that crosses the wire.
WIRE = (
    messages.SiloMessage
    | messages.Poll
    | messages.PollAnswer
    | messages.Instruction
    | messages.Enroll
    | messages.Enrolled
    | messages.AppOffer
    | messages.AppOffers
    | messages.Serving
    | messages.Over
    | SiloDescription
    | Standing
    | DeploymentOrders
    | Told
    | LogBatch
    | SystemReport
)
