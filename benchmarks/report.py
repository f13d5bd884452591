"""What does a benchmark say, and on which machine? One JSON object, or a short table for people."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import TypeAlias

import septum

Figure: TypeAlias = "float | int | str | bool | Mapping[str, Figure] | Sequence[Figure] | None"
Figures: TypeAlias = Mapping[str, Figure]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has. `doc` is the module's docstring."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return made


def machine() -> Figures:
    """What was measured on, and how busy it was at the start."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_memory_bytes() / 2**30),
        "processor": platform.machine(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "septum": septum.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median and the ninth decile.

    >>> percentiles([1.0, 2.0, 3.0, 4.0, 5.0])
    {'p50': 3.0, 'p90': 4.6}
    """
    if len(values) < 2:
        return dict.fromkeys(("p50", "p90"), values[0] if values else 0.0)
    return {"p50": rounded(median(values)), "p90": rounded(quantiles(values, n=10, method="inclusive")[8])}


def rounded(value: float) -> float:
    """Four digits that mean something; more would be noise.

    >>> rounded(1234.5678), rounded(0.012345678)
    (1235.0, 0.01235)
    """
    return float(f"{value:.4g}")


def ratio(figure: float, floor: float) -> float | None:
    """How many times the floor a figure is; None without a floor.

    >>> ratio(3.0, 4.0)
    0.75
    """
    return rounded(figure / floor) if floor else None


def say(figures: Figures, rows: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print the result: all of it as one JSON object, or `rows` as a table."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _memory_bytes() -> int:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return int(line.split()[1]) * 1024
