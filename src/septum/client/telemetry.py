"""How does a program ask the coordinator for logs of runs, and how busy machines are?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol
from urllib.parse import quote

from septum.client.stream import Lines, follow
from septum.client.wire import list_of
from septum.protocol.codec import Json, from_json
from septum.protocol.log_lines import ALL_LINES, LogFilter, LogLevel, LogView
from septum.protocol.system import SystemSeries
from septum.protocol.views import RunView


class _Ask(Protocol):
    def __call__(self, method: str, path: str, *, params: Mapping[str, str | list[str]]) -> Json: ...


class LogsClient:
    """Logs of runs."""

    def __init__(self, ask: _Ask, lines: Lines) -> None:
        self._ask = ask
        self._lines = lines

    def page(
        self,
        run_id: str,
        wanted: LogFilter = ALL_LINES,
        *,
        limit: int = 200,
        after: int = 0,
        before: int | None = None,
    ) -> tuple[LogView, ...]:
        """At most `limit` lines, in order: the oldest after line `after`; with `before` the newest before that line."""
        params = {**_query(wanted), "limit": str(limit), "after": str(after)}
        if before is not None:
            params["before"] = str(before)
        return list_of(LogView, self._ask("GET", f"/runs/{quote(run_id, safe='')}/logs", params=params))

    def follow(
        self, run_id: str, wanted: LogFilter = ALL_LINES, *, after: int = 0, patience_s: float = 60.0
    ) -> Iterator[LogView]:
        """Lines after line `after` as they come, until the run has ended and all was told.

        A broken connection is taken up again where it broke, for up to `patience_s` seconds without success.
        """
        path, query = f"/runs/{quote(run_id, safe='')}/logs/stream", _query(wanted)
        return follow(
            LogView,
            lambda known: self._lines(path, known, query),
            after=after,
            patience_s=patience_s,
            over=lambda _: self._has_ended(run_id),  # the coordinator closes the stream when nothing is expected
        )

    def _has_ended(self, run_id: str) -> bool:
        view = from_json(RunView, self._ask("GET", f"/runs/{quote(run_id, safe='')}", params={}))
        return view.status.ended


class LoadsClient:
    """How busy machines are."""

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask

    def of_silo(
        self, name: str, *, since: float | None = None, until: float | None = None, points: int = 360
    ) -> SystemSeries:
        """At most so many points of a silo's machine between two Unix times; by default of the last hour."""
        return self._series(f"/silos/{quote(name, safe='')}/system", since, until, points)

    def of_coordinator(
        self, *, since: float | None = None, until: float | None = None, points: int = 360
    ) -> SystemSeries:
        """The same of the coordinator's own machine."""
        return self._series("/system", since, until, points)

    def of_run(self, run_id: str, silo: str, *, points: int = 360) -> SystemSeries:
        """The same of a silo of a run, while the run was at work."""
        params = {"silo": silo, "points": str(points)}
        return from_json(SystemSeries, self._ask("GET", f"/runs/{quote(run_id, safe='')}/system", params=params))

    def _series(self, path: str, since: float | None, until: float | None, points: int) -> SystemSeries:
        given = {"since": since, "until": until}
        params = {name: repr(value) for name, value in given.items() if value is not None}
        return from_json(SystemSeries, self._ask("GET", path, params={**params, "points": str(points)}))


def _query(wanted: LogFilter) -> dict[str, str | list[str]]:
    query: dict[str, str | list[str]] = {"silo": wanted.silo, "text": wanted.text}
    if wanted.level is not LogLevel.DEBUG:
        query["level"] = wanted.level.value
    if wanted.origin is not None:
        query["origin"] = wanted.origin.value
    if wanted.since:
        query["since"] = repr(wanted.since)
    if wanted.round is not None:
        query["round"] = str(wanted.round)
    return {name: value for name, value in query.items() if value}
