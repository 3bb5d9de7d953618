"""A source of record in a table of PostgreSQL or SQLite, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ratchet.contracts.clock import EPOCH
from ratchet.errors import DefinitionError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import SecretStr

    from ratchet.contracts.definition import Definition

AT_ONCE = 500  # keys of one statement


class SqlRecord:
    """Reads one table. Names come from its own schema, values are bound."""

    def __init__(self, definition: Definition, password: SecretStr | None) -> None:
        assert definition.record is not None  # noqa: S101  the caller looked
        if not definition.record.table:
            raise DefinitionError("record.table: a database needs the name of the table")
        self._definition, self._password = definition, password
        self._uri, self._name = definition.record.uri, definition.record.table

    def lookup(self, keys: Sequence[str]) -> pa.Table:
        """See :class:`ratchet.contracts.seams.SourceOfRecord`."""
        from sqlalchemy import select, tuple_

        names = self._definition.source.key
        parts = [key.split("|") for key in keys]
        found: list[Any] = []
        with self._reading() as (connection, table):
            columns = [table.c[name] for name in names]
            values = [
                tuple(_typed(c, v) for c, v in zip(columns, part, strict=True))
                for part in parts
                if len(part) == len(names)
            ]
            for i in range(0, len(values), AT_ONCE):
                some = tuple_(*columns).in_(values[i : i + AT_ONCE])
                found += connection.execute(select(*self._columns(table)).where(some)).all()
            return self._table(found, table)

    def sample(self, start: int, end: int, rows: int, seed: int) -> pa.Table:  # noqa: ARG002
        """See :class:`ratchet.contracts.seams.SourceOfRecord`. The database draws; ``seed`` is not
        used."""
        from sqlalchemy import func, select

        with self._reading() as (connection, table):
            time = table.c[self._definition.time.column]
            first, last = self._moment(start, time), self._moment(end, time)
            drawn = (
                select(*self._columns(table))
                .where(time >= first, time < last)
                .order_by(func.random())
                .limit(rows)
            )
            return self._table(connection.execute(drawn).all(), table)

    @cached_property
    def _engine(self) -> Any:
        from sqlalchemy import create_engine, make_url

        url = make_url(self._uri)
        if self._password is not None and url.drivername.startswith("postgresql"):
            url = url.set(password=self._password.get_secret_value())
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg2")
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Any, Any]]:
        from sqlalchemy import MetaData, Table
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect() as connection:
                schema, _, name = self._name.rpartition(".")
                table = Table(name, MetaData(), autoload_with=connection, schema=schema or None)
                self._columns(table)
                yield connection, table
        except (SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StorageError(f"record {self._name}: cannot be read: {reason}") from None

    def _columns(self, table: Any) -> list[Any]:
        definition = self._definition
        names = [*definition.source.key, definition.time.column, *definition.features]
        names = list(dict.fromkeys([*names, definition.label.column]))
        missing = [name for name in names if name not in table.c]
        if missing:
            raise StorageError(f"record {self._name}: columns missing: {missing}")
        return [table.c[name] for name in names]

    def _table(self, found: Sequence[Any], table: Any) -> pa.Table:
        import pyarrow as pa

        names = [column.name for column in self._columns(table)]
        columns = zip(*found, strict=True) if found else ([] for _ in names)
        return pa.table(
            {n: pa.array([_plain(v) for v in c]) for n, c in zip(names, columns, strict=True)}
        )

    def _moment(self, tick: int, column: Any) -> Any:
        if self._definition.time.kind == "integer":
            return tick
        moment = EPOCH + timedelta(microseconds=tick)
        return moment if getattr(column.type, "timezone", False) else moment.replace(tzinfo=None)


def _typed(column: Any, text: str) -> Any:
    """A key as its column has it: a number where the column is one."""
    kind = column.type.python_type
    return int(text) if kind is int else float(text) if kind is float else text


def _plain(value: Any) -> Any:
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else value
