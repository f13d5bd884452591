"""What does encryption at rest cost a large model? `python -m benchmarks.at_rest --mb 100 --silos 4 --rounds 5 --json`.

The federation of `benchmarks.payload`, whose app echoes its model, without and with `[secrets]`: one after the other,
as often as `--pairs` says, so that both have the same machine. `cost`: the share of the plain throughput that is lost.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.federations import ECHO, client_of, echo_silos, federation_of, finish, plan_for, submit
from benchmarks.processes import cpu_s
from benchmarks.rounds_of import rounds_of
from septum.cli.federation import COORDINATOR

ASK_EVERY_S = 1.0
PLAIN, SEALED = "plain", "sealed"


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--mb", type=int, default=100, help="size of the model, 10^6 bytes")
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--pairs", type=int, default=3, help="how often both are measured")
    given = options.parse_args()
    figures = measure(given.mb, given.silos, given.rounds, given.pairs)
    report.say(figures, [(name, str(value)) for name, value in figures.items()], as_json=given.json)


def measure(mb: int, silos: int, rounds: int, pairs: int) -> report.Figures:
    """All figures."""
    facts = report.machine()
    found: dict[str, list[float]] = {PLAIN: [], SEALED: []}
    cpu: dict[str, list[float]] = {PLAIN: [], SEALED: []}
    with tempfile.TemporaryDirectory(prefix="septum-key-") as folder:
        key = Path(folder) / "secrets.key"
        key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        key.chmod(0o600)
        for _ in range(pairs):
            for kind, settings in ((PLAIN, ""), (SEALED, f'[secrets]\nkey_file = "{key}"\n')):
                speeds, seconds = _measured(mb, silos, rounds, settings)
                found[kind] += speeds
                cpu[kind].append(seconds)
    plain, sealed = median(found[PLAIN]), median(found[SEALED])
    return {
        "benchmark": "at_rest",
        "mb": mb,
        "silos": silos,
        "rounds": rounds,
        "pairs": pairs,
        "plain_gb_per_s": report.rounded(plain),
        "sealed_gb_per_s": report.rounded(sealed),
        "cost": report.rounded(1 - sealed / plain),
        "coordinator_cpu_s_a_round": {kind: report.rounded(min(values)) for kind, values in cpu.items()},
        "each_gb_per_s": {kind: [report.rounded(one) for one in values] for kind, values in found.items()},
        "load_average_after": report.rounded(os.getloadavg()[0]),
        "machine": facts,
    }


def _measured(mb: int, silos: int, rounds: int, settings: str) -> tuple[list[float], float]:
    """What crossed the wire a second in each round, both ways; the coordinator's processor seconds for a round."""
    with tempfile.TemporaryDirectory(prefix="septum-echo-") as folder:
        files = echo_silos(silos, Path(folder))
        with federation_of(ECHO, files, settings) as federation, client_of(federation) as client:
            before = cpu_s(federation.pid(COORDINATOR))
            finished = finish(client, submit(client, plan_for(ECHO, files, rounds, mb=mb)), ask_every_s=ASK_EVERY_S)
            seconds = cpu_s(federation.pid(COORDINATOR)) - before
    moved_gb = 2 * silos * mb / 1e3
    return [moved_gb / (one.wall_s - one.training_s) for one in rounds_of(finished.journal)], seconds / rounds


if __name__ == "__main__":
    main()
