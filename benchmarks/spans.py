"""How much processor and wall time goes into which functions? Wraps named ones; each second is counted once.

A span's own time is that of its function without the spans inside it. Time is taken from the thread's own processor
clock and from the wall clock, so waiting shows as the difference. Coroutines and generators are timed step by step,
so that what runs between their steps is not theirs. A wrapped call costs about a microsecond.
"""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

GARBAGE = "garbage collection"


class _Thread(threading.local):
    """The open spans of one thread (processor and wall time of what they called), and its sums by label."""

    def __init__(self) -> None:
        self.open: list[list[int]] = []
        self.sums: dict[str, list[int]] = {}
        _ALL.append(self.sums)


_ALL: list[dict[str, list[int]]] = []
_HERE = _Thread()


class _Span:
    """One stretch of time under a label. Stretches of one thread nest."""

    __slots__ = ("cpu", "label", "wall")

    def __init__(self, label: str) -> None:
        self.label = label

    def __enter__(self) -> None:
        _HERE.open.append([0, 0])
        self.wall, self.cpu = time.perf_counter_ns(), time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        cpu, wall = time.thread_time_ns() - self.cpu, time.perf_counter_ns() - self.wall
        inner_cpu, inner_wall = _HERE.open.pop()
        mine = _HERE.sums.setdefault(self.label, [0, 0, 0])
        mine[0] += 1
        mine[1] += cpu - inner_cpu
        mine[2] += wall - inner_wall
        if _HERE.open:
            _HERE.open[-1][0] += cpu
            _HERE.open[-1][1] += wall


class _Awaited:
    """A coroutine whose every step is a span."""

    def __init__(self, label: str, inner: Coroutine[object, object, object]) -> None:
        self._label = label
        self._inner = inner

    def __await__(self) -> Generator[object, object, object]:
        step: Callable[[], object] = functools.partial(self._inner.send, None)
        while True:
            with _Span(self._label):
                try:
                    given = step()
                except StopIteration as end:
                    return end.value
            try:
                step = functools.partial(self._inner.send, (yield given))
            except BaseException as error:  # noqa: BLE001  a cancellation, say: it is the coroutine's to handle
                step = functools.partial(self._inner.throw, error)


def _stepped(label: str, inner: Iterator[object]) -> Iterator[object]:
    while True:
        with _Span(label):
            try:
                item = next(inner)
            except StopIteration:
                return
        yield item


def _wrapped(label: str, called: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(called):

        @functools.wraps(called)
        async def awaited(*given: object, **named: object) -> object:
            return await _Awaited(label, called(*given, **named))

        return awaited
    if inspect.isgeneratorfunction(called):
        return functools.wraps(called)(lambda *given, **named: _stepped(label, called(*given, **named)))

    @functools.wraps(called)
    def timed(*given: object, **named: object) -> object:
        with _Span(label):
            return called(*given, **named)

    return timed


def install(targets: Mapping[str, str]) -> list[str]:
    """Wrap every `module:name` or `module:Class.name`, under its label. The targets that do not exist (any more)."""
    missing = []
    for target, label in targets.items():
        module, _, path = target.partition(":")
        *outer, name = path.split(".")
        try:
            holder = functools.reduce(getattr, outer, importlib.import_module(module))
            found = inspect.getattr_static(holder, name)
        except (ImportError, AttributeError):
            missing.append(target)
            continue
        if isinstance(found, classmethod | staticmethod):
            setattr(holder, name, type(found)(_wrapped(label, found.__func__)))
        else:
            setattr(holder, name, _wrapped(label, found))
    return missing


def watch_garbage() -> None:
    """Count the collector's time, too."""
    spans: list[_Span] = []

    def note(phase: str, info: object) -> None:
        del info
        if phase == "start":
            spans.append(_Span(GARBAGE))
            spans[-1].__enter__()
        elif spans:
            spans.pop().__exit__()

    gc.callbacks.append(note)


def dump_on_signal(folder: Path, role: str) -> None:
    """On SIGUSR1 add all sums so far, as one line of JSON, to `folder/ROLE-PID.jsonl`."""
    path = folder / f"{role}-{os.getpid()}.jsonl"

    def dump(number: int, frame: FrameType | None) -> None:
        del number, frame
        with path.open("a") as file:
            file.write(json.dumps({"at": time.time(), "cpu_s": time.process_time(), "spans": totals()}) + "\n")

    signal.signal(signal.SIGUSR1, dump)
    path.touch()


def totals() -> dict[str, list[int]]:
    """Calls, own processor time and own wall time in nanoseconds, by label, over all threads."""
    summed: dict[str, list[int]] = {}
    for sums in list(_ALL):
        for label, values in list(sums.items()):
            mine = summed.setdefault(label, [0, 0, 0])
            for index, value in enumerate(values):
                mine[index] += value
    return summed
