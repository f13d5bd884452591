"""Run every benchmark, one after another: `python -m benchmarks.all --json FILE --page docs/benchmarks.md`.

About a quarter of an hour on two cores. FILE gets one JSON object, by benchmark. With --page the figures of the page
are written anew, between its two marks. `--from FILE` writes the page from an earlier run. Nothing else should be
running.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.page import replace_figures
from benchmarks.suite import SUITE


def main() -> int:
    """Run, write, print what failed; the number of failures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", type=Path, help="where the figures go")
    options.add_argument("--page", type=Path, help="the page whose figures are written anew")
    options.add_argument("--from", type=Path, dest="earlier", help="run nothing: take the figures from this file")
    options.add_argument("--only", nargs="*", metavar="NAME", choices=tuple(SUITE), default=tuple(SUITE))
    given = options.parse_args()
    results: dict[str, object] = json.loads(given.earlier.read_text()) if given.earlier else {}
    failed = 0
    for name in () if given.earlier else given.only:
        print(f"{name}: python -m benchmarks.{' '.join(SUITE[name])}", file=sys.stderr, flush=True)
        found = _run(name)
        failed += found is None
        if found is not None:
            results[name] = found
            if given.json:
                given.json.write_text(json.dumps(results, indent=1) + "\n")  # also if a later one is interrupted
    if given.page:
        given.page.write_text(replace_figures(given.page.read_text(), results))
    if not given.json and not given.page:
        print(json.dumps(results))
    return failed


def _run(name: str) -> object:
    module, *arguments = SUITE[name]
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} ended with {done.returncode}:\n{done.stderr}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
