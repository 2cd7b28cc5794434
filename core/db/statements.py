"""SQL compiled once, so that running it costs what the driver costs and no more.

A statement is a module constant, or what a cached function of the shape returns. It is compiled when it first runs,
so that importing a module costs nothing.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast
from uuid import UUID

import asyncpg
from msgspec import Struct
from sqlalchemy import ClauseElement, Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler

type Row = asyncpg.Record

DIALECT = PGDialect_asyncpg()
TENANT = "tenant"
"""The parameter that a lane binds, and no caller."""


class Compiled(Struct, frozen=True):
    sql: str
    names: Sequence[str]
    defaults: Mapping[str, Any]


class Statement:
    """The SQL, and the order of its parameters. Values are bound each time, as the driver takes them: JSON as text."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement

    def _compile(self) -> Compiled:
        made = cast("SQLCompiler", cast("ClauseElement", self.statement).compile(dialect=DIALECT))
        return Compiled(str(made), made.positiontup or (), made.params)

    @cached_property
    def compiled(self) -> Compiled:
        return self._compile()

    @cached_property
    def sql(self) -> str:
        return self.compiled.sql

    @property
    def names(self) -> Sequence[str]:
        """Of the parameters, in their order."""
        return self.compiled.names

    def bound(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters in their order; those that the statement itself sets may be left out."""
        compiled = self.compiled
        return [values[name] if name in values else compiled.defaults[name] for name in compiled.names]

    def arguments(self, tenant: UUID, values: dict[str, Any]) -> list[Any]:
        """As `bound`, in a tenant."""
        values[TENANT] = tenant
        return self.bound(values)
