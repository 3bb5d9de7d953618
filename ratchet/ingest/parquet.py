"""Reads Parquet that nobody vouches for: refuses bombs before decoding, verifies page checksums.

>>> raw = read_parquet(data, {"id"}, lambda names: None, limits)        # doctest: +SKIP

A footer's byte counts can lie (0.9 MB of file can claim, or become, 1.5 GiB). So the cost is
counted from what the decoder itself obeys: row counts times column widths, and the page headers
inside the file. Strings stay dictionary-encoded until their true size is known.

Promise: memory stays within the declared cap, and damage ends in :class:`Unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.pages import (
    BYTE_ARRAY,
    DELTA_BYTE_ARRAY,
    FIXED_LEN_BYTE_ARRAY,
    INT96,
    Chunk,
    Group,
    PageHeader,
    read_footer,
    walk_pages,
)
from ratchet.ingest.raw import Raw, check_columns
from ratchet.ingest.values import MIB, Limits, shown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_IN_DICTIONARIES = (0, 2, 8)  # encodings that the decoder can keep dictionary-encoded


def read_parquet(
    data: bytes,
    wanted: Collection[str],
    check: Callable[[list[str]], None],
    limits: Limits,
) -> Raw:
    """The wanted columns of a Parquet object.

    Args:
        data: the object's bytes.
        wanted: names of the columns to read; those that the object lacks are left out.
        check: called with the object's column names before anything is decoded.
        limits: caps on decoded bytes.

    Raises:
        Unreadable: truncated, damaged, encrypted, or a page fails its checksum.
        TooLarge: decoded, it would pass the cap.
    """
    import pyarrow as pa

    groups = read_footer(data)
    try:
        schema = _open(data).schema_arrow
        names = list(schema.names)
        check_columns(names)
        check(names)
        columns = [n for n in names if n in wanted]
        _refuse_nested(schema, columns)
        survey = _refuse_bombs(data, groups, columns, limits)
        return _read(data, schema, columns, survey, limits)
    except MemoryError:  # Arrow's is one of its exceptions too; decode() names it
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Unreadable(f"Parquet is damaged: {shown(str(error), 200)}; send it again") from error


@dataclass(frozen=True)
class _Survey:
    """Whether a page has no checksum; columns that cannot be kept dictionary-encoded."""

    unchecked: bool
    written_out: frozenset[str]


def _open(data: bytes, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        pa.BufferReader(data),
        page_checksum_verification=True,
        pre_buffer=False,
        read_dictionary=dictionaries,
    )


def _read(
    data: bytes, schema: pa.Schema, columns: list[str], survey: _Survey, limits: Limits
) -> Raw:
    import pyarrow as pa

    texts = [n for n in columns if _is_text(schema.field(n).type) and n not in survey.written_out]
    file = _open(data, texts)
    parts, size = [], 0
    for group in range(file.metadata.num_row_groups):
        part = file.read_row_group(group, columns=columns, use_threads=False).select(columns)
        size += part.nbytes + sum(_expansion(part.column(n)) for n in texts)
        _cap(size, limits)
        parts.append(part)
    empty = pa.schema([schema.field(n) for n in columns]).empty_table()
    table = pa.concat_tables(parts) if parts else empty
    if table.num_rows != file.metadata.num_rows:
        raise Unreadable(
            f"Parquet footer claims {file.metadata.num_rows} rows, found {table.num_rows}"
        )
    for name in columns:
        table.column(name).validate(full=True)  # UTF-8, indices inside their dictionary
    notes = {"no_page_checksums": True} if survey.unchecked else {}
    found = dict(zip(table.column_names, table.columns, strict=True))
    return Raw(found, np.arange(table.num_rows, dtype=np.int64), text=False, notes=notes)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary,
             types.is_large_binary, types.is_binary_view)  # fmt: skip
    return any(test(kind) for test in tests)


def _refuse_nested(schema: pa.Schema, columns: list[str]) -> None:
    import pyarrow as pa

    for name in columns:
        if pa.types.is_nested(kind := schema.field(name).type):
            raise Unreadable(f"column {shown(name)}: holds {kind}, expected single values")


def _refuse_bombs(data: bytes, groups: list[Group], columns: list[str], limits: Limits) -> _Survey:
    """Raise TooLarge before decoding."""
    size, unchecked, wanted = 0, False, frozenset(columns)
    written_out: set[str] = set()
    for group in groups:
        for chunk in group.chunks:
            named = wanted.intersection(accumulate(chunk.path, "{}.{}".format))
            if not named or not (group.rows or chunk.values):
                continue
            headers = walk_pages(data, chunk)
            values = sum(h.values for h in headers if not h.is_dictionary)
            text = chunk.physical_type == BYTE_ARRAY
            if text and any(h.encoding not in _IN_DICTIONARIES for h in headers):
                written_out |= named
                size += _repeated(headers)
            size += max(group.rows, chunk.values, values) * _width(chunk)
            bytes_of_pages = (h.uncompressed for h in headers)
            size += sum(bytes_of_pages) if text else max(bytes_of_pages, default=0)
            _cap(size, limits)
            unchecked |= any(not h.has_crc for h in headers)
    return _Survey(unchecked, frozenset(written_out))


def _width(chunk: Chunk) -> int:
    """Bytes of one value once decoded; of a string, its offset and its dictionary index."""
    if chunk.physical_type == FIXED_LEN_BYTE_ARRAY:
        return max(8, chunk.type_length)
    return 12 if chunk.physical_type in (BYTE_ARRAY, INT96) else 8


def _repeated(headers: list[PageHeader]) -> int:
    """Bytes of strings that stand in the pages once and come out many times, at worst.

    In DELTA_BYTE_ARRAY each value may repeat all of the one before; a dictionary's only word may
    be that of every row.
    """
    dictionary = sum(h.uncompressed for h in headers if h.is_dictionary)
    return sum(
        h.values * (h.uncompressed if h.encoding == DELTA_BYTE_ARRAY else dictionary)
        for h in headers
        if not h.is_dictionary
    )


def _expansion(column: pa.ChunkedArray) -> int:
    """Bytes of a dictionary-encoded string column once it is written out."""
    import pyarrow.compute as pc

    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).to_numpy(zero_copy_only=False)
        indices = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
        if len(lengths):
            total += int(np.asarray(lengths, dtype=np.int64)[indices].sum())
    return total


def _cap(size: int, limits: Limits) -> None:
    if size > limits.decoded_bytes:
        raise TooLarge(
            f"decoded it takes {size / MIB:.0f} MiB or more, allowed are "
            f"{limits.decoded_bytes / MIB:.0f} MiB; split it into smaller objects, or raise "
            "source.max_decoded_mib"
        )
