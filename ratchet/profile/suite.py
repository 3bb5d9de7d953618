"""Proposes a Great Expectations suite: what has always held in the sample, with room to drift.

Promise: the sample itself passes; each rule carries its reason, so that a person can judge it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import KEY
from ratchet.profile.drift import wanders, window_index
from ratchet.profile.laws import laws
from ratchet.profile.rule import rule as _rule
from ratchet.profile.values import Inferred, column_of, is_whole

if TYPE_CHECKING:
    import pyarrow as pa

ROOM = 0.5  # of the observed range, below and above it
MAGNITUDE = 10.0  # times the largest value, for a number that moves with time
KNOWN = 0.8  # share of a batch whose categories must be known
LISTED = 100  # categories that a file still shows readably
COMPLETE = 0.9  # of a batch that must have a value which was never missing
TINY = 1e-300  # smaller numbers have no three digits to round to
MORE_MISSING = 0.2  # of a batch, on top of the emptiest window seen


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
    return {"name": inferred.name, "expectations": [*rules, *laws(inferred, table)]}


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
        min_value=rounded(least, down=True),
        max_value=rounded(high + room, down=False),
    )


def rounded(value: float, down: bool) -> float:
    """To three digits, away from the observed range."""
    import math

    if abs(value) < TINY:
        return value or 0.0  # never -0.0
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
    """A bound on the share of missing values, from the emptiest window seen.

    Small windows get no room on top, but the suite judges them too, so they must keep it.
    """
    import math

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
    allowed, most = emptiest + MORE_MISSING, float(share.max(initial=0.0))
    if max(allowed, most) >= 0.95:
        return []
    reason = f"Missing in up to {emptiest:.1%} of a window; a fifth more would be a broken feed"
    mostly = min(round(1 - allowed, 2), math.floor((1 - most) * 100) / 100)
    return [_rule("batch", kind, reason, column=name, mostly=mostly)]
