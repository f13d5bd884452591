"""What does a Python need to read to run? Asked of the interpreter itself, once for each."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from septum.errors import ConfigError

_ASK = """
import json, os, sys
import septum
folders = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, os.path.dirname(septum.__file__)]
folders += [path for path in sys.path if os.path.isabs(path)]
mapped = [line.split(None, 5)[5].rstrip() for line in open("/proc/self/maps") if line.count("/")]
folders += [os.path.dirname(path) for path in mapped if path.startswith("/") and ".so" in path]
print(json.dumps(sorted({path for path in folders if os.path.isdir(path)})))
"""
KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")
_ANSWER_S = 120.0  # from a cold disk, on a busy machine


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, and the folders that it and its packages are in."""

    program: Path
    folders: tuple[Path, ...]


@functools.cache
def interpreter(program: Path) -> Interpreter:
    """What this interpreter needs. Raises ConfigError when it does not run, or has no septum."""
    try:
        answer = subprocess.run(  # noqa: S603  an interpreter that the silo's operator named, and our own program
            [program, "-P", "-c", _ASK], env=where_python_is(os.environ), capture_output=True, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{program} does not run: {error}", hint=f"ls -l {program}") from error
    if answer.returncode:
        said = answer.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigError(f"{program} cannot run a worker: {said}", hint=f"{program} -m pip install septum")
    return Interpreter(program, tuple(Path(folder) for folder in json.loads(answer.stdout) if folder != "/"))


def where_python_is(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that says where programs and packages are."""
    return {name: environment[name] for name in ("PATH", "PYTHONPATH", "PYTHONHOME") if name in environment}


def kernels_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that says which kernels numeric libraries take, and so a sum's last bits.

    >>> kernels_in({"OPENBLAS_CORETYPE": "Haswell", "AWS_SECRET_ACCESS_KEY": "x"})
    {'OPENBLAS_CORETYPE': 'Haswell'}
    """
    return {name: environment[name] for name in KERNELS if name in environment}


def environment_of_app(home: Path, ours: Mapping[str, str]) -> dict[str, str]:
    """An app's environment: nothing of `ours` but where programs and Python's packages are, and which kernels to take.

    Whoever sets those for one program of a machine would else get another model from the next, by its last bits.
    """
    return (
        where_python_is(ours)
        | kernels_in(ours)
        | {
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(home),
            "OMP_NUM_THREADS": "1",  # the same sums on any machine; silos may share one
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",  # an app that walks a set walks it in one order
            "PYTHONUNBUFFERED": "1",  # what it printed before it was killed is what one wants to see
            "PYTHONFAULTHANDLER": "1",
        }
    )
