"""How a column has moved from window to window: what drift it shows must not block tomorrow.

Promise: only what came before a window is compared with it, as the loop will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.contracts.clock import Clock
from ratchet.profile.values import Timeline, column_of, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SETTLED = 2  # windows after which a new value says something
WANDERS = 0.5  # share of a column's variance that lies between windows


def window_index(time: Timeline) -> NDArray[np.int64]:
    """Window of each row that has a time, counted from 0 over those with rows; (rows with a time,).

    The windows are the calendar's, which seldom begin with the sample's first row.
    """
    import numpy as np

    windows = (time.ticks[time.valid] - Clock(time.kind).parse(time.origin)) // time.length
    return np.asarray(np.unique(windows, return_inverse=True)[1], dtype=np.int64)


def new_share(column: pa.ChunkedArray, time: Timeline) -> float:
    """The largest share of one window's rows whose category no earlier window held."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    index = window_index(time)
    codes = pc.dictionary_encode(column.filter(pa.array(time.valid))).combine_chunks().indices
    here = np.asarray(pc.is_valid(codes).to_numpy(zero_copy_only=False), dtype=bool)
    values = np.asarray(pc.fill_null(codes, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
    if not here.any():
        return 0.0
    first = np.full(int(values.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, values[here], index[here])
    new = here & (first[values] == index)
    share = np.bincount(index, new) / np.bincount(index)
    return float(share[SETTLED:].max(initial=0.0))


def about_empty(table: pa.Table, kinds: Mapping[str, str], time: Timeline) -> list[str]:
    """What to say of features without a value in whole windows: those will be blocked."""
    import numpy as np

    index = window_index(time)
    windows = int(index.max()) + 1
    said = []
    for name in kinds:
        column = column_of(table, name, "column")
        if not column.null_count:
            continue
        there = np.asarray(column.is_valid().to_numpy(), dtype=float)[time.valid]
        if empty := int((np.bincount(index, there) == 0).sum()):
            said.append(
                f"{shown(name)} has no value in {empty} of {windows} windows. Such a window is "
                "blocked (columns.nulls), unless the champion has learned to do without; move the "
                "column from [features] to source.ignore, with its rules, if that is how it is."
            )
    return said


def wanders(values: NDArray[np.float64], time: Timeline) -> bool:
    """Whether a number differs more between windows than within them (NaN is left out).

    The share of variance between groups, eta squared (Fisher 1925): such a column moves with time,
    so its range so far says little about tomorrow.
    """
    import numpy as np

    values, index = values[time.valid], window_index(time)
    good = np.isfinite(values)
    values, index = values[good], index[good]
    total = float(values.var()) if len(values) else 0.0
    if total == 0:
        return True
    count = np.bincount(index)
    mean = np.bincount(index, values) / np.maximum(count, 1)
    between = float((count * (mean - values.mean()) ** 2).sum() / len(values))
    return between / total > WANDERS
