"""How does SQLAlchemy write for PostgreSQL what the tables say? So that columns are the same as in SQLite.

There an integer has 64 bits and text is compared by its bytes, whatever the database's locale. Pages go on from where
the last one ended, so an order that follows the locale would lose or repeat what is in them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sqlalchemy import Column, String, Text
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000

from septum.adapters.store import postgres_driver
from septum.adapters.store.postgres_errors import is_lost


class _Types(PGTypeCompiler):
    """INTEGER is BIGINT, in columns and in casts."""

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own name and types
        return str(self.visit_BIGINT(type_, **kw))  # type: ignore[no-untyped-call] # SQLAlchemy has no types here


class _Tables(PGDDLCompiler):
    """Numbers that are given out are BIGSERIAL; text is compared by its bytes."""

    def get_column_specification(self, column: Column[Any], **kw: Any) -> str:  # noqa: ANN401 - as SQLAlchemy has it
        written = str(super().get_column_specification(column, **kw))  # type: ignore[no-untyped-call] # nor here
        written = written.replace(" SERIAL", " BIGSERIAL")
        if isinstance(column.type, String | Text):
            name, kind = self.preparer.format_column(column), self.dialect.type_compiler_instance.process(column.type)
            written = written.replace(f"{name} {kind}", f'{name} {kind} COLLATE "C"', 1)
        return written


class Dialect(PGDialect_pg8000):
    """PostgreSQL by pg8000, as above."""

    driver = "septum"
    default_paramstyle = "numeric_dollar"
    supports_statement_cache = True
    use_insertmanyvalues_wo_returning = True  # many rows are one statement
    supports_native_json_deserialization = False
    ddl_compiler = _Tables
    type_compiler_cls = _Types

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The driver."""
        return postgres_driver

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ANN401 - as SQLAlchemy has it
        """Whether the connection is of no use any more."""
        del connection, cursor
        return is_lost(e)
