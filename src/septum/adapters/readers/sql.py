"""How are rows read from a database? One query of the steward's, streamed. Needs septum[sql].

The order of the rows is part of a dataset: without ORDER BY a database may give it differently each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.readers.columns import cell_of, places
from septum.adapters.readers.database import URL_SETTINGS, connected, url_of
from septum.errors import ConfigError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind, Settings
from septum.sdk.cells import Batch

MAX_QUERY_BYTES = 256 * 1024
_COMMENTS = re.compile(r"\s*(--[^\n]*\n|/\*.*?\*/)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A Reader of what a query gives."""

    settings: Settings
    query: str

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All rows."""
        with connected(url_of(self.settings)) as connection:
            streamed = connection.execution_options(
                stream_results=True,
                max_row_buffer=BATCH_ROWS,
                no_parameters=True,  # a % in it is a %
            )
            result = streamed.exec_driver_sql(self.query)
            where = places("the query's result", list(result.keys()), wanted)
            while rows := result.fetchmany(BATCH_ROWS):
                yield {name: [cell_of(row[place]) for row in rows] for name, place in where.items()}


def open_sql(settings: Settings) -> SqlQuery:
    """What `[data.NAME]` describes. Raises ConfigError for a query that does more than ask."""
    if ("query" in settings) == ("query_file" in settings):
        raise ConfigError("one of query and query_file is needed", hint='query = "SELECT ... ORDER BY ..."')
    if "query" in settings:
        return SqlQuery(settings, _checked(str(settings["query"])))
    path = Path(str(settings["query_file"]))
    try:
        if path.stat().st_size > MAX_QUERY_BYTES:
            raise ConfigError(f"{path}: more than {MAX_QUERY_BYTES} bytes are no query", hint=f"ls -l {path}")
        return SqlQuery(settings, _checked(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint=f"ls -l {path}") from error


def _checked(query: str) -> str:
    """One statement that asks. It keeps a steward from a slip; what holds is the rights of the database's user."""
    text = query.strip().rstrip(";").rstrip()
    bare = text
    while match := _COMMENTS.match(bare):
        bare = bare[match.end() :]
    if not re.match(r"(select|with)\b", bare.lstrip(" \n\t("), re.IGNORECASE):
        raise ConfigError("query: it has to begin with SELECT or WITH", hint='query = "SELECT ... ORDER BY ..."')
    return text


SQL = ReaderKind((*URL_SETTINGS, Setting("query"), Setting("query_file", SettingKind.PATH)), open_sql)
