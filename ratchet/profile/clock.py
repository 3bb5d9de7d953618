"""Finds the time column, how it counts, and windows of a sensible length.

Promise: a time is recognised only where ingest would read it the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.contracts.clock import Clock, ClockKind
from ratchet.errors import DefinitionError
from ratchet.profile.values import InitOptions, Timeline, column_of, is_number, is_whole, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

UNITS = ("1m", "5m", "15m", "1h", "6h", "1d", "7d", "28d", "91d", "364d")
ROWS, MOST, FEWEST = 500, 40, 6  # rows wanted in a window, and how many windows
_DAY = 86_400_000_000
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_ZONED = r"(Z|:\d{2}(\.\d+)?[+-]\d{2}(:?\d{2})?)$"
_HINTS = (
    "at",
    "time",
    "date",
    "when",
    "_at",
    "ts",
    "day",
    "seq",
    "step",
    "index",
    "order",
    "week",
    "t",
)
_PARTS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_LABELS = {"1m": "a minute", "1h": "an hour", "1d": "a day", "7d": "a week", "28d": "four weeks"}


def infer_time(table: pa.Table, options: InitOptions) -> tuple[Timeline, list[str]]:
    """The time line and what to say about it.

    Raises:
        DefinitionError: no column holds times, or the named one does not.
    """
    name = options.time or _find(table, options)
    column = column_of(table, name, "--time")
    found = _kind(column)
    if found is None:
        raise DefinitionError(_no_time(name, column))
    kind, zone = found
    ticks, valid = _ticks(column, kind)
    if not valid.any():
        raise DefinitionError(f"--time {shown(name)}: no row has a time; pass another column")
    said = [_say_column(name, kind, zone, chosen=options.time is None)]
    if (lost := int((~valid).sum())) > 0:
        said.append(f"{lost} rows have no time in {shown(name)}; ingest will quarantine them.")
    clock = Clock(kind)
    first, last = int(ticks[valid].min()), int(ticks[valid].max())
    if kind == "integer" and (maybe := _since_1970(first, last)):
        said.append(maybe)
    window = options.window or _window(kind, last - first + 1, int(valid.sum()))
    length = clock.duration(window)
    if length <= 0:
        raise DefinitionError(f"--window {window}: expected more than 0")
    start = first - first % (length if kind == "integer" else _DAY if length >= _DAY else length)
    windows = (last - start) // length + 1
    said.append(_say_window(kind, window, windows, int(valid.sum()), options.window is None))
    return (
        Timeline(
            name, kind, zone, window, clock.show(start), length, windows, ticks=ticks, valid=valid
        ),
        said,
    )


def ticks_of(
    column: pa.ChunkedArray, kind: ClockKind, name: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ticks of another column of times on the same clock, and which of them are times at all.

    Raises:
        DefinitionError: it does not hold what this clock counts.
    """
    found = _kind(column)
    if found is None or found[0] != kind:
        wanted = "integers" if kind == "integer" else "timestamps, dates or ISO 8601 text"
        raise DefinitionError(f"--label-time {shown(name)}: holds {column.type}, expected {wanted}")
    return _ticks(column, kind)


def _find(table: pa.Table, options: InitOptions) -> str:
    """The likeliest time column: a timestamp, a date, ISO text, then an increasing integer."""
    import pyarrow.compute as pc

    taken = {options.label, options.key, options.label_time}
    names = [n for n in table.column_names if n not in taken and table.column_names.count(n) == 1]
    ranked: list[tuple[bool, bool, int, str]] = []
    for position, name in enumerate(names):
        column = column_of(table, name, "column")
        if column.null_count * 100 > len(column):
            continue
        kind = _kind(column)
        if kind is None or pc.count_distinct(column).as_py() < FEWEST:
            continue
        if kind[0] == "integer" and not _increases(column):
            continue
        hinted = any(name.lower() == h or (len(h) > 2 and h in name.lower()) for h in _HINTS)
        ranked.append((kind[0] == "integer", not hinted, position, name))
    if not ranked:
        raise DefinitionError(
            f"no time column found among {table.column_names}: expected a timestamp, a date, ISO "
            "8601 text such as 2013-01-01T05:00:00Z, or an integer that never decreases from row "
            "to row; name it with --time COLUMN"
        )
    return min(ranked)[3]


def _kind(column: pa.ChunkedArray) -> tuple[ClockKind, str | None] | None:
    """(clock, zone to declare) of a column that may be a time, else None."""
    import pyarrow as pa

    if column.null_count == len(column):
        return None
    if pa.types.is_timestamp(column.type):
        return "timestamp", None if column.type.tz else "UTC"
    if pa.types.is_date(column.type):
        return "timestamp", None
    if pa.types.is_string(column.type):
        return _text_kind(column)
    return ("integer", None) if is_number(column.type) and is_whole(column) else None


def _text_kind(column: pa.ChunkedArray) -> tuple[ClockKind, str | None] | None:
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column)
    iso = pc.sum(pc.match_substring_regex(text, _ISO)).as_py() or 0
    if iso < 0.99 * (len(column) - column.null_count):
        return None
    timed = pc.greater(pc.utf8_length(text), 10)
    naive = pc.and_(timed, pc.invert(pc.match_substring_regex(text, _ZONED)))
    return "timestamp", "UTC" if pc.any(naive).as_py() else None


def _increases(column: pa.ChunkedArray) -> bool:
    """Whether an integer column never decreases from row to row, and takes many values."""
    import numpy as np

    values = column.drop_null().to_numpy()
    return len(values) > 1 and bool((np.diff(values) >= 0).all()) and len(np.unique(values)) > 10


def _ticks(column: pa.ChunkedArray, kind: ClockKind) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "timestamp" and pa.types.is_string(column.type):
        import pandas as pd

        moments = pd.to_datetime(
            column.to_pandas().str.strip(), utc=True, format="ISO8601", errors="coerce"
        )
        column = pa.chunked_array([pa.array(moments, pa.timestamp("us", "UTC"))])
    if kind == "timestamp":
        column = pc.cast(column, pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    whole = pc.cast(column, pa.int64(), safe=False)
    ticks = np.asarray(pc.fill_null(whole, 0).to_numpy(), dtype=np.int64)
    return ticks, np.asarray(pc.is_valid(whole).to_numpy(), dtype=bool)


def _window(kind: ClockKind, span: int, rows: int) -> str:
    """A round length that gives about 500 rows a window, and 6 to 40 windows."""
    wanted = span / min(MOST, max(FEWEST, rows // ROWS))
    if kind == "integer":
        choices = [m * 10**e for e in range(19) for m in (1, 2, 5)]
        return str(_nearest(choices, wanted))
    clock = Clock("timestamp")
    return min(UNITS, key=lambda unit: _distance(clock.duration(unit), wanted))


def _nearest(choices: list[int], wanted: float) -> int:
    return min(choices, key=lambda choice: _distance(choice, wanted))


def _distance(a: float, b: float) -> float:
    return max(a, b) / max(min(a, b), 1e-9)


def _say_column(name: str, kind: str, zone: str | None, chosen: bool) -> str:
    what = "timestamps" if kind == "timestamp" else "increasing integers"
    said = f"Time is {shown(name)}, which holds {what}"
    said += " (pass --time if it is another column)." if chosen else "."
    if zone:
        said += f" They name no zone, so they are read as {zone}: change time.zone if not."
    return said


def _since_1970(first: int, last: int) -> str:
    """What integers that look like a computer's clock may be, and how long a day is in them."""
    clock = Clock("timestamp")
    earliest, latest = clock.parse("2000-01-01") // 10**6, clock.parse("2100-01-01") // 10**6
    for unit, many in _PARTS.items():
        if earliest * many <= first and last < latest * many:
            days = [clock.show(tick // many // 86_400 * _DAY) for tick in (first, last)]
            return (
                f"These may be {unit} since 1970, from {days[0]} to {days[1]}: write a day as "
                f"{86_400 * many} in --window and --label-delay."
            )
    return ""


def _say_window(kind: str, window: str, windows: int, rows: int, chosen: bool) -> str:
    unit = f"{window} units" if kind == "integer" else _LABELS.get(window, window)
    why = "chosen so that a window holds enough rows" if chosen else "as you asked"
    return (
        f"A window is {unit} long ({why}): {windows} windows of about "
        f"{rows // max(1, windows)} rows."
    )


def _no_time(name: str, column: Any) -> str:
    example = column.drop_null()[0].as_py() if column.null_count < len(column) else None
    return (
        f"--time {shown(name)}: holds {column.type} such as {shown(example)}, expected timestamps, "
        "dates, ISO 8601 text such as 2013-01-01T05:00:00Z, or integers; convert it or pass "
        "another column"
    )
