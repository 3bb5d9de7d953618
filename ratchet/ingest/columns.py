"""Types columns: numbers become ``float64``, categories and keys become strings.

>>> import pyarrow as pa
>>> number(pa.chunked_array([["1", "x"]]), text=True).bad.tolist()
[False, True]

A column of the wrong type is the object's fault (:class:`Unreadable`); a cell of the wrong type is
its row's fault (the mask ``bad``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.errors import Unreadable
from ratchet.ingest.sieve import Mask

if TYPE_CHECKING:
    import pyarrow as pa

FLOAT32_MAX = float(np.finfo(np.float32).max)
EXACT_FLOAT32 = 2**24  # integers above it collide in float32
NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", r"\N")
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI]nf(inity)?)$"
# NUL and other control characters (tab and line ends are fine), and Unicode's Bidi_Control: the
# first break the tools that a cell goes through, the second make it look like what it is not.
UNSAFE = (
    r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]"
)


@dataclass(frozen=True)
class Typed:
    """A typed column, and where its cells did not fit (they are null in ``values``)."""

    values: pa.ChunkedArray
    bad: Mask


def number(column: pa.ChunkedArray, text: bool) -> Typed:
    """A column as ``float64``; NaN becomes null, infinities stay.

    Args:
        column: integers, floats, decimals or booleans; with ``text`` also strings.
        text: whether strings may stand for numbers.

    Raises:
        Unreadable: the column is of another type, or none of its cells is a number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column, kind = plain(column), plain(column).type
    bad = np.zeros(len(column), dtype=bool)
    if pa.types.is_string(kind):
        column, bad = _parsed(column, text)
    elif pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif not _is_number(kind):
        raise Unreadable(f"holds {kind}, expected numbers")
    values = pc.cast(column, pa.float64(), safe=False)
    return Typed(pc.if_else(pc.is_nan(values), None, values), bad)


def category(column: pa.ChunkedArray) -> Typed:
    """A column as strings; integers (also those that a tool turned into floats) get no decimals.

    Raises:
        Unreadable: the column holds fractions, times, bytes or nested values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column, kind = plain(column), plain(column).type
    bad = np.zeros(len(column), dtype=bool)
    if pa.types.is_floating(kind):
        column, kind = _as_integers(column), pa.int64()
    if kind in (pa.string(), pa.null()) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return Typed(pc.cast(column, pa.string()), bad)
    raise Unreadable(f"holds {kind}, expected categories (text or integers)")


def key(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Row keys: the columns' texts joined by ``|``; null where a part is null or empty.

    With several columns, ``|`` and ``\\`` inside a part are escaped by ``\\``: ("a|b", "c") and
    ("a", "b|c") stay different keys.

    Raises:
        Unreadable: a column holds nested values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    for column in columns:
        values = plain(column)
        if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
            raise Unreadable(f"holds {values.type}, expected keys (text or integers)")
        if pa.types.is_floating(values.type):
            values = _as_integers(values)
        values = pc.cast(values, pa.string())
        values = pc.if_else(pc.equal(values, ""), None, values)
        if len(columns) > 1 and pc.any(pc.match_substring_regex(values, r"[|\\]")).as_py():
            values = pc.replace_substring_regex(values, r"([|\\])", r"\\\1")
        parts.append(values)
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "|")


def split_key(key: str, parts: int) -> list[str]:
    """The texts that :func:`key` joined.

    >>> split_key(r"a\\|b|c", 2)
    ['a|b', 'c']
    """
    if parts == 1:
        return [key]
    found = re.findall(r"(?:[^|\\]|\\.)+", key, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in found]


def unsafe_text(column: pa.ChunkedArray, limit: int) -> Mask:
    """Where a cell holds control or bidi characters, or more than ``limit`` characters."""
    import pyarrow.compute as pc

    codes = pc.dictionary_encode(column).combine_chunks()
    words = codes.dictionary
    wrong = pc.or_(
        pc.match_substring_regex(words, UNSAFE), pc.greater(pc.utf8_length(words), limit)
    )
    if not pc.any(wrong).as_py():
        return np.zeros(len(column), dtype=bool)
    return boolean(pc.take(wrong, codes.indices))


def not_finite(values: pa.ChunkedArray) -> Mask:
    """Where a number is infinite or beyond float32, in which XGBoost works."""
    import pyarrow.compute as pc

    return boolean(pc.greater(pc.abs(values), FLOAT32_MAX))


def colliding(values: pa.ChunkedArray) -> int:
    """How many integers are above 2^24, where float32 no longer tells neighbours apart."""
    import pyarrow.compute as pc

    size = pc.abs(values)
    whole = pc.and_(pc.greater(size, EXACT_FLOAT32), pc.equal(pc.floor(size), size))
    return int(pc.sum(whole).as_py() or 0)


def boolean(mask: Any) -> Mask:
    """An Arrow boolean column as a NumPy mask; null counts as False."""
    import pyarrow.compute as pc

    return np.array(pc.fill_null(mask, False), dtype=bool)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding; every kind of string becomes ``string``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = pc.cast(column, kind.value_type)
        kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = pc.cast(column, pa.string())
    return column


def without_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A string column, trimmed, in which the usual spellings of a missing value are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(column, value_set=pa.array(NULLS)), None, column)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _as_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.cast(column, pa.float64())
    column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid as error:
        raise Unreadable("holds fractions, expected text or integers") from error


def _parsed(column: pa.ChunkedArray, text: bool) -> tuple[pa.ChunkedArray, Mask]:
    """Numbers in a string column, and where there is text that is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bad = np.zeros(len(column), dtype=bool)
    if column.null_count == len(column):
        return pc.cast(column, pa.float64()), bad
    if not text:
        raise Unreadable("holds text, expected numbers")
    try:
        return pc.cast(column, pa.float64()), bad
    except pa.ArrowInvalid:
        column = without_nulls(column)
    lower = pc.utf8_lower(column)
    for word, digit in (("true", "1"), ("false", "0")):
        column = pc.if_else(pc.equal(lower, word), digit, column)
    good = pc.match_substring_regex(column, _NUMBER)
    bad = boolean(pc.invert(good))
    if bad.any() and not pc.any(good).as_py():
        raise Unreadable("holds text, expected numbers")
    return pc.cast(pc.if_else(good, column, None), pa.float64()), bad
