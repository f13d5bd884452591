"""What does an agent under the profile start instead of its worker? The same worker, under the profile."""

from __future__ import annotations

import sys

from benchmarks.profiled import main

if __name__ == "__main__":
    main(["worker", "", *sys.argv[1:]])
