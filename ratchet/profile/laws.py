"""What ties one column to others: orders, values that others determine, columns that always vary.

>>> [law["meta"]["reason"] for law in laws(inferred, table)]              # doctest: +SKIP
['dewp never exceeded temp ...', 'origin, dest determine distance ...']

A law is proposed only where chance would have broken it: with one column shuffled within its
windows, a good share of the rows must violate it. What other columns determine is learned on the
earlier two thirds of the sample and must hold without an exception in the last third.

Promise: the sample itself keeps every law; a combination that was never seen breaks none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ratchet.contracts.clock import calendar_fields
from ratchet.profile.determined import Column, determined
from ratchet.profile.drift import window_index
from ratchet.profile.rule import rule
from ratchet.profile.values import Inferred, column_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ROWS = 1000  # a law must have been seen to hold in so many
SCREEN = 20_000  # rows on which candidates are tried before all rows are asked
BROKEN_BY_CHANCE = 0.05  # of shuffled rows must break an order
YEAR = 360 * 86_400 * 1_000_000  # ticks that a sample must span for laws of the calendar
NUMBERS, ORDERS = 60, 10  # columns compared in pairs; rules
VARIED_ROWS = 50  # of a window, for saying that a column varies in it


def laws(inferred: Inferred, table: pa.Table) -> list[dict[str, Any]]:
    """The rules, as entries of a suite.

    Args:
        inferred: what :func:`~ratchet.profile.infer` made of ``table``.
        table: the same sample.
    """
    import numpy as np

    windows = window_index(inferred.time)
    order = np.argsort(inferred.time.ticks[inferred.time.valid], kind="stable")
    rows = np.flatnonzero(inferred.time.valid)[order]
    columns = [_column(table, name, kind, rows) for name, kind in inferred.features.items()]
    found = list(_varying(columns, windows[order], inferred))
    if len(rows) >= ROWS:
        found += _orders(columns, windows[order])
        found += determined([*columns, *_calendar(inferred, rows)])
    return found


def _column(table: pa.Table, name: str, kind: str, rows: NDArray[np.int64]) -> Column:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column_of(table, name, "column")
    if kind == "number":
        floats = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")).to_numpy()
        values = np.where(np.isfinite(floats), floats, np.nan)
        return Column(name, values[rows])
    coded = pc.dictionary_encode(pc.cast(column, pa.string())).combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    codes = pc.fill_null(pc.cast(coded.indices, pa.float64()), float("nan")).to_numpy(
        zero_copy_only=False
    )
    return Column(name, codes[rows], tuple(coded.dictionary.to_pylist()))


def _calendar(inferred: Inferred, rows: NDArray[np.int64]) -> list[Column]:
    """The event time's own fields, which a suite sees beside the features.

    None where the sample spans less than a year: it may not have seen the clocks change.
    """
    import pyarrow as pa

    ticks = inferred.time.ticks[rows]
    if inferred.time.kind != "timestamp" or ticks[-1] - ticks[0] < YEAR:
        return []
    fields = calendar_fields(pa.array(ticks), inferred.time.zone)
    return [Column(name, values.to_numpy()) for name, values in fields.items()]


def _varying(
    columns: Sequence[Column], windows: NDArray[np.int64], inferred: Inferred
) -> Iterator[dict[str, Any]]:
    """Numbers of which no window was ever without two values: one value alone is a stuck sensor.

    Windows with few values prove nothing, but the suite judges them too, so they may forbid a rule.
    """
    import numpy as np

    if inferred.rows_per_window < VARIED_ROWS:
        return
    starts = np.flatnonzero(np.diff(windows, prepend=-1))
    for column in columns:
        if column.texts is not None:
            continue
        parts = [p[~np.isnan(p)] for p in np.split(column.values, starts[1:])]
        counts = [len(np.unique(p)) for p in parts]
        full = [n for n, p in zip(counts, parts, strict=True) if len(p) >= VARIED_ROWS]
        least = min(counts)
        if len(full) >= 3 and min(full) >= 3 and least >= 2:
            yield rule(
                "batch",
                "column_unique_value_count_to_be_between",
                f"At least {least} values in each of {len(counts)} windows; "
                "one alone is a stuck sensor",
                column=column.name,
                min_value=2,
            )


def _orders(columns: Sequence[Column], windows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Numbers of which one was never below the other, though chance would often put it there."""
    import numpy as np

    numbers = [c for c in columns if c.texts is None][:NUMBERS]
    shuffled = _shuffled(windows)
    found = []
    for a, b in itertools.permutations(numbers, 2):
        some = slice(None, None, max(1, len(windows) // SCREEN))
        if (a.values[some] < b.values[some]).any():
            continue
        both = int((~np.isnan(a.values) & ~np.isnan(b.values)).sum())
        other = b.values[shuffled]
        paired = ~np.isnan(a.values) & ~np.isnan(other)
        chance = float((a.values < other)[paired].mean()) if paired.any() else 0.0
        if both < ROWS or chance < BROKEN_BY_CHANCE or (a.values < b.values).any():
            continue
        found.append((chance, a.name, b.name, both))
    return [
        rule(
            "row",
            "column_pair_values_a_to_be_greater_than_b",
            f"{b} never exceeded {a} in {both} rows, though {chance:.0%} of shuffled rows do; "
            "else columns were swapped, or one changed its unit",
            column_A=a,
            column_B=b,
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        )
        for chance, a, b, both in sorted(found, reverse=True)[:ORDERS]
    ]


def _shuffled(windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions shuffled within their windows, which must be sorted."""
    import numpy as np

    noise = np.random.default_rng(0).random(len(windows))
    return np.lexsort((noise, windows))
