"""Event times as ticks: microseconds since 1970 in UTC, or the integers of an integer clock.

>>> found = ticks(column, definition.time, text=False)                  # doctest: +SKIP

What a time means is never guessed. A naive time needs ``time.zone``; with it, a time that the
clocks skipped (spring) rejects its row, and one that they showed twice (autumn) is the first of the
two. A date is midnight in the zone (UTC when none is declared). An integer is no timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.contracts.sections import Time
from ratchet.errors import Unreadable
from ratchet.ingest.columns import boolean, plain, without_nulls
from ratchet.ingest.sieve import Mask

if TYPE_CHECKING:
    import pyarrow as pa

FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_NAIVE = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)$"
_MAX_INTEGER = 2**62


@dataclass(frozen=True)
class Ticks:
    """Ticks of shape (rows,), int64; 0 where ``missing`` or ``gap`` holds.

    ``missing``: null or no time. ``gap``: a local time that the clocks skipped.
    """

    values: NDArray[np.int64]
    missing: Mask
    gap: Mask


def ticks(column: pa.ChunkedArray, time: Time, text: bool) -> Ticks:
    """The ticks of a time column.

    Args:
        column: timestamps, dates or (on an integer clock) integers; strings where ``text``, and
            ISO 8601 strings always.
        time: the definition's ``[time]``.
        text: whether strings may stand for integers.

    Raises:
        Unreadable: another type; naive times and no zone declared; integers on a timestamp clock.
    """
    import pyarrow as pa

    column = plain(column)
    if time.kind == "integer":
        return _integers(column, text)
    if pa.types.is_string(column.type):
        return _from_text(without_nulls(column), time)
    if pa.types.is_timestamp(column.type):
        return _timestamps(column, time)
    if pa.types.is_date(column.type):
        return _dates(column, time)
    if pa.types.is_null(column.type):
        return _all_missing(len(column))
    hint = (
        " (a number of seconds or days is not guessed)" if pa.types.is_integer(column.type) else ""
    )
    raise Unreadable(
        f"holds {column.type}{hint}, expected timestamps, dates or ISO 8601 text; convert it, or "
        'declare time.kind = "integer"'
    )


def _integers(column: pa.ChunkedArray, text: bool) -> Ticks:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type) and text:
        column = without_nulls(column)
        whole = pc.match_substring_regex(column, r"^[+-]?\d{1,19}(\.0*)?$")
        if column.null_count < len(column) and not pc.any(whole).as_py():
            raise Unreadable('holds text, expected integers: declare time.kind = "timestamp"?')
        column = pc.if_else(whole, pc.replace_substring_regex(column, r"^\+|\.0*$", ""), None)
        column = _cast_each(column.combine_chunks(), pa.int64())
    elif pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53))
        column = pc.if_else(whole, column, None)
    elif not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise Unreadable(
            f'holds {column.type}, expected integers: declare time.kind = "timestamp"?'
        )
    if column.type == pa.uint64():
        column = pc.if_else(pc.less(column, pa.scalar(_MAX_INTEGER, pa.uint64())), column, None)
    values, missing = _ints(pc.cast(column, pa.int64()))
    return _bounded(values, missing | (np.abs(values) > _MAX_INTEGER), -_MAX_INTEGER, _MAX_INTEGER)


def _timestamps(column: pa.ChunkedArray, time: Time) -> Ticks:
    import pyarrow as pa
    import pyarrow.compute as pc

    unit = _PER_SECOND[column.type.unit]
    values, missing = _ints(pc.cast(column, pa.int64()))
    missing |= (values // unit < FIRST // 1_000_000) | (values // unit > LAST // 1_000_000)
    values = np.where(missing, 0, values)
    micros = values * (1_000_000 // unit) if unit <= 1_000_000 else values // (unit // 1_000_000)
    if column.type.tz is not None:
        return _bounded(micros, missing)
    if time.zone is None:
        raise Unreadable(_naive(pc.drop_null(column)))
    return _localised(micros, missing, time.zone)


def _dates(column: pa.ChunkedArray, time: Time) -> Ticks:
    import pyarrow as pa
    import pyarrow.compute as pc

    days, missing = _ints(pc.cast(pc.cast(column, pa.date32(), safe=False), pa.int32()))
    missing |= (days < FIRST // 86_400_000_000) | (days > LAST // 86_400_000_000)
    return _localised(np.where(missing, 0, days) * 86_400_000_000, missing, time.zone)


def _from_text(column: pa.ChunkedArray, time: Time) -> Ticks:
    """ISO 8601 text: dates, naive times and times with an offset may stand in one column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.replace_substring_regex(column, r"(\.\d{6})\d+", r"\1")
    column = pc.replace_substring_regex(column, r" ?UTC$", "Z")
    zoned = boolean(pc.match_substring_regex(column, _NAIVE + _OFFSET))
    naive = boolean(pc.match_substring_regex(column, _NAIVE + "$"))
    dates = boolean(pc.match_substring_regex(column, _DATE))
    if naive.any() and time.zone is None:
        raise Unreadable(_naive(column.filter(pa.array(naive))))
    if not (zoned | naive | dates).any() and column.null_count < len(column):
        example = pc.drop_null(column)[0].as_py()
        raise Unreadable(
            f"holds text such as {example[:40]!a}, expected ISO 8601 such as "
            '2013-01-01T05:00:00Z; convert it, or declare time.kind = "integer" for plain counts'
        )
    values, missing = np.zeros(len(column), dtype=np.int64), ~(zoned | naive | dates)
    gap = np.zeros(len(column), dtype=bool)
    for where, kind in ((zoned, "UTC"), (naive | dates, None)):
        part = column.filter(pa.array(where)).combine_chunks()
        found, lost = _ints(_cast_each(part, pa.timestamp("us", kind)).cast(pa.int64()))
        local = _bounded(found, lost) if kind else _localised(found, lost, time.zone)
        values[where], missing[where], gap[where] = local.values, local.missing, local.gap
    return Ticks(values, missing, gap)


def _cast_each(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast, with null for each value that cannot be (30 February); halves find them quickly."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, kind)
    half = len(values) // 2
    return pa.concat_arrays([_cast_each(values[:half], kind), _cast_each(values[half:], kind)])


def _localised(micros: NDArray[np.int64], missing: Mask, zone: str | None) -> Ticks:
    """Local times as ticks; without a zone (dates only) they are UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = _bounded(micros, missing)
    if zone is None:
        return found
    local = pa.array(found.values, pa.timestamp("us"))
    first, last = (
        np.asarray(
            pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent=side).cast(pa.int64())
        )
        for side in ("earliest", "latest")
    )
    gap = (first != last) & ~found.missing  # Arrow answers the two edges of a gap
    return Ticks(np.where(found.missing | gap, 0, last), found.missing, gap)


def _bounded(
    values: NDArray[np.int64], missing: Mask, first: int = FIRST, last: int = LAST
) -> Ticks:
    missing = missing | (values < first) | (values > last)
    return Ticks(np.where(missing, 0, values), missing, np.zeros(len(values), dtype=bool))


def _all_missing(n: int) -> Ticks:
    zeros = np.zeros(n, dtype=np.int64)
    return Ticks(zeros, np.ones(n, dtype=bool), np.zeros(n, dtype=bool))


def _ints(column: Any) -> tuple[NDArray[np.int64], Mask]:
    """Integers with 0 for null, and where the nulls are."""
    import pyarrow.compute as pc

    missing = boolean(pc.is_null(column))
    return np.array(pc.fill_null(column, 0), dtype=np.int64), missing


def _naive(column: Any) -> str:
    example = str(column[0]) if len(column) else "none"
    return (
        f"holds times without a zone such as {example}; declare it, for instance "
        'time.zone = "America/New_York" (or "UTC")'
    )
