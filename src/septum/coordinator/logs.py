"""What have the silos told of the runs' logs? Taken in, bounded, and handed to those who look, as they come.

Beside it stand the coordinator's own lines about a run (own_lines.py), within the same bounds.

Nothing here is in a round's way: the lines are in a file and a thread of their own (ports/telemetry.py). What a silo
tells is its own word. Of a run that is masked or has differential privacy no line of an app is taken, whatever a silo
sends: its steward may have been mistaken.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from septum.coordinator.allowance import Allowance
from septum.coordinator.hub import Frame, Hubs, frame_of
from septum.coordinator.own_lines import LOGGER, OWN, OwnLines
from septum.coordinator.service import RunService
from septum.errors import ProtocolError, RateLimitedError, SeptumError
from septum.ports.clock import Clock
from septum.ports.telemetry import Kept, LogStore
from septum.protocol.codec import to_json
from septum.protocol.log_lines import ALL_LINES, LogBatch, LogFilter, LogLine, LogOrigin, LogView, app_may_tell

log = logging.getLogger("septum.coordinator.logs")

LINES_A_SECOND, BURST_LINES = 200.0, 4_000.0  # of one silo, over all its runs: an agent sends half of it
PRUNE_EVERY_S = 3_600.0
PAGE = 500
MAX_RUNS = 1_000  # of which is known how many own lines there were; one that is forgotten begins a new stream
LINGER_S = 3.0  # an agent gathers its lines for a second: what ended is looked at so long after its end
P = ParamSpec("P")
T = TypeVar("T")


class Logs:
    """The logs of all runs. For the event loop."""

    def __init__(self, store: LogStore, service: RunService, clock: Clock, kept: Kept) -> None:
        self._store = store
        self._service = service
        self._clock = clock
        self._kept = kept
        self._threads = ThreadPoolExecutor(2, "septum-logs")
        self._allowance = Allowance("lines of logs", LINES_A_SECOND, BURST_LINES)
        self._lingering: dict[str, float] = {}  # runs that have just ended, until when lines of theirs may come
        self._pruning: asyncio.Task[None] | None = None
        self._own: deque[tuple[str, LogBatch]] = deque()
        self._told: dict[str, tuple[str, int]] = {}  # of each run: the stream of own lines, and how many there were
        self._writing: asyncio.Task[None] | None = None
        self._handler: OwnLines | None = None
        self.hubs: Hubs[LogView] = Hubs(lambda run: _RunLog(self, run))

    def start(self) -> None:
        """Remove what is not kept any longer, now and each hour."""
        self._pruning = asyncio.create_task(self._prune(), name="septum-logs")
        loop = asyncio.get_running_loop()

        def take(run: str, line: LogLine) -> None:
            loop.call_soon_threadsafe(self._take_own, run, line)

        self._handler = OwnLines(take)
        logging.getLogger(LOGGER).addHandler(self._handler)

    async def close(self) -> None:
        """End."""
        if self._handler is not None:
            logging.getLogger(LOGGER).removeHandler(self._handler)
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.wait([self._pruning])
        await asyncio.to_thread(self._threads.shutdown)

    async def take(self, silo: str, run: str, batch: LogBatch) -> None:
        """Keep what a silo tells of a run.

        Raises NotFoundError, MessageError, ProtocolError, RateLimitedError, StorageError.
        """
        batch.check_told()
        plan = await self._service.plan_of_silo(silo, run)
        if not app_may_tell(plan) and any(line.origin is LogOrigin.APP for line in batch.lines):
            raise ProtocolError(
                f"run {run} is masked or private: what its app prints in silo {silo!r} is not taken",
                hint=f"septum run plan {run}",
            )
        self._allowance.take(silo, len(batch.lines), self._clock.monotonic())
        if await self._in_thread(self._store.add, run, silo, batch, at=self._clock.unix()):
            self.hubs.wake(run)

    def _take_own(self, run: str, line: LogLine) -> None:
        """A line of the coordinator about a run. What is too much is counted, and told as missing."""
        if not self._service.is_here(run):  # another coordinator's, in the same process
            return
        stream, number = self._told.get(run) or (secrets.token_hex(8), 0)
        self._told[run] = (stream, number + 1)
        if len(self._told) > MAX_RUNS:
            del self._told[next(iter(self._told))]
        try:
            self._allowance.take(OWN, 1, self._clock.monotonic())
        except RateLimitedError:
            return
        self._own.append((run, LogBatch(stream, number, (line,))))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_own(), name="septum-own-lines")

    async def _write_own(self) -> None:
        while self._own:
            run, batch = self._own.popleft()
            with suppress(SeptumError):  # it is in the coordinator's own log as well
                if await self._in_thread(self._store.add, run, OWN, batch, at=self._clock.unix()):
                    self.hubs.wake(run)

    async def page(
        self, run: str, wanted: LogFilter, *, limit: int, after: int = 0, before: int | None = None
    ) -> tuple[LogView, ...]:
        """Lines of a run, as `LogStore.page` has them. Raises NotFoundError for an unknown run."""
        await self._service.plan(run)
        return tuple(await self._in_thread(self._store.page, run, wanted, limit=limit, after=after, before=before))

    async def after(self, run: str, seq: int) -> Sequence[Frame[LogView]]:
        """A page of all lines of a run after line `seq`, for those who watch. Raises NotFoundError."""
        lines = await self.page(run, ALL_LINES, limit=PAGE, after=seq)
        return [Frame(line.seq, line, frame_of(line.seq, to_json(line))) for line in lines]

    async def over(self, run: str) -> bool:
        """Whether a run has ended so long ago that no line of it is expected. Raises NotFoundError."""
        if not (await self._service.run(run)).status.ended:
            return False
        return self._clock.monotonic() >= self._lingering.get(run, 0.0)

    def noted(self, run: str) -> None:
        """A run has something new in its journal: if it is its end, those who watch are let go a little later."""
        if self._service.has_ended(run):
            self._lingering[run] = self._clock.monotonic() + LINGER_S
            asyncio.get_running_loop().call_later(LINGER_S, self._let_go, run)

    def _let_go(self, run: str) -> None:
        if self._lingering.pop(run, None) is not None:
            self.hubs.wake(run)

    async def _prune(self) -> None:
        while True:
            try:
                gone = await self._in_thread(self._store.prune, self._kept, now=self._clock.unix())
                if gone:
                    log.info("logs_pruned", extra={"lines": gone})
            except SeptumError as error:
                log.warning("logs_not_pruned", extra={"error": error.message})
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), PRUNE_EVERY_S)

    async def _in_thread(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._threads.submit(job, *args, **kwargs))


class _RunLog:
    """The lines of one run, as frames. A `hub.Source`."""

    def __init__(self, logs: Logs, run: str) -> None:
        self._logs = logs
        self._run = run

    async def after(self, seq: int) -> Sequence[Frame[LogView]]:
        """A page of the lines after line `seq`."""
        return await self._logs.after(self._run, seq)

    async def over(self) -> bool:
        """Whether no line is expected any more."""
        return await self._logs.over(self._run)
