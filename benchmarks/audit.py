"""How much does the audit log cost? To write an event, to check a log, to prove something of it.

    python -m benchmarks.audit --events 100000 --json

The log is that of a coordinator's SQLite database, in this process; with `--postgres` that of a PostgreSQL server of
this machine, whose own processor time is in no figure. `append_cpu_ms` is the CPU time of one more event in a
transaction that writes anyway, as a round's commit does, `append_head_cpu_ms` that with a signed head over it; the
floor beside them is the same transaction without it. `append_alone_ms` is the wall clock of an event that has a
transaction of its own, with its fsync. Checking reads every event, hash, node, column and head again, by CPU time and
by the clock on the wall; `export_verify_events_per_s` is the same of an exported file, without the database. Its floor
is SHA-256 over the same bytes, three times each as the chain and the tree ask for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.postgresql import a_database
from benchmarks.report import machine, parser, ratio, rounded, say
from septum.adapters.identity.roster_keys import verify
from septum.adapters.store.open import Stores, open_store
from septum.adapters.store.postgres_address import read_address
from septum.ports.groups import Group
from septum.protocol import audit_file
from septum.protocol.audit import AuditKind, Record

BATCH = 1000
TRIES = 300
GROUPS = count()
RECORD = Record(
    AuditKind.MODEL_MADE,
    about={"run": "r-yfcr4jyi5qqj", "round": "17", "model": "blake3:" + "6437b3ac38465133" * 4},
)


def main() -> None:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--events", type=int, default=100_000, help="how many the log has")
    made.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    options = made.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = read_address(stack.enter_context(a_database())) if options.postgres else None
        stores = stack.enter_context(open_store(folder / "data", address))
        for begin in range(0, options.events, BATCH):
            stores.audit.append([RECORD] * min(BATCH, options.events - begin), at=float(begin))
            stores.audit.sign(at=float(begin))
        plain, with_event, with_head = _written(stores)
        alone = median(_wall_ms(lambda: stores.audit.append([RECORD], at=1.0)) for _ in range(TRIES))
        began, began_wall = time.process_time(), time.perf_counter()
        checked = stores.audit.check()
        check_s, check_wall_s = time.process_time() - began, time.perf_counter() - began_wall
        lines = list(
            audit_file.write("benchmark", stores.audit.after(0, limit=checked), stores.audit.heads(limit=checked), ())
        )
        began = time.process_time()
        audit_file.check(lines, verify)
        file_s = time.process_time() - began
        floor_s = _hashed_s([line for line in lines if line.startswith(b'{"event"')])
        proof = median(_wall_ms(lambda: stores.audit.consistency(checked // 3, checked)) for _ in range(TRIES))
    figures = {
        "benchmark": "audit",
        "store": "postgresql" if options.postgres else "sqlite",
        "events": checked,
        "append_cpu_ms": rounded(with_event - plain),
        "append_head_cpu_ms": rounded(with_head - plain),
        "floor_commit_cpu_ms": rounded(plain),
        "append_alone_ms": rounded(alone),
        "verify_events_per_s": rounded(checked / check_s),
        "verify_wall_events_per_s": rounded(checked / check_wall_s),
        "export_verify_events_per_s": rounded(checked / file_s),
        "floor_events_per_s": rounded(checked / floor_s),
        "ratio": ratio(checked / check_s, checked / floor_s),
        "consistency_proof_ms": rounded(proof),
        "machine": machine(),
    }
    say(figures, [(name, str(value)) for name, value in figures.items() if name != "benchmark"], as_json=options.json)


def _written(stores: Stores) -> tuple[float, float, float]:
    """CPU milliseconds of a write: alone, with an event, with an event and a head; in turn, the median of each."""

    def write() -> None:
        stores.groups.add(Group(f"group-{next(GROUPS)}"))

    def recorded(*, sign: bool) -> None:
        with stores.audit.recording([RECORD], at=1.0, sign=sign):
            write()

    found = [
        (_cpu_ms(write), _cpu_ms(lambda: recorded(sign=False)), _cpu_ms(lambda: recorded(sign=True)))
        for _ in range(TRIES)
    ]
    plain, event, head = (median(times) for times in zip(*found, strict=True))
    return plain, event, head


def _cpu_ms(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return (time.process_time() - began) * 1000


def _wall_ms(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) * 1000


def _hashed_s(lines: list[bytes]) -> float:
    began = time.process_time()
    for line in lines:
        for _ in range(3):
            sha256(line).digest()
    return time.process_time() - began


if __name__ == "__main__":
    main()
