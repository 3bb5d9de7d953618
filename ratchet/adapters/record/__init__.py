"""Sources of record: where a few suspicious rows are looked up.

>>> open_record(definition, settings).lookup(["2013-01-01T05-UA-1545"])         # doctest: +SKIP

Promise: nothing is written there, every value travels as a bound parameter, and no password appears
in an error or a representation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.errors import DefinitionError

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.contracts.seams import SourceOfRecord
    from ratchet.settings import Settings


def open_record(definition: Definition, settings: Settings) -> SourceOfRecord | None:
    """The source that ``[record]`` declares; None without one.

    Raises:
        DefinitionError: the address is of no known kind.
    """
    record = definition.record
    if record is None:
        return None
    scheme = record.uri.split("://", 1)[0] if "://" in record.uri else ""
    if scheme in ("http", "https"):
        from ratchet.adapters.record.http import HttpRecord

        return HttpRecord(definition, settings.record_password)
    if scheme.startswith(("postgresql", "sqlite")):
        from ratchet.adapters.record.sql import SqlRecord

        return SqlRecord(definition, settings.record_password)
    if scheme == "":
        from ratchet.adapters.record.parquet import ParquetRecord

        return ParquetRecord(definition, settings.home)
    raise DefinitionError(
        f"record.uri: scheme {scheme!r}; expected a path to Parquet, sqlite://, postgresql:// or "
        "https://"
    )
