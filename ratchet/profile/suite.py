"""Proposes a Great Expectations suite: what has always held in the sample, with room to drift.

Promise: the sample itself passes; each rule carries its reason, so that a person can judge it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import KEY
from ratchet.profile.drift import wanders, window_index
from ratchet.profile.values import Inferred, column_of, is_whole

if TYPE_CHECKING:
    import pyarrow as pa

ROOM = 0.5  # of the observed range, below and above it
MAGNITUDE = 10.0  # times the largest value, for a number that moves with time
KNOWN = 0.8  # share of a batch whose categories must be known
LISTED = 100  # categories that a file still shows readably
COMPLETE = 0.9  # of a batch that must have a value which was never missing
MORE_MISSING = 0.2  # of a batch, on top of the emptiest window seen
PAIRS, PAIR_ROWS = 5, 1000


def suite_json(inferred: Inferred, table: pa.Table) -> dict[str, Any]:
    """The suite as Great Expectations' own JSON; ``meta`` holds level and reason.

    Args:
        inferred: what :func:`~ratchet.profile.infer` made of ``table``.
        table: the same sample.
    """
    rules = [
        _rule(
            "batch",
            "table_columns_to_match_set",
            "Every declared column must be there under its own name; others may join",
            column_set=[KEY, *inferred.features],
            exact_match=False,
        ),
        _rule("row", "column_values_to_not_be_null", "A row must be identifiable", column=KEY),
        _rule("row", "column_values_to_be_unique", "One key, one row", column=KEY),
    ]
    for name, kind in inferred.features.items():
        column = column_of(table, name, "column")
        if kind == "number":
            rules.append(_range(name, column, inferred))
        elif name not in inferred.new_values:
            rules += _known(name, column)
        rules += _missing(name, column, inferred)
    return {"name": inferred.name, "expectations": [*rules, *_pairs(inferred, table)]}


def _rule(level: str, kind: str, reason: str, **kwargs: Any) -> dict[str, Any]:
    return {
        "type": f"expect_{kind}",
        "kwargs": kwargs,
        "meta": {"level": level, "reason": reason},
    }


def _range(name: str, column: pa.ChunkedArray, inferred: Inferred) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")).to_numpy()
    values = numbers[np.isfinite(numbers)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    seen = f"Seen from {low:g} to {high:g}"
    if wanders(numbers, inferred.time):
        room = MAGNITUDE * max(abs(low), abs(high), 1.0)
        reason = f"{seen}, but it moves with time: only its magnitude is bounded"
    else:
        room = (high - low) * ROOM
        reason = f"{seen}; with room for half that range on each side"
    least = low - room
    if is_whole(column) and low >= 0 > least:
        least, reason = 0.0, f"{reason}; a count is never negative"
    return _rule(
        "row",
        "column_values_to_be_between",
        reason,
        column=name,
        min_value=_round(least, down=True),
        max_value=_round(high + room, down=False),
    )


def _round(value: float, down: bool) -> float:
    """To three digits, away from the observed range."""
    import math

    if value == 0:
        return 0.0
    digit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    rounded = (math.floor if down else math.ceil)(value / digit) * digit
    return float(f"{rounded:.6g}")


def _known(name: str, column: pa.ChunkedArray) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.unique(pc.cast(column.drop_null(), pa.string())).to_pylist()
    if len(values) > LISTED:
        return []
    reason = "Most values should be known ones; a new one is no error, it counts as missing"
    return [
        _rule(
            "batch",
            "column_values_to_be_in_set",
            reason,
            column=name,
            value_set=sorted(values),
            mostly=KNOWN,
        )
    ]


def _missing(name: str, column: pa.ChunkedArray, inferred: Inferred) -> list[dict[str, Any]]:
    """A bound on the share of missing values, from the emptiest window seen."""
    import numpy as np
    import pyarrow.compute as pc

    kind = "column_values_to_not_be_null"
    if not column.null_count:
        reason = f"Never missing in {len(column)} rows; a tenth missing would be a broken feed"
        return [_rule("batch", kind, reason, column=name, mostly=COMPLETE)]
    index = window_index(inferred.time)
    gone = np.asarray(pc.is_null(column).to_numpy(), dtype=float)[inferred.time.valid]
    size = np.bincount(index)
    share = np.bincount(index, gone) / size
    emptiest = float(share[size >= max(10, inferred.rows_per_window // 10)].max(initial=0.0))
    allowed = emptiest + MORE_MISSING
    if allowed >= 0.95:
        return []
    reason = f"Missing in up to {emptiest:.1%} of a window; a fifth more would be a broken feed"
    return [_rule("batch", kind, reason, column=name, mostly=round(1 - allowed, 2))]


def _pairs(inferred: Inferred, table: pa.Table) -> list[dict[str, Any]]:
    """Numbers that share a word of their name, of which one was never below the other."""
    import itertools

    numbers = [n for n, kind in inferred.features.items() if kind == "number"]
    found: list[dict[str, Any]] = []
    for a, b in itertools.permutations(numbers, 2):
        if len(found) < PAIRS and _words(a) & _words(b) and _never_below(table, a, b):
            found.append(
                _rule(
                    "row",
                    "column_pair_values_a_to_be_greater_than_b",
                    f"{a} was never below {b}; else columns were swapped, or one changed its unit",
                    column_A=a,
                    column_B=b,
                    or_equal=True,
                    ignore_row_if="either_value_is_missing",
                )
            )
    return found


def _words(name: str) -> set[str]:
    import re

    return {w for w in re.split(r"[^a-z]+", name.lower()) if len(w) >= 3}


def _never_below(table: pa.Table, a: str, b: str) -> bool:
    """Whether ``a >= b`` in all of at least 1000 rows, without the ranges being apart anyway."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    x, y = (
        pc.fill_null(pc.cast(column_of(table, n, "column"), pa.float64()), float("nan")).to_numpy()
        for n in (a, b)
    )
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < PAIR_ROWS or not (x[both] >= y[both]).all():
        return False
    return bool((x[both] > y[both]).any() and y[both].max() > x[both].min())
