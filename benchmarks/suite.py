"""Which benchmarks stand in docs/benchmarks.md, and with which settings?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SUITE: Mapping[str, Sequence[str]] = {
    "rounds, 4 silos": ("rounds", "--silos", "4", "--rounds", "50", "--repeats", "5"),
    "masked rounds, 4 silos": ("rounds", "--silos", "4", "--rounds", "50", "--repeats", "5", "--masked"),
    "rounds with audit and a tracker": (
        *("rounds", "--silos", "4", "--rounds", "200", "--repeats", "5", "--tracker", "mlflow"),
    ),
    "rounds on PostgreSQL": ("rounds", "--silos", "4", "--rounds", "100", "--repeats", "5", "--postgres"),
    "rounds, 16 silos": ("rounds", "--silos", "16", "--rounds", "50", "--repeats", "3"),
    "rounds, 64 silos": ("rounds", "--silos", "64", "--rounds", "50", "--repeats", "1"),
    "payload, 4 silos": ("payload", "--mb", "100", "--silos", "4", "--rounds", "6"),
    "payload, 16 silos": ("payload", "--mb", "100", "--silos", "16", "--rounds", "4"),
    "encryption at rest, 4 silos": ("at_rest", "--mb", "100", "--silos", "4", "--rounds", "6"),
    "aggregate, 4 silos": ("aggregate", "--silos", "4", "--parameters", "25000000"),
    "aggregate, 16 silos": ("aggregate", "--silos", "16", "--parameters", "25000000", "--repeats", "3"),
    "secure aggregation, 4 silos": ("secagg", "--silos", "4", "--parameters", "1000000"),
    "secure aggregation, 64 silos": ("secagg", "--silos", "64", "--parameters", "100000"),
    "masks beside training, 100,000 parameters": ("masking", "--parameters", "100000"),
    "masks beside training, 1,000,000 parameters": ("masking", "--parameters", "1000000", "--rounds", "8"),
    "profile of a round": ("profile_round", "--silos", "4", "--rounds", "300"),
    "profile of a masked round": ("profile_round", "--silos", "4", "--rounds", "300", "--masked"),
    "profile of a large round": ("profile_round", "--silos", "4", "--rounds", "10", "--mb", "100"),
    "connections": ("connections", "--silos", "1000"),
    "api": ("api", "--runs", "10000", "--points", "1000000"),
    "audit": ("audit",),
    "audit on PostgreSQL": ("audit", "--postgres"),
    "viewers": ("viewers", "--viewers", "50"),
}
