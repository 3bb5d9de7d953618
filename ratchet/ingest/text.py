r"""Reads CSV and JSON Lines: UTF-8 only, row by row, within the declared cap.

>>> read_csv(b"id,x\n1,2\n", {"x"}, print, limits).columns["x"].to_pylist()   # doctest: +SKIP
['2']

CSV: comma separated, a header line, an empty cell is missing. JSON Lines: one object a line, a
missing name is a missing value. A row of another shape is set apart; it does not spoil the others.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.raw import Raw, check_columns
from ratchet.ingest.values import MIB, Limits, shown

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 32 * MIB  # no row may be longer
_LINES = 5_000  # JSON lines turned into Arrow at a time
_HEADER = MIB
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_csv(
    data: bytes, wanted: Collection[str], check: Callable[[list[str]], None], limits: Limits
) -> Raw:
    """The wanted columns of a CSV object, all as strings. See :func:`parquet.read_parquet`.

    Raises:
        Unreadable: not UTF-8, no header, not separated by commas, or no row has its columns.
        TooLarge: decoded, it would pass the cap.
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    check_utf8(data)
    names = _csv_header(data)
    check_columns(names)
    check(names)
    wrong: list[tuple[int, str, str]] = []

    def set_apart(row: Any) -> str:
        reason = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        wrong.append(((row.number or 2) - 2, reason, row.text))
        return "skip"

    kept = [n for n in names if n in wanted]
    try:
        reader = arrow_csv.open_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=b'"' in data, invalid_row_handler=set_apart
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=kept,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        table = pa.Table.from_batches(_capped(reader, limits), reader.schema)
    except MemoryError:
        raise
    except (pa.ArrowException, ValueError) as error:
        if "straddl" in str(error):
            raise Unreadable(f"a row is longer than {_BLOCK // MIB} MiB") from error
        raise Unreadable(f"not CSV: {shown(str(error), 200)}") from error
    if wrong and not table.num_rows:
        raise Unreadable(f"no row fits the header: {wrong[0][1]}")
    notes = {} if data.endswith((b"\n", b"\r")) else {"no_final_newline": True}
    numbers = np.arange(table.num_rows + len(wrong))
    if wrong:
        numbers = np.setdiff1d(numbers, [w[0] for w in wrong])
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Raw(columns, numbers[: table.num_rows], True, tuple(wrong), notes)


def check_utf8(data: bytes) -> None:
    """Refuse text that is not UTF-8.

    Raises:
        Unreadable: with the first wrong byte and its place.
    """
    if not data:
        raise Unreadable("empty: 0 bytes; it may be truncated: send it again")
    if data.startswith(_UTF16):
        raise Unreadable("text in UTF-16, expected UTF-8: save it as UTF-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), MIB):
        try:
            decoder.decode(data[start : start + MIB], final=start + MIB >= len(data))
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            raise Unreadable(
                f"text is not UTF-8: byte 0x{wrong:02x} near offset {start + error.start}; "
                "save it as UTF-8 (it may be Latin-1 or Windows-1252)"
            ) from error


def _csv_header(data: bytes) -> list[str]:
    start = data[:_HEADER].decode("utf-8-sig", errors="ignore")
    try:
        lines = csv.reader(io.StringIO(start, newline=""), strict=True)
        names = next((line for line in lines if line), [])
    except csv.Error as error:
        raise Unreadable(f"not CSV: the header line: {error}") from error
    if not names:
        raise Unreadable("not CSV: there is no header line")
    if len(names) == 1 and (found := re.search(r"[;\t|]", names[0])):
        raise Unreadable(f"CSV is separated by {found[0]!r}, expected commas")
    return names


def _capped(reader: Any, limits: Limits) -> Iterator[pa.RecordBatch]:
    size = 0
    for batch in reader:
        size += batch.nbytes
        _cap(size, limits)
        yield batch


def _cap(size: int, limits: Limits) -> None:
    if size > limits.decoded_bytes:
        raise TooLarge(
            f"decoded it takes more than {limits.decoded_bytes / MIB:.0f} MiB; split it into "
            "smaller objects, or raise source.max_decoded_mib"
        )


def read_json_lines(
    data: bytes, wanted: Collection[str], check: Callable[[list[str]], None], limits: Limits
) -> Raw:
    """The wanted columns of a JSON Lines object. See :func:`parquet.read_parquet`.

    Numbers, booleans and nested values come as the text that JSON writes for them, unless the
    whole column is numeric.

    Raises:
        Unreadable: not UTF-8, or no line is a JSON object.
        TooLarge: decoded, it would pass the cap.
    """
    check_utf8(data)
    lines = _Lines(sorted(wanted), limits)
    for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8))):
        if line.strip():
            lines.add(number, line)
    lines.flush()
    if lines.wrong and not lines.numbers:
        raise Unreadable(f"not JSON Lines: line {lines.wrong[0][0] + 1}: {lines.wrong[0][1]}")
    check_columns(list(lines.names))
    check(list(lines.names))
    columns = {n: lines.column(n) for n in lines.wanted if n in lines.names}
    numbers = np.array(lines.numbers, dtype=np.int64)
    return Raw(columns, numbers, True, tuple(lines.wrong))


class _Lines:
    """Gathers JSON objects into Arrow columns, a few thousand lines at a time."""

    def __init__(self, wanted: list[str], limits: Limits) -> None:
        self.wanted, self.limits, self.size = wanted, limits, 0
        self.names: dict[str, None] = {}
        self.numbers: list[int] = []
        self.wrong: list[tuple[int, str, str]] = []
        self._decode = json.JSONDecoder(object_pairs_hook=_unique).decode
        self._rows: list[dict[str, Any]] = []
        self._chunks: dict[str, list[pa.Array]] = {n: [] for n in wanted}

    def add(self, number: int, line: bytes) -> None:
        try:
            row = self._decode(line.decode())
            if not isinstance(row, dict):
                raise ValueError(f"a JSON {type(row).__name__}, expected an object")
        except (ValueError, RecursionError) as error:
            text = line.decode(errors="replace").rstrip("\r\n")
            self.wrong.append((number, f"not a JSON object: {shown(str(error), 120)}", text))
            return
        if not row.keys() <= self.names.keys():
            self.names.update(dict.fromkeys(row))
        self.numbers.append(number)
        self._rows.append(row)
        if len(self._rows) >= _LINES:
            self.flush()

    def flush(self) -> None:
        for name in self.wanted:
            array = _array([row.get(name) for row in self._rows])
            self.size += array.nbytes
            self._chunks[name].append(array)
        _cap(self.size, self.limits)
        self._rows = []

    def column(self, name: str) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        chunks = self._chunks[name]
        kinds = {c.type for c in chunks if c.type != pa.null()}
        kind = kinds.pop() if len(kinds) == 1 else pa.string()
        return pa.chunked_array([pc.cast(c, kind) for c in chunks], kind)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a name stands twice")
    return row


def _array(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    kinds = {type(v) for v in values} - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if kinds <= {int, float}:
            return pa.array(values, pa.float64())
        return pa.array([_text(v) for v in values], pa.string())
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return pa.array([_scrubbed(_text(v)) for v in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _scrubbed(text: str | None) -> str | None:
    """A lone surrogate cannot be stored; NUL in its place makes the text check refuse the cell."""
    return None if text is None else re.sub("[\ud800-\udfff]", "\0", text)
