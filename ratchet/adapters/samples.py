"""Reads data for ``ratchet init``: Parquet, CSV or JSON Lines, one file or a directory of files.

>>> read_samples(Path("bank.csv")).num_rows                             # doctest: +SKIP
41188

Promise: nothing is written, nothing is run, and no more than the cap is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import NotFound, TooLarge, Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES = 2 * 2**30
_BLOCK = 32 * 2**20  # no row of a text file may be longer
_PARQUET, _CSV, _JSON = (".parquet", ".pq"), (".csv",), (".jsonl", ".ndjson", ".json")


def read_samples(path: Path, max_bytes: int = MAX_BYTES) -> pa.Table:
    """All rows of a file, or of the files of a directory in the order of their names.

    Args:
        path: ``.parquet``, ``.csv``, ``.jsonl``/``.ndjson``/``.json`` (one object a line; text also
            as ``.gz``), or a directory that holds such files. Hidden and empty files and links are
            skipped.
        max_bytes: on disk and, for Parquet, once decoded.

    Raises:
        NotFound: no such path, or no file of a known format.
        TooLarge: over ``max_bytes``.
        Unreadable: damaged, not UTF-8, or columns that do not fit those of the other files.
    """
    import pyarrow as pa

    files = _files(path)
    size = sum(file.stat().st_size for file in files)
    if size > max_bytes:
        raise TooLarge(
            f"{path}: {size} bytes in {len(files)} files, profiling reads up to {max_bytes}; point "
            "init at some of the files, then set source.landing to the whole directory"
        )
    tables: list[Any] = []
    for file in files:
        tables.append(_read(file, max_bytes))
        if sum(table.nbytes for table in tables) > max_bytes:
            raise TooLarge(f"{file}: decoded, the rows take more than {max_bytes} bytes")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        raise Unreadable(f"{path}: the files' columns do not fit together: {error}") from error


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if _format(path) is None:
            raise NotFound(f"{path}: unknown format; expected .parquet, .csv or .jsonl")
        return [path]
    if not path.is_dir():
        raise NotFound(f"{path}: no such file or directory")
    found = []
    for root, directories, names in os.walk(path):
        directories[:] = sorted(d for d in directories if not d.startswith((".", "_")))
        candidates = [Path(root, n) for n in names if not n.startswith((".", "_"))]
        found += [f for f in candidates if _format(f) and f.is_file() and not f.is_symlink()]
    if not found:
        raise NotFound(f"{path}: holds no .parquet, .csv or .jsonl file")
    if not (full := [f for f in found if f.stat().st_size]):
        raise NotFound(f"{path}: its {len(found)} files are empty")
    return sorted(full)


def _format(path: Path) -> str | None:
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    for kind, endings in (("parquet", _PARQUET), ("csv", _CSV), ("json", _JSON)):
        if ending in endings and (kind != "parquet" or not name.endswith(".gz")):
            return kind
    return None


def _read(path: Path, max_bytes: int) -> pa.Table:
    import pyarrow as pa

    readers = {"parquet": _parquet, "csv": _csv, "json": _json}
    try:
        return readers[_format(path) or ""](path, max_bytes)
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: cannot be read: {' '.join(str(error).split())[:300]}") from error


def _parquet(path: Path, max_bytes: int) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        # The footer's byte counts may lie; rows times columns of at least one byte cannot.
        least = file.metadata.num_rows * max(1, file.metadata.num_columns)
        if least > max_bytes:
            raise TooLarge(f"{path}: {least} cells, profiling reads up to {max_bytes} bytes")
        return file.read()


def _csv(path: Path, _: int) -> pa.Table:
    import pyarrow.csv as arrow_csv

    with _opened(path) as stream:
        return arrow_csv.read_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        )


def _json(path: Path, _: int) -> pa.Table:
    """Arrow makes a time of text such as ``2013-01-01T05:00Z`` and forgets that it had a zone."""
    import pyarrow as pa

    table = _json_lines(path)
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    texts = _json_lines(path, pa.schema([(name, pa.string()) for name in times])) if times else None
    for name in times:
        if texts is not None and _zoned(texts[name]):
            place = table.column_names.index(name)
            zoned = table[name].cast(pa.timestamp(table[name].type.unit, "UTC"))
            table = table.set_column(place, name, zoned)
    return table


def _json_lines(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    import pyarrow.json as arrow_json

    with _opened(path) as stream:
        return arrow_json.read_json(
            stream,
            read_options=arrow_json.ReadOptions(block_size=_BLOCK),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
        )


def _zoned(texts: pa.ChunkedArray) -> bool:
    """Whether every time names its zone."""
    import pyarrow.compute as pc

    named = pc.match_substring_regex(texts.drop_null(), r":[0-9.]+(Z|[+-]\d{2}(:?\d{2})?)\s*$")
    return bool(pc.all(named).as_py())


def _opened(path: Path) -> Any:
    import pyarrow as pa

    compression = "gzip" if path.name.lower().endswith(".gz") else None
    return pa.input_stream(path, compression=compression)
