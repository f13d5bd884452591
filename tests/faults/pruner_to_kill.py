"""`septum` as it is, but killed before its N-th change of the disk: `python -m tests.faults.pruner_to_kill N ARGS`.

Every name that Python gives, moves or takes away on the disk is told to audit hooks before it is done; the kill is
there. What is meant are the changes of the command itself, so modules are imported without writing byte code.
"""

import os
import signal
import sys

from septum.cli.main import main

CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir"})


def die_at(number: int) -> None:
    """Let the process be killed before its change `number`, counted from 1."""
    seen = 0

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in CHANGES:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    number, *sys.argv[1:] = sys.argv[1:]
    die_at(int(number))
    sys.exit(main())
