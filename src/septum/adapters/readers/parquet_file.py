"""How are rows read from a Parquet file? In batches, by the columns that are wanted alone. Needs septum[parquet]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.readers.columns import cell_of, places
from septum.errors import DataError, MissingExtraError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind, Settings
from septum.sdk.cells import Batch


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A Reader of one file."""

    path: Path

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All rows."""
        try:
            from pyarrow import ArrowException, parquet  # an optional extra of 100 MB
        except ImportError as error:
            raise MissingExtraError(
                f"{self.path}: Parquet files need pyarrow, which is not installed",
                hint="pip install 'septum[parquet]'",
            ) from error
        try:
            with parquet.ParquetFile(self.path) as file:
                names = list(file.schema_arrow.names)
                columns = list(places(str(self.path), names, wanted))
                for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
                    yield {name: [cell_of(value) for value in batch.column(name).to_pylist()] for name in columns}
        except (OSError, ArrowException) as error:  # pyarrow's words may quote the file's content: they are left out
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise DataError(
                f"{self.path}: cannot be read as Parquet: {reason}", hint=f"ls -l {self.path}; is it whole?"
            ) from error


def open_parquet(settings: Settings) -> ParquetFile:
    """The file that `[data.NAME]` describes."""
    return ParquetFile(Path(str(settings["path"])))


PARQUET = ReaderKind((Setting("path", SettingKind.PATH, needed=True),), open_parquet)
