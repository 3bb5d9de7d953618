"""Rows of a batch against the truth about the same rows, cell by cell.

>>> match(batch, truth, definition.features).mismatched                         # doctest: +SKIP
3

Promise: rows are paired by key alone; a value that is missing on one side only is a difference; a
label is compared only where both sides know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY, LABEL

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

TOLERANCE = 1e-6  # relative; the same number written by two systems


@dataclass(frozen=True, eq=False)
class Match:
    """What two tables say about the rows that both hold.

    Attributes:
        positions: shape (matched,): position in the batch of each row that both hold.
        differs: shape (matched,): whether any value of the row differs.
        columns: column (features and ``_label``) to how many matched rows differ in it, where any
            does, most first.
        absent: how many of the truth's rows the batch does not hold.
    """

    positions: NDArray[np.int64]
    differs: NDArray[np.bool_]
    columns: Mapping[str, int]
    absent: int

    @property
    def matched(self) -> int:
        """How many rows both hold."""
        return len(self.positions)

    @property
    def mismatched(self) -> int:
        """How many of them differ."""
        return int(self.differs.sum())

    def where(self, most: int = 4) -> str:
        """In which columns rows differ, in words; empty where none does."""
        named = {name: "the label" if name == LABEL else name for name in self.columns}
        shown = [f"{self.columns[name]:,} in {named[name]}" for name in list(named)[:most]]
        rest = len(named) - len(shown)
        return ", ".join([*shown, f"some in {rest:,} more"] if rest else shown)


def match(batch: pa.Table, truth: pa.Table, features: Mapping[str, str]) -> Match:
    """Pair rows by ``_key`` and compare features and, where both hold it, ``_label``.

    Args:
        batch: with ``_key``, the features and perhaps ``_label``.
        truth: likewise; of several rows with one key the first counts.
        features: name to kind, as in the definition.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    where = pc.index_in(truth[KEY], value_set=batch[KEY].combine_chunks())
    found = pc.fill_null(where, -1).to_numpy().astype(np.int64)
    rows = np.flatnonzero(found >= 0)
    positions, first = np.unique(found[rows], return_index=True)
    rows = rows[first]
    mine, true = batch.take(pa.array(positions)), truth.take(pa.array(rows))
    names = (
        [*features, LABEL]
        if {LABEL} <= {*batch.column_names} & {*truth.column_names}
        else [*features]
    )
    differs = {name: _differs(mine[name], true[name], label=name == LABEL) for name in names}
    counts = {name: int(mask.sum()) for name, mask in differs.items() if mask.any()}
    whole = np.zeros(len(positions), dtype=bool)
    for mask in differs.values():
        whole |= mask
    ranked = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Match(positions, whole, ranked, int((found < 0).sum()))


def _differs(mine: pa.ChunkedArray, true: pa.ChunkedArray, label: bool) -> NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(mine.type):
        a = pc.fill_null(mine, float("nan")).to_numpy()
        b = pc.fill_null(true, float("nan")).to_numpy()
        gone = np.isnan(a) | np.isnan(b) if label else np.isnan(a) & np.isnan(b)
        close = np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE**2)
        return np.asarray(~gone & ~close)
    same = pc.fill_null(pc.equal(mine, true), False).to_numpy(zero_copy_only=False)
    both = pc.and_(pc.is_null(mine), pc.is_null(true)).to_numpy(zero_copy_only=False)
    return np.asarray(~(same | both))
