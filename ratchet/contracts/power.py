"""How well one feature tells the label by itself.

>>> import numpy as np
>>> y = np.tile([0.0, 1.0], 200)
>>> round(power(y, y.astype(np.int64), np.repeat(np.arange(8), 50)).value, 3)
1.0

A feature that is written after the outcome does so nearly perfectly (Kaufman et al. 2012, "Leakage
in data mining"). Measured without a model: each group of rows, a value of a category or one of
:data:`BINS` of a number, is scored by its mean label among other rows.

Promise: no row is scored by its own label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.columns import as_numbers
from ratchet.contracts.metrics import auc, clustered_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PERFECT = 0.98  # AUC by itself from which a feature nearly is the label
LEAST_ROWS = 100  # for an AUC
LEAST_OF_A_CLASS, LEAST_BLOCKS = 10, 4
BINS = 20  # of a number


class Power(NamedTuple):
    """An AUC, its standard error, and of how many rows."""

    value: float
    error: float
    rows: int


def power(y: Floats, codes: Ints, blocks: Ints) -> Power:
    """AUC of one feature's groups, each scored by its mean label in the other fold.

    Args:
        y: shape (rows,), 0 or 1.
        codes: shape (rows,): group of each row, from 0.
        blocks: shape (rows,): block of event time; odd and even ones are the folds.
    """
    import numpy as np

    scores, groups = np.empty(len(y)), int(codes.max()) + 1 if len(codes) else 1
    for fold in (0, 1):
        others = blocks % 2 != fold
        base = float(y[others].mean()) if others.any() else 0.5
        sums = np.bincount(codes[others], y[others], minlength=groups) + base
        rates = sums / (np.bincount(codes[others], minlength=groups) + 1)
        scores[~others] = rates[codes[~others]]
    found = auc(y, scores)
    return Power(found.value, clustered_error(found.influence, blocks), len(y))


def power_among(y: Floats, codes: Ints, blocks: Ints, mine: NDArray[np.bool_]) -> Power | None:
    """:func:`power` on the rows of ``mine``; None where they are too few to tell."""
    import numpy as np

    counts = np.bincount(y[mine].astype(np.int64), minlength=2)
    few = mine.sum() < LEAST_ROWS or counts.min() < LEAST_OF_A_CLASS
    if few or len(np.unique(blocks[mine])) < LEAST_BLOCKS:
        return None
    _, inner = np.unique(blocks[mine], return_inverse=True)
    return power(y[mine], codes[mine], inner)


def two_classes(objective: str, y: Floats) -> Floats:
    """Two classes of any target: the most frequent class, or above the median.

    Args:
        y: shape (rows,): class index or target.
    """
    import numpy as np

    if objective == "binary":
        return y
    if objective == "regression":
        return np.asarray(y > np.median(y), dtype=np.float64)
    return np.asarray(y == np.bincount(y.astype(np.int64)).argmax(), dtype=np.float64)


def groups(column: Any, kind: str) -> Ints:
    """A group from 0 for each value of a category, or each of about equally many numbers.

    Args:
        column: Arrow, of ``rows`` values; a missing one is a group of its own.
        kind: ``category`` or ``number``.

    Returns:
        Shape (rows,).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "category":
        found = pc.dictionary_encode(pc.cast(column, pa.string()), null_encoding="encode")
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        return np.asarray(found.indices.to_numpy(), dtype=np.int64)
    numbers = as_numbers(column)
    there = ~np.isnan(numbers)
    codes = np.zeros(len(numbers), dtype=np.int64)  # 0: missing
    codes[there] = equal_mass(numbers[there], BINS) + 1
    return codes
