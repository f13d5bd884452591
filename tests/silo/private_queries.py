"""A silo's account of a query with noise, in a directory; made again it is that of the agent after a restart."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from septum.privacy.accounting import Stated
from septum.privacy.ledger import Budget
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.query import Noise, Query, QueryColumn
from septum.silo.ledger import Ledger
from septum.silo.log import Log
from septum.silo.private_query import PrivateQuery
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.private_run import PrivacyTools
from septum.silo.run_files import RunFiles

X = QueryColumn("x", minimum=0.0, maximum=1.0, moments=True, cuts=(0.25, 0.5))
QUERY = Query((X,), (), 1, Noise(1.0))
TABLE = {"x": np.linspace(0, 1, 50)}


def concentrated(used, delta):
    """Costs that are worked out by hand: zero-concentrated privacy."""
    del delta
    return math.fsum(one.epsilon if isinstance(one, Stated) else 14 / one.noise_multiplier**2 for one in used)


COST = 14 / 3.7307**2  # of the query: 1.006


def tools(folder: Path, budget: float = 3.0) -> PrivacyTools:
    ledger = Ledger(folder, concentrated, lambda: 1.0)
    return PrivacyTools(ledger, Budget(budget, 1e-5), concentrated, PrivateReceipts(folder), lambda: 2.0)


def plan_of(query: Query = QUERY) -> Plan:
    app = AppRef("small", "1", "sha256:" + "0" * 64)
    return Plan("p", app, {}, ("east", "north", "south"), rounds=1, masking=Masking(), query=query)


def files_of(folder: Path, run: str = "r1") -> RunFiles:
    files = RunFiles(folder / "runs" / run)
    files.make()
    return files


def account(folder: Path, run: str = "r1", budget: float = 3.0) -> PrivateQuery:
    return PrivateQuery(tools(folder, budget), run, plan_of(), files_of(folder, run), Log(silo="north"))
