"""Reads Parquet that nobody vouches for: refuses bombs before decoding, verifies page checksums.

>>> raw = read_parquet(data, {"id"}, lambda names: None, limits)        # doctest: +SKIP

A footer's byte counts can lie (0.9 MB of file can claim, or become, 1.5 GiB). So the cost is
counted from what the decoder itself obeys: row counts times column widths, and the page headers
inside the file. Strings stay dictionary-encoded until their true size is known.

Promise: memory stays within the declared cap, and damage ends in :class:`Unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.pages import PageHeader, walk_pages
from ratchet.ingest.raw import Raw, check_columns
from ratchet.ingest.values import MIB, Limits, shown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_WIDTH = {"BOOLEAN": 8, "INT32": 8, "INT64": 8, "INT96": 12, "FLOAT": 8, "DOUBLE": 8}
_STRING_WIDTH = 8  # an offset and a dictionary index
_DELTA_BYTE_ARRAY = 7
_MAX_ROW_GROUPS = 100_000


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
    import pyarrow.parquet as pq

    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise Unreadable(
            f"not a whole Parquet file: {len(data)} bytes that do not start and end with PAR1; "
            "it may be truncated: send it again"
        )
    try:
        file = pq.ParquetFile(
            pa.BufferReader(data), page_checksum_verification=True, pre_buffer=False
        )
        names = list(file.schema_arrow.names)
        check_columns(names)
        check(names)
        return _read(file, data, [n for n in names if n in wanted], limits)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Unreadable(f"Parquet is damaged: {shown(str(error), 200)}; send it again") from error
    except MemoryError as error:
        raise TooLarge(f"Parquet needs more memory than there is: {error}") from error


def _read(file: pq.ParquetFile, data: bytes, columns: list[str], limits: Limits) -> Raw:
    import pyarrow as pa
    import pyarrow.parquet as pq

    unchecked = _refuse_bombs(file.metadata, data, columns, limits)
    schema = file.schema_arrow
    texts = [n for n in columns if _is_text(schema.field(n).type)]
    file = pq.ParquetFile(
        pa.BufferReader(data),
        page_checksum_verification=True,
        pre_buffer=False,
        read_dictionary=texts,
    )
    parts, size = [], 0
    for group in range(file.metadata.num_row_groups):
        part = file.read_row_group(group, columns=columns, use_threads=False).select(columns)
        size += part.nbytes + sum(_expansion(part.column(n)) for n in texts)
        _cap(size, limits)
        parts.append(part)
    table = (
        pa.concat_tables(parts)
        if parts
        else pa.table({n: pa.array([], schema.field(n).type) for n in columns})
    )
    if columns and table.num_rows != file.metadata.num_rows:
        raise Unreadable(
            f"Parquet footer claims {file.metadata.num_rows} rows, found {table.num_rows}"
        )
    for name in texts:
        table.column(name).validate(full=True)  # UTF-8
    notes = {"no_page_checksums": True} if unchecked else {}
    found = dict(zip(table.column_names, table.columns, strict=True))
    return Raw(found, np.arange(table.num_rows, dtype=np.int64), text=False, notes=notes)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(f(kind) for f in (pa.types.is_string, pa.types.is_large_string))


def _refuse_bombs(meta: pq.FileMetaData, data: bytes, columns: list[str], limits: Limits) -> bool:
    """Raise TooLarge before decoding; return whether some page carries no checksum."""
    if meta.num_row_groups > _MAX_ROW_GROUPS:
        raise TooLarge(f"{meta.num_row_groups} row groups, allowed are {_MAX_ROW_GROUPS}")
    size, unchecked, wanted = 0, False, frozenset(columns)
    for g in range(meta.num_row_groups):
        group = meta.row_group(g)
        for c in range(group.num_columns):
            chunk = group.column(c)
            if wanted.isdisjoint(accumulate(chunk.path_in_schema.split("."), "{}.{}".format)):
                continue
            headers = walk_pages(data, *_extent(chunk))
            rows = max(group.num_rows, chunk.num_values, _values(headers))
            size += rows * _width(chunk, meta) + _page_bytes(chunk, headers)
            _cap(size, limits)
            unchecked |= any(not h.has_crc for h in headers)
    return unchecked


def _extent(chunk: Any) -> tuple[int, int]:
    """Start and length of a column chunk's pages in the file."""
    start = chunk.data_page_offset
    if chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    return start, chunk.total_compressed_size


def _values(headers: list[PageHeader]) -> int:
    return sum(h.values for h in headers if not h.is_dictionary)


def _width(chunk: Any, meta: pq.FileMetaData) -> int:
    if chunk.physical_type == "FIXED_LEN_BYTE_ARRAY":
        for i in range(meta.num_columns):
            column = meta.schema.column(i)
            if column.path == chunk.path_in_schema:
                return max(8, int(column.length))
    return _WIDTH.get(chunk.physical_type, _STRING_WIDTH)


def _page_bytes(chunk: Any, headers: list[PageHeader]) -> int:
    """Bytes that the pages of a string column decode to, besides its dictionary indices."""
    if chunk.physical_type != "BYTE_ARRAY":
        return max((h.uncompressed for h in headers), default=0)
    # In DELTA_BYTE_ARRAY each value may repeat all of the one before: the worst case counts.
    return sum(
        h.uncompressed * (max(h.values, 1) if h.encoding == _DELTA_BYTE_ARRAY else 1)
        for h in headers
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
