"""What does secure aggregation cost? `python -m benchmarks.secagg --silos 4 --parameters 1000000 --json`.

Whole attempts in one process and one thread, without a network, with one silo that drops out after it masked (none
with fewer than four silos: none may). Each step of each silo is timed. `silo_s` is the median silo's time over all
steps, with quantising; `server_s` is the coordinator's, with adding the vectors up and making the mean.
`masking_ratio` is the time for masking, adding included, over that for the bare keystream of as many masks
(floors/keystream.py), which is measured in turn with it. Best of the repetitions, for masking of all silos too: noise
only ever slows down. The unmasked sum is compared with the plain one each time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.floors import keystream
from septum.adapters.identity.masking_primitives import openssl
from septum.secagg.context import Place, Terms, roster_digest, threshold
from septum.secagg.fixed_point import Scale, mean, quantise
from septum.secagg.masks import Masker
from septum.secagg.server import Transcript, check_advert, check_reveal, check_signature, unmasking
from septum.secagg.silo import Advert, Adverts, Bundle, Party, Reveal, Sealed, Signatures, State, Survivors, begin, step

PLACE = Place(run="benchmark", stage="train", round=1, attempt=0)
TERMS = Terms(model="model", plan="plan", layout="layout")
WEIGHT = 300  # rows of each silo
PRIMITIVES = openssl()


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--parameters", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=9)
    given = options.parse_args()
    figures = measure(given.silos, given.parameters, given.repeats)
    shown = [(name, str(value)) for name, value in figures.items()]
    report.say(figures, shown, as_json=given.json)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each step: one figure a silo that took it, and the coordinator's."""

    silos: dict[str, list[float]] = field(default_factory=dict)
    server: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def silo(self, name: str) -> Iterator[None]:
        """Time one silo's step."""
        began = time.perf_counter()
        yield
        self.silos.setdefault(name, []).append(time.perf_counter() - began)

    @contextmanager
    def coordinator(self, name: str) -> Iterator[None]:
        """Time a part of the coordinator's work; parts of one name add up."""
        began = time.perf_counter()
        yield
        self.server[name] = self.server.get(name, 0.0) + time.perf_counter() - began

    @property
    def median_silo(self) -> dict[str, float]:
        """Each step of the median silo."""
        return {name: median(values) for name, values in self.silos.items()}


def measure(silos: int, parameters: int, repeats: int) -> report.Figures:
    """All figures."""
    facts = report.machine()
    keys = {f"silo-{at:03}": Ed25519PrivateKey.generate() for at in range(silos)}
    update = np.random.default_rng(0).random(parameters, np.float32) - np.float32(0.5)
    attempts: list[Times] = []
    floors: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, program in keystream.PROGRAMS.items():
            floors.setdefault(name, []).append(keystream.seconds(program, silos, 4 * parameters))
        attempts.append(attempt(keys, update))
    steps = min((one.median_silo for one in attempts), key=lambda one: sum(one.values()))
    server = min((one.server for one in attempts), key=lambda one: sum(one.values()))
    masking = min(min(one.silos["mask"]) for one in attempts)
    floor_program = min(floors, key=lambda name: min(floors[name]))
    floor = min(floors[floor_program])
    return {
        "benchmark": "secagg",
        "silos": silos,
        "parameters": parameters,
        "dropped": silos - len(survivors_of(list(keys))),
        "repeats": repeats,
        "silo_s": report.rounded(sum(steps.values())),
        "server_s": report.rounded(sum(server.values())),
        "masking_s": report.rounded(masking),
        "keystream_floor_s": report.rounded(floor),
        "floor_program": floor_program,
        "floors_s": {name: report.rounded(min(values)) for name, values in floors.items()},
        "masking_ratio": report.ratio(masking, floor),
        "silo_steps_s": {name: report.rounded(value) for name, value in steps.items()},
        "server_steps_s": {name: report.rounded(value) for name, value in server.items()},
        "load_average_after": report.rounded(os.getloadavg()[0]),
        "machine": facts,
    }


def survivors_of(names: Sequence[str]) -> tuple[str, ...]:
    """All, or all but the last where one may drop out.

    >>> survivors_of("abc"), survivors_of("abcd")
    (('a', 'b', 'c'), ('a', 'b', 'c'))
    """
    return tuple(names[:-1] if len(names) > threshold(len(names)) else names)


def attempt(keys: Mapping[str, Ed25519PrivateKey], update: NDArray[np.float32]) -> Times:
    """One attempt, timed. Every silo has the same update, so the sum is known."""
    times = Times()
    scale = Scale(silos=len(keys), weight_cap=2 * WEIGHT, clip=1.0)
    states, adverts, sealed, roster = _keys_and_shares(keys, times)
    survivors = survivors_of(list(keys))
    total = np.zeros(update.size, np.uint32)
    for name in keys:
        bundle = Bundle({peer: sealed[peer][name] for peer in keys if peer != name}, TERMS)
        with times.silo("open shares"):
            states[name], masks = step(states[name], bundle)
        with times.silo("quantise"):
            words, _ = quantise(update, WEIGHT, scale)
        with times.silo("mask"):
            Masker(masks, PRIMITIVES).words(words)
        if name in survivors:
            with times.coordinator("add up"):
                np.add(total, words, out=total)
    transcript = Transcript(PLACE, TERMS, roster_digest(roster), tuple(keys), adverts, tuple(keys), survivors)
    reveals = _signed_and_revealed(states, roster, transcript, times)
    with times.coordinator("join shares"):
        to_add = unmasking(transcript, reveals, PRIMITIVES)
    with times.coordinator("unmask"):
        Masker(to_add, PRIMITIVES).words(total)
    with times.coordinator("mean"):
        mean(total, WEIGHT * len(survivors), scale)
    plain = quantise(update, WEIGHT, scale)[0] * np.uint32(len(survivors))
    if not np.array_equal(total, plain):
        raise AssertionError("the unmasked sum is not the plain sum")
    return times


Opened: TypeAlias = tuple[dict[str, State], dict[str, Advert], dict[str, Sealed], dict[str, bytes]]


def _keys_and_shares(keys: Mapping[str, Ed25519PrivateKey], times: Times) -> Opened:
    """R0 and R1, which in a run happen while the silos train."""
    roster = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
    states: dict[str, State] = {}
    adverts: dict[str, Advert] = {}
    sealed: dict[str, Sealed] = {}
    digest = roster_digest(roster)
    for name, key in keys.items():
        with times.silo("advertise"):
            states[name], adverts[name] = begin(Party(name, roster, threshold(len(keys)), PLACE), PRIMITIVES, key.sign)
        with times.coordinator("check adverts"):
            check_advert(name, adverts[name], roster[name], PLACE, digest, PRIMITIVES)
    for name in keys:
        with times.silo("share"):
            states[name], sealed[name] = step(states[name], Adverts(adverts))
    return states, adverts, sealed, roster


def _signed_and_revealed(
    states: dict[str, State], roster: Mapping[str, bytes], transcript: Transcript, times: Times
) -> dict[str, Reveal]:
    """R3 and R4."""
    signatures: dict[str, bytes] = {}
    reveals: dict[str, Reveal] = {}
    for name in transcript.survivors:
        with times.silo("sign"):
            states[name], signatures[name] = step(states[name], Survivors(transcript.survivors))
        with times.coordinator("check signatures"):
            check_signature(transcript, name, roster[name], signatures[name], PRIMITIVES)
    for name in transcript.survivors:
        with times.silo("reveal"):
            states[name], reveals[name] = step(states[name], Signatures(signatures))
        with times.coordinator("check reveals"):
            check_reveal(transcript, name, reveals[name])
    return reveals


if __name__ == "__main__":
    main()
