"""How much more does a silo compute where it masks? `python -m benchmarks.masking --parameters 100000 --json`.

Four silos as real processes train a network of so many parameters (apps/dense), one epoch over half of their rows a
round, in turn without and with masks. `silo_cpu_ms` is what agent and worker of one silo use in a round, as the kernel
counts it; `cpu_ratio` is masked over plain, each the median over its runs. Masks cost a silo the same whatever it
trains: the longer an epoch, the smaller the ratio.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.federations import client_of, federation_of, pids_of, plan_for, run_to_end, wait_until_quiet
from benchmarks.processes import SAMPLE_EVERY_S, Sampler
from benchmarks.rounds import measured
from septum.protocol.plan import Masking

DENSE = Path(__file__).parent / "apps" / "dense"


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--parameters", type=int, default=100_000)
    options.add_argument("--rows", type=int, default=5000, help="of each silo; it trains on half of them")
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    figures = measure(given.silos, given.parameters, given.rows, given.rounds, given.repeats)
    shown = [(name, str(value)) for name, value in figures.items()]
    report.say(figures, shown, as_json=given.json)


def measure(silos: int, parameters: int, rows: int, rounds: int, repeats: int) -> report.Figures:
    """All figures."""
    facts = report.machine()
    found: dict[str, list[float]] = {"plain": [], "masked": []}
    with tempfile.TemporaryDirectory(prefix="septum-masking-") as name:
        files = _silos(silos, rows, Path(name))
        plain = plan_for(DENSE, files, rounds, parameters=parameters)
        plans = {"plain": plain, "masked": replace(plain, masking=Masking())}
        with federation_of(DENSE, files) as federation, client_of(federation) as client:
            for _ in range(repeats):
                for kind, plan in plans.items():
                    with Sampler(pids_of(federation), SAMPLE_EVERY_S) as sampler:
                        finished = run_to_end(client, plan)
                    cpu_ms = measured(finished, sampler.samples).cpu_ms
                    if not cpu_ms:
                        raise SystemExit(
                            f"{rounds} rounds are over before processors are looked at twice: more --rounds"
                        )
                    found[kind].append((cpu_ms["agents"] + cpu_ms["workers"]) / silos)
                    wait_until_quiet(federation)
    cpu = {kind: median(values) for kind, values in found.items()}
    return {
        "benchmark": "masking",
        "silos": silos,
        "parameters": parameters,
        "rows": rows,
        "rounds": rounds,
        "repeats": repeats,
        "silo_cpu_ms": {kind: report.rounded(value) for kind, value in cpu.items()},
        "cpu_ratio": report.ratio(cpu["masked"], cpu["plain"]),
        "masks_cost_ms": report.rounded(cpu["masked"] - cpu["plain"]),
        "machine": facts,
    }


def _silos(count: int, rows: int, folder: Path) -> dict[str, Path]:
    folder.chmod(0o755)  # silos may run under users of their own
    files = {f"silo-{number:02}": folder / f"silo-{number:02}.csv" for number in range(count)}
    for number, path in enumerate(files.values()):
        path.write_text("x,y\n" + "".join(f"{row / 7 + number},{row % 2}\n" for row in range(rows)))
    return files


if __name__ == "__main__":
    main()
