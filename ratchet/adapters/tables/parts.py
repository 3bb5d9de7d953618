"""One Parquet file of a table: Arrow rows to bytes and back, with the digest in its name.

>>> part = encode(rows, window=3, txn="flights/3/land")               # doctest: +SKIP
>>> part.path                                                         # doctest: +SKIP
'_window=3/part-5f0c…-9a41….parquet'

Promise: the name holds the SHA-256 of the content, so a file that was overwritten, truncated or
whose bits flipped is named, never decoded. The same rows always give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY, WINDOW
from ratchet.errors import Damaged, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_KEY = 200  # characters; the log is no place for longer ones


@dataclass(frozen=True)
class Part:
    """A file to be written: ``path`` below the table, its ``window``, ``rows`` and ``data``.

    ``low`` and ``high`` are its smallest and largest key; None where that is not worth knowing.
    """

    path: str
    window: int
    rows: int
    data: bytes
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, order=True)
class PartRef:
    """A file of a table, in reading order: by window, then by commit (``stamp``, ms since 1970).

    ``low`` and ``high`` are its smallest and largest key; None where its commit did not say.
    """

    window: int
    stamp: int
    path: str
    size: int
    rows: int
    low: str | None = dataclasses.field(default=None, compare=False)
    high: str | None = dataclasses.field(default=None, compare=False)

    @property
    def mark(self) -> int:
        """A number below 2**62 that stands for this entry; the log keeps the sum of all."""
        text = f"{self.path}|{self.stamp}|{self.size}|{self.rows}"
        if self.low is not None:
            text += f"|{self.low}|{self.high}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2

    @property
    def writer(self) -> str:
        """What :func:`writer_of` gives for the application transaction that appended it."""
        return self.path.rsplit("-", 2)[1]

    def may_hold(self, keys: Sequence[str]) -> bool:
        """Whether one of these keys, which are sorted, lies between its smallest and largest."""
        if self.low is None or self.high is None:
            return True
        at = bisect_left(keys, self.low)
        return at < len(keys) and keys[at] <= self.high


def encode(rows: pa.Table, window: int, txn: str) -> Part:
    """The rows of one window as a Parquet file.

    Args:
        rows: rows of this window, with or without the column ``_window`` (it is not stored).
        window: the partition.
        txn: the application transaction, so that two of them never share a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if WINDOW in rows.column_names:
        rows = rows.drop_columns([WINDOW])
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", compression_level=1, store_schema=False)
    data = sink.getvalue().to_pybytes()
    content = hashlib.sha256(data).hexdigest()
    path = f"{WINDOW}={window}/part-{writer_of(txn)}-{content}.parquet"
    return Part(path, window, rows.num_rows, data, *_range(rows))


def writer_of(txn: str) -> str:
    """The part of a file's name that stands for the application transaction."""
    return hashlib.sha256(txn.encode()).hexdigest()[:16]


def _range(rows: pa.Table) -> tuple[str | None, str | None]:
    """The smallest and the largest key; none where rows have no keys, or such long ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if KEY not in rows.column_names or not pa.types.is_string(rows.schema.field(KEY).type):
        return None, None
    keys = rows.column(KEY)
    found = pc.min_max(keys).as_py()
    low, high = found["min"], found["max"]
    if keys.null_count or low is None or max(len(low), len(high)) > LONGEST_KEY:
        return None, None
    return low, high


def by_window(rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each window, in order of window; order within a window is kept."""
    import pyarrow.compute as pc

    windows = sorted(pc.unique(rows.column(WINDOW)).to_pylist())
    if len(windows) == 1:
        yield windows[0], rows
        return
    for window in windows:
        yield window, rows.filter(pc.equal(rows.column(WINDOW), window))


def check(ref: PartRef, data: bytes, address: str) -> None:
    """Refuse bytes that are not those which were committed.

    Raises:
        Damaged: size or digest differ; the file is named.
    """
    if len(data) != ref.size:
        raise Damaged(
            f"{address}: {len(data)} bytes found, {ref.size} were committed. Restore this file "
            "from a backup; nothing of it was read"
        )
    recorded = ref.path.rsplit("-", 1)[-1].removesuffix(".parquet")
    found = hashlib.sha256(data).hexdigest()
    if found != recorded:
        raise Damaged(
            f"{address}: its content has the digest {found[:12]}, {recorded[:12]} was committed. "
            "Restore this file from a backup; nothing of it was read"
        )


def decode(ref: PartRef, data: bytes, schema: pa.Schema) -> pa.Table:
    """The columns of ``schema`` from a file's checked bytes; columns it lacks are null.

    Raises:
        Damaged: not the Parquet file it should be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        present = set(file.schema_arrow.names)
        wanted = [name for name in schema.names if name in present]
        found = file.read(columns=wanted, use_threads=False)
        columns = dict(zip(found.column_names, found.columns, strict=True))
        arrays = [_column(columns.get(field.name), field, ref) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)
    except pa.ArrowException as error:
        raise Damaged(f"{ref.path}: not the Parquet file that was committed: {error}") from None


def of_log(ref: PartRef, schema: pa.Schema) -> pa.Table:
    """The column ``_window`` of a file, which its entry in the log tells."""
    import pyarrow as pa

    return pa.Table.from_arrays([_column(None, schema.field(0), ref)], schema=schema)


def _column(
    found: pa.ChunkedArray | None, field: pa.Field, ref: PartRef
) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if field.name == WINDOW:
        return pa.repeat(pa.scalar(ref.window, field.type), ref.rows)
    if found is None:
        return pa.nulls(ref.rows, field.type)
    return found if found.type == field.type else found.cast(field.type)


def project(schema: pa.Schema, columns: Sequence[str] | None, table: str) -> pa.Schema:
    """The fields of ``columns``, in that order; None means all.

    Raises:
        StorageError: the table has no such column.
    """
    import pyarrow as pa

    if columns is None:
        return schema
    absent = [name for name in columns if name not in schema.names]
    if absent:
        raise StorageError(f"table {table}: no column {absent}; it has {schema.names}")
    return pa.schema([schema.field(name) for name in columns])


def fit(rows: pa.Table, schema: pa.Schema, table: str) -> pa.Table:
    """The rows in the table's columns and types; nullable columns they lack are null.

    Raises:
        StorageError: a type cannot be converted without loss, or a required value is missing.
    """
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            if not field.nullable:
                raise StorageError(f"table {table}: column {field.name!r} is required and missing")
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows.column(field.name)
        if column.null_count and not field.nullable:
            raise StorageError(f"table {table}: {column.null_count} nulls in column {field.name!r}")
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as error:
            raise StorageError(
                f"table {table}: column {field.name!r} holds {column.type}, expected "
                f"{field.type}: {error}"
            ) from None
    return pa.Table.from_arrays(columns, schema=schema)
