"""A private worker that is not the shipped one: `septum.privacy.dp_sgd` has other lines, in a process of its own.

python mutant_worker.py CHANGES [what an agent gives to Python]. CHANGES: a JSON file, a list of pairs of texts.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

MUTATED = "septum.privacy.dp_sgd"


def put_in_place(changes: list[list[str]]) -> None:
    """From now on whoever imports the module gets this one."""
    spec = importlib.util.find_spec(MUTATED)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MUTATED] = module
    exec(compile(source, "mutated", "exec"), module.__dict__)
    setattr(sys.modules["septum.privacy"], "dp_sgd", module)  # noqa: B010  as an import would


if __name__ == "__main__":
    put_in_place(json.loads(Path(sys.argv[1]).read_text()))
    from septum.silo.worker import main

    assert sys.argv[2:5] == ["-P", "-m", "septum.silo.worker"]
    main(sys.argv[5:])
