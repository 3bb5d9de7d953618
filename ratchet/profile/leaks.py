"""Features that tell the label by themselves: known only afterwards, more often than not.

>>> about_leaks(table, kinds, target, time)                                     # doctest: +SKIP
["'status' (AUC 1.000): this column alone tells the label. If it is known only afterwards, ..."]

The gate asks about such a feature too (``gate.shortcuts``), once a candidate leans on it; whoever
knows the data can say at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.metrics import student_quantile
from ratchet.contracts.power import PERFECT, groups, power_among, two_classes
from ratchet.profile.values import Target, Timeline, column_of, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LOOKED = 50_000  # rows at most, from all of the sample's time
BLOCKS = 56  # of event time, as the gate's
ALPHA = 0.05  # that any honest feature is named, shared among them


def about_leaks(
    table: pa.Table, kinds: Mapping[str, str], target: Target, time: Timeline
) -> list[str]:
    """A sentence on the features whose AUC by itself is above :data:`PERFECT`, as far as the
    sample can tell.

    Args:
        table: the sample, shape (rows, columns).
        kinds: feature to kind.
    """
    import numpy as np

    label = column_of(table, target.column, "--label")
    rows = np.flatnonzero(label.is_valid().to_numpy() & time.valid)
    if not len(rows):
        return []
    rows = rows[np.linspace(0, len(rows) - 1, min(LOOKED, len(rows))).astype(np.int64)]
    y = two_classes(target.objective, _numbers(label.take(rows), target))
    blocks = equal_mass(time.ticks[rows], BLOCKS)
    steps = student_quantile(1 - ALPHA / len(kinds), max(int(blocks.max()), 4))
    everywhere, found = np.ones(len(rows), dtype=bool), []
    for name, kind in kinds.items():
        codes = groups(column_of(table, name, "column").take(rows), kind)
        power = power_among(y, codes, blocks, everywhere)
        if power and power.value - steps * power.error >= PERFECT:
            found.append(f"{shown(name)} (AUC {power.value:.3f})")
    if not found:
        return []
    tells, are, each = (
        ("this column alone tells", "it is", "it")
        if len(found) == 1
        else ("each of these alone tells", "they are", "each")
    )
    return [
        f"{', '.join(found)}: {tells} the label. If {are} known only afterwards, run this again "
        f"with --force and --ignore for {each}; until then a candidate that leans on such a column "
        "waits for a person (gate.shortcuts)."
    ]


def _numbers(label: pa.ChunkedArray, target: Target) -> NDArray[np.float64]:
    """Class index or target of labels that are all there, shape (rows,)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if target.classes:
        classes = pa.array(list(target.classes), type=label.type)
        label = pc.index_in(label, value_set=classes)
    found = pc.cast(label, pa.float64(), safe=False)
    return np.asarray(found.to_numpy(), dtype=np.float64)
